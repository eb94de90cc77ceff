"""Which rows a model is made and judged on: planned, recorded, and read again as they were."""

from __future__ import annotations

import itertools
from datetime import date

import polars as pl
import pytest

from mlops_assets.components.stages.training_sets import (
    days_of,
    describe_dataset,
    load_split,
    read_recorded,
    read_training_set,
)
from mlops_assets.lifecycle.errors import TrainingError
from mlops_assets_tests.components.bench import AS_OF, MONTHS, NAME, Bench, fill, make_bench


@pytest.fixture
def bench() -> Bench:
    return make_bench()


def load(bench: Bench):
    return load_split(bench.model, AS_OF, bench.tables, bench.world.ledger)


class TestPlan:
    def test_given_no_tables_then_both_are_named(self):
        with pytest.raises(TrainingError) as error:
            make_bench(filled=False).plan()
        assert str(error.value) == "training set: features, labels were never materialized"

    def test_given_a_month_is_missing_then_it_is_named(self):
        bench = make_bench(filled=False)
        fill(bench, MONTHS[:7])
        with pytest.raises(TrainingError) as error:
            bench.plan()
        assert str(error.value) == (
            "training set: as of 2012-09-01 it needs features of 1 partition(s) that hold no "
            "rows: 2012-08-01; materialize them first"
        )

    def test_given_enough_months_then_the_plan_is_recorded_with_its_digest(self, bench):
        planned = bench.plan()
        assert planned.verdict.passed
        (row,) = bench.world.rows("training_set", AS_OF)
        assert row["digest"] == planned.training_set.digest
        assert row["test"] == ["2012-07-01", "2012-08-01"]
        assert row["calibration"] == ["2012-05-01", "2012-06-01"]
        assert read_training_set(row) == planned.training_set

    def test_given_planned_again_then_nothing_is_added(self, bench):
        bench.plan()
        bench.plan()
        assert len(bench.world.rows("training_set")) == 1

    def test_given_complete_cases_then_it_is_another_training_set(self, bench):
        assert bench.plan().training_set.digest != (
            bench.plan(rows="complete_cases").training_set.digest
        )
        assert [row["rows"] for row in bench.world.rows("training_set")] == [
            "all",
            "complete_cases",
        ]

    def test_given_other_labels_since_then_the_digest_is_another(self, bench):
        first = bench.plan().training_set.digest
        labels = bench.tables.read(f"{NAME}/labels", ["2012-03-01"]).drop("partition")
        turned = labels.with_columns(~pl.col("rain"))
        bench.tables.write(f"{NAME}/labels", {"2012-03-01": turned})
        assert bench.plan().training_set.digest != first

    def test_given_equal_rows_written_again_in_another_order_then_the_digest_stays(self, bench):
        first = bench.plan().training_set
        for table in ("features", "labels"):
            rows = bench.tables.read(f"{NAME}/{table}", ["2012-03-01"]).drop("partition")
            bench.tables.write(f"{NAME}/{table}", {"2012-03-01": rows.reverse()})
        again = bench.plan().training_set
        assert again.digest == first.digest
        assert again.versions != first.versions

    def test_given_rows_of_a_later_month_then_the_digest_stays(self, bench):
        first = bench.plan().training_set.digest
        rows = bench.tables.read(f"{NAME}/features", ["2012-09-01"]).drop("partition")
        bench.tables.write(f"{NAME}/features", {"2012-09-01": rows.head(3)})
        assert bench.plan().training_set.digest == first


class TestReading:
    def test_given_no_plan_then_what_to_materialize_first_is_said(self, bench):
        with pytest.raises(TrainingError) as error:
            load(bench)
        assert str(error.value) == (
            "training set: none as of 2012-09-01; materialize training_set first"
        )

    def test_given_tables_rewritten_since_then_the_rows_are_those_that_were_planned(self, bench):
        bench.plan()
        _, before = load(bench)
        fill(bench, seed=8)
        _, after = load(bench)
        for part in ("fit", "calibration", "test"):
            assert getattr(after, part).equals(getattr(before, part))

    def test_the_parts_follow_each_other_in_time_and_share_no_row(self, bench):
        bench.plan()
        planned, split = load(bench)
        parts = [split.fit, split.calibration, split.test]
        ends = [(part["predicted_at"].min(), part["predicted_at"].max()) for part in parts]
        assert all(before[1] < after[0] for before, after in itertools.pairwise(ends))
        assert sum(part["day"].n_unique() for part in parts) == sum(part.height for part in parts)
        assert planned == read_recorded(bench.model, AS_OF, bench.world.ledger)


def test_a_day_is_that_of_the_place_and_not_of_greenwich(bench):
    late = pl.Series(["2012-03-02T06:00:00"]).str.to_datetime(time_unit="us", time_zone="UTC")
    days = days_of(bench.model, pl.DataFrame({"predicted_at": late}))
    assert days.tolist() == [date(2012, 3, 1)]


def test_a_data_set_is_named_by_its_table_and_the_digest_of_its_rows(bench):
    planned = bench.plan().training_set
    described = describe_dataset(bench.model, planned, 240, "training")
    assert (described.name, described.digest) == (f"{NAME}/features", planned.digest)
    assert (described.source, described.rows, described.context) == (NAME, 240, "training")
