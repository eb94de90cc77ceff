"""What a person sees on a materialization says what was written, in full and in words."""

from __future__ import annotations

import base64

import dagster as dg
import pytest

from mlops_assets.adapters.ports import TableVersion
from mlops_assets.components.metadata import (
    add_partition_rows,
    check_result,
    data_version,
    image,
    markdown_table,
    numbers,
    pictures,
    source_lineage,
    source_schema,
    table_metadata,
)
from mlops_assets.lifecycle.verdicts import Verdict

KEY = dg.AssetKey(["m", "t"])
ONE = TableVersion(4, {"a": 3}, {"a": "f" * 64})
TWO = TableVersion(5, {"a": 3, "b": 0}, {"a": "f" * 64, "b": "0" * 64})


def test_given_one_partition_then_its_own_fingerprint_is_shown():
    assert table_metadata(ONE) == {
        "dagster/row_count": 3,
        "partitions": 1,
        "delta_version": 4,
        "fingerprint": "f" * 64,
    }


def test_given_a_range_then_rows_are_summed_and_the_fingerprint_is_over_all():
    shown = table_metadata(TWO)
    assert shown["dagster/row_count"] == 3
    assert shown["partitions"] == 2
    assert shown["fingerprint"] not in TWO.fingerprints.values()
    turned = TableVersion(9, TWO.rows, dict(reversed(TWO.fingerprints.items())))
    assert table_metadata(turned)["fingerprint"] == shown["fingerprint"]


def test_the_data_version_follows_the_rows_not_the_number_of_the_write():
    again = TableVersion(17, ONE.rows, ONE.fingerprints)
    other = TableVersion(4, ONE.rows, {"a": "e" * 64})
    assert data_version(again) == data_version(ONE)
    assert data_version(other) != data_version(ONE)


def noted(rows) -> dict[str, dict[str, int]]:
    """What a run over a range notes on each partition."""
    keys = list(rows)

    @dg.asset(
        key=KEY,
        partitions_def=dg.StaticPartitionsDefinition(keys),
        backfill_policy=dg.BackfillPolicy.single_run(),
    )
    def table(context) -> dg.MaterializeResult:
        add_partition_rows(context, KEY, rows)
        return dg.MaterializeResult()

    done = dg.materialize(
        [table],
        tags={
            "dagster/asset_partition_range_start": keys[0],
            "dagster/asset_partition_range_end": keys[-1],
        },
    )
    return {
        event.partition: {name: value.value for name, value in event.metadata.items()}
        for event in done.asset_materializations_for_node("m__t")
    }


def test_given_a_range_then_each_partition_carries_its_own_counts():
    said = noted({"a": {"rows": 3}, "b": {"rows": 0}})
    assert {key: counts["partition_rows"] for key, counts in said.items()} == {"a": 3, "b": 0}


def test_given_one_partition_then_nothing_is_noted_beside_what_is_returned():
    assert "partition_rows" not in noted({"a": {"rows": 3}})["a"]


def test_the_schema_shows_types_nulls_and_what_identifies_a_row(model):
    shown = {c.name: c for c in source_schema(model.sources["planes"]).columns}
    assert list(shown) == list(model.sources["planes"].columns)
    assert (shown["tailnum"].type, shown["tailnum"].constraints.unique) == ("str", True)
    assert not shown["tailnum"].constraints.nullable
    assert shown["year"].constraints.nullable
    assert shown["year"].description == "year built"
    assert shown["seats"].description is None


def test_given_a_key_of_several_columns_then_none_of_them_is_unique_alone(model):
    schema = source_schema(model.sources["weather"])
    assert not [column.name for column in schema.columns if column.constraints.unique]


def test_each_validated_column_comes_from_the_raw_one_of_its_name(model):
    source = model.sources["airlines"]
    lineage = source_lineage(source, KEY).deps_by_column
    assert lineage == {name: [dg.TableColumnDep(KEY, name)] for name in ("carrier", "name")}


def test_a_picture_is_shown_in_place_and_whole():
    png = bytes(range(256))
    shown = image(png).value
    assert shown.startswith("![plot](data:image/png;base64,")
    encoded = shown.removeprefix("![plot](data:image/png;base64,").removesuffix(")")
    assert base64.b64decode(encoded) == png
    assert pictures({"roc": png})["roc"].value == shown


def test_metrics_that_could_not_be_measured_are_left_out():
    shown = numbers({"auc": None, "brier": 0.2, "share": 0.0})
    assert {name: value.value for name, value in shown.items()} == {"brier": 0.2, "share": 0.0}


def test_rows_become_a_markdown_table_with_the_first_rows_keys_as_heading():
    rows = [{"rule": "a|b", "rows": 3, "share": 0.123456}, {"rule": "c", "rows": 0, "share": 1.0}]
    assert markdown_table(rows).value.split("\n") == [
        "| rule | rows | share |",
        "| --- | --- | --- |",
        "| a\\|b | 3 | 0.1235 |",
        "| c | 0 | 1 |",
    ]


def test_given_no_rows_then_the_table_says_so():
    assert markdown_table([]).value == "*none*"


@pytest.mark.xfail(strict=True, raises=KeyError, reason="the first row's keys are asked of all")
def test_given_rows_that_differ_in_their_keys_then_a_table_is_drawn_all_the_same():
    rows = [{"version": "v1", "auc": 0.7}, {"version": "v2"}]
    assert markdown_table(rows).value.split("\n")[-1] == "| v2 |  |"


@pytest.mark.parametrize(
    ("outcome", "green"), [("passed", True), ("failed", False), ("inconclusive", False)]
)
def test_only_a_passed_verdict_is_green_and_the_rest_is_an_error(outcome, green):
    shown = check_result(Verdict("holds", outcome, "because", {"rows": 3}), KEY)
    assert shown.passed is green
    assert shown.severity is dg.AssetCheckSeverity.ERROR
    assert (shown.check_name, shown.asset_key, shown.description) == ("holds", KEY, "because")
    assert shown.metadata["outcome"].value == outcome
    assert shown.metadata["rows"].value == 3


def test_evidence_that_is_no_plain_value_is_shown_as_json_and_none_is_left_out():
    evidence = {"canary": {"version": "v2", "errors": 1}, "names": ["a"], "nothing": None}
    shown = check_result(Verdict("holds", "passed", "because", evidence), KEY).metadata
    assert set(shown) == {"outcome", "canary", "names"}
    assert shown["canary"].value == {"version": "v2", "errors": 1}
    assert shown["names"].value == ["a"]
