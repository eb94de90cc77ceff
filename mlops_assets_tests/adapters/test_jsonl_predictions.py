"""The rows of the prediction log, and the columns they have."""

from __future__ import annotations

import json
from datetime import timedelta

import polars as pl
import pytest

from mlops_assets.adapters.jsonl_telemetry import JsonlTelemetry
from mlops_assets_tests.adapters.prediction_lines import TEN, error, line


@pytest.fixture
def telemetry(tmp_path):
    return JsonlTelemetry(tmp_path)


@pytest.fixture
def write(tmp_path):
    """Appends lines to a log file of a model."""

    def append(*lines, name="20130601T10-1-a.jsonl", torn=b"", model="delays"):
        (tmp_path / model).mkdir(exist_ok=True)
        whole = b"".join(json.dumps(each).encode() + b"\n" for each in lines)
        with (tmp_path / model / name).open("ab") as handle:
            handle.write(whole + torn)

    return append


def test_no_log_at_all_is_an_empty_table(telemetry):
    table = telemetry.predictions("delays")
    assert table.is_empty()
    assert dict(table.schema) == {
        "request_id": pl.String,
        "row": pl.Int64,
        "model": pl.String,
        "version": pl.String,
        "digest": pl.String,
        "arm": pl.String,
        "routed": pl.Boolean,
        "unit": pl.String,
        "canary": pl.String,
        "weight": pl.Int64,
        "received_at": pl.Datetime("us", "UTC"),
        "entity": pl.String,
        "time": pl.Datetime("us", "UTC"),
        "probability": pl.Float64,
        "milliseconds": pl.Float64,
    }


def test_predictions_have_one_row_per_predicted_row(telemetry, write):
    several = line(
        request_id="b",
        entity=["f1", None],
        time=[None, "2013-06-01T08:00:00+02:00"],
        features={"distance": [None, 7], "carrier": ["UA", None]},
        probability=[0.1, 0.2],
    )
    write(several)
    assert telemetry.predictions("delays").drop(
        "model", "digest", "received_at", "unit", "canary", "weight"
    ).rows() == [
        ("b", 0, "v1", "primary", True, "f1", None, 0.1, 1.5, None, "UA"),
        ("b", 1, "v1", "primary", True, None, TEN - timedelta(hours=4), 0.2, 1.5, 7.0, None),
    ]


def test_predictions_are_oldest_first_over_all_files(telemetry, write):
    write(line(TEN + timedelta(minutes=2), request_id="c"), line(TEN, request_id="a"))
    write(line(TEN, request_id="b"), name="20130601T10-2-b.jsonl")
    assert telemetry.predictions("delays")["request_id"].to_list() == ["a", "b", "c"]


def test_an_attempt_that_failed_has_its_rows_without_a_probability(telemetry, write):
    several = {"entity": ["e", "f"], "time": None, "features": {"distance": [1.0, None]}}
    write(
        error(request_id="x", **several), error(request_id="y", entity=None, time=None, features={})
    )
    rows = telemetry.predictions("delays").select("request_id", "row", "entity", "probability")
    assert rows.rows() == [("x", 0, "e", None), ("x", 1, "f", None), ("y", 0, None, None)]


def test_a_probability_beside_an_error_was_not_answered(telemetry, write):
    write(line(status="error", probability=[0.5]))
    assert telemetry.predictions("delays")["probability"].to_list() == [None]


def test_predictions_without_entity_and_time_have_none(telemetry, write):
    write(line(entity=None, time=None, probability=[0.1, 0.2], features={"distance": [1, 2]}))
    table = telemetry.predictions("delays")
    assert table["entity"].to_list() == table["time"].to_list() == [None, None]


def test_versions_may_have_different_features(telemetry, write):
    write(line(), line(version="v2", features={"gusts": [3.0], "distance": [1.0]}))
    table = telemetry.predictions("delays").select("distance", "carrier", "gusts")
    assert table.rows() == [(500.0, "UA", None), (1.0, None, 3.0)]


def test_numeric_features_are_numbers_and_categorical_ones_text_whatever_is_missing(
    telemetry, write
):
    write(
        line(features={"distance": [None], "carrier": [None], "never": [None]}),
        line(features={"distance": [3], "carrier": ["UA"], "never": [None]}),
    )
    schema = telemetry.predictions("delays").schema
    assert (schema["distance"], schema["carrier"]) == (pl.Float64, pl.String)
    assert schema["never"] == pl.Float64


def test_a_feature_that_became_text_is_text(telemetry, write):
    write(line(), line(version="v2", features={"distance": ["far"], "carrier": ["UA"]}))
    assert telemetry.predictions("delays")["distance"].to_list() == ["500.0", "far"]


def test_a_feature_named_like_a_column_is_kept_apart(telemetry, write):
    write(line(features={"model": ["A320"], "row": [7.0]}))
    table = telemetry.predictions("delays")
    assert table.select("model", "row", "feature_model", "feature_row").row(0) == (
        "delays",
        0,
        "A320",
        7.0,
    )


def test_a_line_whose_lists_differ_in_length_is_left_out(telemetry, write):
    write(line(), line(probability=[0.1, 0.2]), line(entity=[]), line(probability=[]))
    assert telemetry.predictions("delays").height == 1
