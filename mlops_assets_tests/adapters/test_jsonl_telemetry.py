"""Reading the prediction log, whole or torn, while it grows."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from mlops_assets.adapters.jsonl_telemetry import JsonlTelemetry

TEN = datetime(2013, 6, 1, 10, tzinfo=UTC)


def line(at=TEN, **changes):
    fields = {
        "request_id": "r",
        "model": "delays",
        "version": "v1",
        "digest": "d",
        "arm": "primary",
        "routed": True,
        "status": "ok",
        "reason": None,
        "received_at": at.isoformat(timespec="microseconds"),
        "milliseconds": 1.5,
        "entity": ["f1"],
        "time": ["2013-06-01T08:00:00.000000+00:00"],
        "features": {"distance": [500.0], "carrier": ["UA"]},
        "probability": [0.25],
    }
    return {**fields, **changes}


def error(at=TEN, **changes):
    return line(at, status="error", reason="ValueError: no", probability=None, **changes)


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


def counts(window):
    return [(arm.version, arm.requests, arm.errors) for arm in (window.canary, window.baseline)]


def test_a_window_counts_requests_and_errors_of_both_arms(telemetry, write):
    write(line(), line(), error(version="v2", arm="canary"), line(version="v2"), line(version="v3"))
    window = telemetry.window("delays", TEN, "v2", "v1")
    assert counts(window) == [("v2", 2, 1), ("v1", 2, 0)]


def test_a_window_begins_at_its_moment(telemetry, write):
    microsecond = timedelta(microseconds=1)
    write(line(TEN - microsecond), line(TEN), line(TEN + microsecond))
    assert counts(telemetry.window("delays", TEN, "v1", None)) == [("v1", 2, 0), ("none", 0, 0)]


def test_a_window_reads_every_file_that_can_hold_its_requests(telemetry, write):
    half_past = TEN + timedelta(minutes=30)
    write(line(half_past), name="20130601T10-1-a.jsonl")
    write(line(half_past + timedelta(hours=2)), name="20130601T12-1-b.jsonl")
    write(line(half_past - timedelta(hours=1)), name="20130601T09-1-c.jsonl")
    assert telemetry.window("delays", half_past, "v1", None).canary.requests == 2


def test_a_window_does_not_open_files_of_earlier_hours(telemetry, write, caplog):
    caplog.set_level(logging.WARNING)
    write(name="20130601T09-1-a.jsonl", torn=b"damaged\n")
    telemetry.window("delays", TEN, "v1", None)
    assert caplog.records == []


def test_a_window_understands_other_time_zones(telemetry, write):
    write(line())
    since = TEN.astimezone(tz=None)
    assert telemetry.window("delays", since, "v1", None).canary.requests == 1


def test_requests_that_were_not_assigned_do_not_count(telemetry, write):
    write(line(routed=False), line(routed=False, arm=None), error(routed=False), line())
    assert counts(telemetry.window("delays", TEN, "v1", None))[0] == ("v1", 1, 0)


def test_no_log_at_all_is_an_empty_window_and_an_empty_table(telemetry):
    assert counts(telemetry.window("delays", TEN, "v2", "v1")) == [("v2", 0, 0), ("v1", 0, 0)]
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
    assert telemetry.predictions("delays").drop("model", "digest", "received_at").rows() == [
        ("b", 0, "v1", "primary", True, "f1", None, 0.1, 1.5, None, "UA"),
        ("b", 1, "v1", "primary", True, None, TEN - timedelta(hours=4), 0.2, 1.5, 7.0, None),
    ]


def test_predictions_leave_errors_out_and_are_oldest_first(telemetry, write):
    write(line(TEN + timedelta(minutes=2), request_id="c"), error(request_id="x"))
    write(line(TEN, request_id="a"), line(TEN, request_id="b"), name="20130601T10-2-b.jsonl")
    assert telemetry.predictions("delays")["request_id"].to_list() == ["a", "b", "c"]


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


@pytest.mark.parametrize("torn", [b'{"request_id": "x', b"{", json.dumps(line()).encode()])
def test_a_torn_last_line_counts_nowhere(telemetry, write, caplog, torn):
    caplog.set_level(logging.WARNING)
    write(line(), torn=torn)
    assert telemetry.window("delays", TEN, "v1", None).canary.requests == 1
    assert telemetry.predictions("delays").height == 1
    assert caplog.records == []


@pytest.mark.parametrize(
    "damaged",
    [b"\0\0\0\n", b'{"half": \n', b"[]\n", b'{"request_id": "\xff"}\n'],
)
def test_a_damaged_line_is_left_out_and_reported(telemetry, write, caplog, damaged):
    caplog.set_level(logging.WARNING)
    write(line(request_id="a"), torn=damaged)
    write(line(request_id="b"))
    assert telemetry.predictions("delays")["request_id"].to_list() == ["a", "b"]
    assert "20130601T10-1-a.jsonl is skipped" in caplog.text


def test_a_line_whose_lists_differ_in_length_is_left_out(telemetry, write):
    write(line(), line(probability=[0.1, 0.2]), line(entity=[]), line(probability=[]))
    assert telemetry.predictions("delays").height == 1


def test_models_do_not_mix(telemetry, write):
    write(line())
    write(line(), line(), model="fraud")
    assert telemetry.predictions("delays").height == 1
    assert telemetry.window("fraud", TEN, "v1", None).canary.requests == 2


def test_a_large_log_is_read_in_batches_without_losing_a_line(telemetry, write):
    write(*(line(TEN + timedelta(seconds=n), request_id=str(n)) for n in range(1203)))
    ids = telemetry.predictions("delays")["request_id"].to_list()
    assert ids == [str(n) for n in range(1203)]
    assert telemetry.window("delays", TEN, "v1", None).canary.requests == 1203
