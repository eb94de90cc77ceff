"""What a person sees on a materialization says what was written, in full and in words."""

from __future__ import annotations

import base64

import dagster as dg
import pytest

from mlops_assets.adapters.ports import TableVersion
from mlops_assets.components.metadata import (
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
from mlops_assets.lifecycle.sources import UNPARTITIONED
from mlops_assets.lifecycle.verdicts import Verdict

KEY = dg.AssetKey(["m", "t"])
TWO = TableVersion(5, {"a": 3, "b": 0}, {"a": "f" * 64, "b": "0" * 64})


def shown(written: TableVersion, counts=None) -> dict[str | None, dict]:
    """What a run that wrote the partitions shows on each of them."""
    keys = [key for key in written.rows if key != UNPARTITIONED]
    over = dg.StaticPartitionsDefinition(keys) if keys else None

    @dg.asset(
        key=KEY,
        partitions_def=over,
        backfill_policy=dg.BackfillPolicy.single_run() if over else None,
    )
    def table(context) -> dg.MaterializeResult:
        return dg.MaterializeResult(metadata=table_metadata(context, KEY, written, counts))

    first, last = "dagster/asset_partition_range_start", "dagster/asset_partition_range_end"
    done = dg.materialize([table], tags={first: keys[0], last: keys[-1]} if keys else None)
    return {
        event.partition: {name: value.value for name, value in event.metadata.items()}
        for event in done.asset_materializations_for_node("m__t")
    }


def test_given_a_table_without_partitions_then_its_rows_and_fingerprint_are_shown():
    whole = TableVersion(4, {UNPARTITIONED: 3}, {UNPARTITIONED: "f" * 64})
    assert shown(whole)[None] == {
        "dagster/row_count": 3,
        "fingerprint": "f" * 64,
        "delta_version": 4,
        "rows_written": 3,
        "partitions_written": 1,
    }


def test_given_a_range_then_each_partition_carries_its_own_rows_and_fingerprint():
    assert {
        key: (said["dagster/row_count"], said["fingerprint"]) for key, said in shown(TWO).items()
    } == {"a": (3, "f" * 64), "b": (0, "0" * 64)}


def test_given_a_range_then_what_was_written_as_a_whole_is_shown_on_each_partition():
    for said in shown(TWO).values():
        assert (said["delta_version"], said["rows_written"], said["partitions_written"]) == (
            5,
            3,
            2,
        )


def test_given_counts_then_they_are_shown_on_their_own_partition_alone():
    said = shown(TWO, {"a": {"raw": 7}})
    assert said["a"]["raw"] == 7
    assert "raw" not in said["b"]


def test_the_data_version_follows_the_rows_not_the_number_or_the_order_of_the_write():
    turned = TableVersion(17, TWO.rows, dict(reversed(TWO.fingerprints.items())))
    other = TableVersion(5, TWO.rows, {**TWO.fingerprints, "a": "e" * 64})
    assert data_version(turned) == data_version(TWO)
    assert data_version(other) != data_version(TWO)


def test_the_schema_shows_types_nulls_and_what_identifies_a_row(model):
    seen = {c.name: c for c in source_schema(model.sources["planes"]).columns}
    assert list(seen) == list(model.sources["planes"].columns)
    assert (seen["tailnum"].type, seen["tailnum"].constraints.unique) == ("str", True)
    assert not seen["tailnum"].constraints.nullable
    assert seen["year"].constraints.nullable
    assert seen["year"].description == "year built"
    assert seen["seats"].description is None


def test_given_a_key_of_several_columns_then_none_of_them_is_unique_alone(model):
    schema = source_schema(model.sources["weather"])
    assert not [column.name for column in schema.columns if column.constraints.unique]


def test_each_validated_column_comes_from_the_raw_one_of_its_name(model):
    source = model.sources["airlines"]
    lineage = source_lineage(source, KEY).deps_by_column
    assert lineage == {name: [dg.TableColumnDep(KEY, name)] for name in ("carrier", "name")}


def test_a_picture_is_shown_in_place_and_whole():
    png = bytes(range(256))
    seen = image(png).value
    assert seen.startswith("![plot](data:image/png;base64,")
    encoded = seen.removeprefix("![plot](data:image/png;base64,").removesuffix(")")
    assert base64.b64decode(encoded) == png
    assert pictures({"roc": png})["roc"].value == seen


def test_metrics_that_could_not_be_measured_are_left_out():
    seen = numbers({"auc": None, "brier": 0.2, "share": 0.0})
    assert {name: value.value for name, value in seen.items()} == {"brier": 0.2, "share": 0.0}


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


def test_given_rows_that_differ_in_their_keys_then_a_table_is_drawn_all_the_same():
    rows = [{"version": "v1", "auc": 0.7}, {"version": "v2"}]
    assert markdown_table(rows).value.split("\n")[-1] == "| v2 |  |"


@pytest.mark.parametrize(
    ("outcome", "green"), [("passed", True), ("failed", False), ("inconclusive", False)]
)
def test_only_a_passed_verdict_is_green_and_the_rest_is_an_error(outcome, green):
    seen = check_result(Verdict("holds", outcome, "because", {"rows": 3}), KEY)
    assert seen.passed is green
    assert seen.severity is dg.AssetCheckSeverity.ERROR
    assert (seen.check_name, seen.asset_key, seen.description) == ("holds", KEY, "because")
    assert seen.metadata["outcome"].value == outcome
    assert seen.metadata["rows"].value == 3


def test_evidence_that_is_no_plain_value_is_shown_as_json_and_none_is_left_out():
    evidence = {"canary": {"version": "v2", "errors": 1}, "names": ["a"], "nothing": None}
    seen = check_result(Verdict("holds", "passed", "because", evidence), KEY).metadata
    assert set(seen) == {"outcome", "canary", "names"}
    assert seen["canary"].value == {"version": "v2", "errors": 1}
    assert seen["names"].value == ["a"]
