"""One month of one version, from the first estimate to the last label: each revision is kept."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import dagster as dg
import polars as pl
import pytest

from mlops_assets.adapters.in_memory import InMemoryModelFiles
from mlops_assets.components.assets.performance import build_performance
from mlops_assets.components.stages import performance as stage
from mlops_assets.components.stages.confidence import load_confidence, read_confidence
from mlops_assets.components.stages.predictions import collect_predictions
from mlops_assets.components.stages.training_sets import days_of, load_split
from mlops_assets.lifecycle.confidence import fit_confidence, hold_back
from mlops_assets.lifecycle.performance import PerformanceReport
from mlops_assets.lifecycle.training import predict_probability
from mlops_assets_tests.adapters.prediction_lines import line
from mlops_assets_tests.components.bench import ALONE, AS_OF, NAME, Bench, make_bench

MONTH = AS_OF
LABELS = f"{NAME}/labels"
GATES = {"gates": {"minimum": {"auc": 0.6}, "minimum_rows": 60}}
CANCELLED = 3
"""So many rows of the month never get a label."""


@pytest.fixture
def bench() -> Bench:
    """A registered version, the answers of its first month, and no labels of that month."""
    made = make_bench(ALONE | GATES)
    made.make()
    made.evaluate()
    assert made.register().version.version == "v1"
    rows = made.tables.read(f"{NAME}/features", [MONTH])
    fitted, signature = made.files.load(digest_of(made))
    answers = predict_probability(fitted, rows, signature.features)
    for number, row in enumerate(rows.iter_rows(named=True)):
        answered = line(
            row["predicted_at"],
            request_id=f"r{number}",
            model=NAME,
            digest=digest_of(made),
            entity=[row["day"]],
            time=[row["predicted_at"].isoformat()],
            features={name: [row[name]] for name in signature.names},
            probability=[float(answers[number])],
        )
        made.world.telemetry.log(NAME, answered)
    collect_predictions(made.model, [MONTH], made.world.telemetry, made.tables)
    made.labels = made.tables.read(LABELS, [MONTH]).drop("partition")
    made.tables.write(LABELS, {MONTH: made.labels.clear()})
    return made


def digest_of(bench: Bench) -> str:
    return bench.world.rows("version", "v1")[0]["digest"]


def arrive(bench: Bench) -> None:
    """Labels are ingested: some entities never get one."""
    never = pl.int_range(pl.len()) < CANCELLED
    columns = (pl.when(~never).then(pl.col(name)).alias(name) for name in ("rain", "known_at"))
    bench.tables.write(LABELS, {MONTH: bench.labels.with_columns(*columns)})


def monitor(bench: Bench, day: int, files: Any = None) -> dict[str, PerformanceReport]:
    """Measure and record, that many days into the month."""
    world = bench.world
    world.clock.at = bench.model.calendar.begin(MONTH) + timedelta(days=day)
    reports = stage.measure_versions(
        bench.model, [MONTH], bench.tables, world.ledger, files or bench.files, world.clock
    )
    stage.record_performance(bench.model, MONTH, reports, world.ledger, world.clock)
    return reports


def materialize(bench: Bench) -> tuple[dict[str, Any], dg.AssetCheckResult]:
    """What the asset shows, and its check."""
    with dg.build_asset_context(partition_key=MONTH) as context:
        result = build_performance(bench.model)(
            context,
            tables=bench.tables,
            ledger=bench.world.ledger,
            model_files=bench.files,
            clock=bench.world.clock,
        )
    (check,) = result.check_results
    return {name: getattr(v, "value", v) for name, v in result.metadata.items()}, check


class TestMaturing:
    def test_it_is_estimated_then_partial_then_final_and_each_revision_is_kept(self, bench):
        monitor(bench, 5)
        arrive(bench)
        monitor(bench, 14)
        monitor(bench, 40)
        revisions = [of["v1"] for _, of in stage.read_revisions(bench.world.ledger, NAME, MONTH)]
        assert [r.maturity for r in revisions] == ["estimated", "partial", "final"]
        assert [r.labelled + r.pending for r in revisions] == [60, 60 - CANCELLED, 60 - CANCELLED]
        assert [r.pending for r in revisions][::2] == [60, 0]
        assert 0 < revisions[1].pending < 60
        assert revisions[0].estimated == revisions[2].estimated

    def test_the_error_of_the_estimate_is_told_against_the_labels(self, bench):
        arrive(bench)
        report = monitor(bench, 40)["v1"]
        for name in ("accuracy", "brier", "log_loss", "auc"):
            assert name in report.estimate_error
            assert abs(report.estimate_error[name]) < 0.2
        assert report.gap["days"] > 20
        assert report.gap["low"] < report.gap["value"] < report.gap["high"]

    def test_measured_again_with_nothing_new_no_revision_is_added(self, bench):
        for _ in range(3):
            monitor(bench, 5)
        assert len(bench.world.rows("performance", MONTH)) == 1

    def test_before_the_table_of_labels_is_there_the_estimate_is(self, bench):
        monitor(bench, 5)  # fits the map, for which labels were needed
        bench.tables.read = without(bench.tables.read, LABELS)
        bench.tables.version = lambda table: None if table == LABELS else 1
        report = monitor(bench, 6)["v1"]
        assert (report.maturity, report.pending, report.labelled) == ("estimated", 60, 0)
        assert report.estimated["accuracy"] > 0.5

    def test_the_accuracy_is_that_at_the_threshold_that_callers_act_from(self, bench):
        arrive(bench)
        found = monitor(bench, 40)["v1"].metrics["accuracy"]
        rows = bench.tables.read(f"{NAME}/predictions", [MONTH]).join(
            bench.tables.read(LABELS, [MONTH]), left_on="entity", right_on="day"
        )
        threshold = bench.model.spec.evaluation.costs.decision_threshold
        right = (rows["probability"] >= threshold) == rows["rain"]
        assert found == pytest.approx(right.mean())

    def test_reports_are_read_back_as_they_were_written(self, bench):
        monitor(bench, 5)
        arrive(bench)
        latest = monitor(bench, 40)
        *_, (_, read) = stage.read_revisions(bench.world.ledger, NAME, MONTH)
        assert read == latest


class TestConfidence:
    def confidence(self, bench, files=None, version="v1"):
        world = bench.world
        return load_confidence(
            bench.model, version, bench.tables, world.ledger, files or bench.files, world.clock
        )

    def test_it_is_fitted_on_the_test_rows_of_the_version(self, bench):
        test = load_split(bench.model, AS_OF, bench.tables, bench.world.ledger)[1].test
        fitted, signature = bench.files.load(digest_of(bench))
        answers = predict_probability(fitted, test, signature.features)
        truth = test["rain"].cast(int).to_numpy()
        found, note = self.confidence(bench)
        expected = hold_back(fit_confidence(answers, truth, days_of(bench.model, test)))
        assert found.rows == test.height == 120
        assert (found.intercept, found.slope) == pytest.approx((expected.intercept, expected.slope))
        assert note == ""

    def test_it_is_fitted_once_and_read_from_the_ledger_after(self, bench):
        first, _ = self.confidence(bench)
        (row,) = bench.world.rows("confidence")
        assert read_confidence(row) == first
        assert self.confidence(bench, files=InMemoryModelFiles())[0] == first

    def test_without_files_there_is_no_estimate_and_it_says_why(self, bench):
        report = monitor(bench, 5, InMemoryModelFiles())["v1"]
        assert (report.estimated, report.maturity) == ({}, "estimated")
        assert report.note.startswith("no estimate: model files:")

    def test_given_another_training_set_by_now_then_that_of_the_version_is_used(self, bench):
        first, _ = self.confidence(bench)
        again = make_bench(ALONE | GATES)
        again.world.ledger, again.tables, again.files = (
            bench.world.ledger,
            bench.tables,
            bench.files,
        )
        again.plan(rows="complete_cases")
        assert len(bench.world.rows("training_set", AS_OF)) == 2
        assert self.confidence(bench)[0] == first

    def test_without_the_training_set_it_says_which_is_missing(self, bench):
        bench.world.add_version("e" * 64)
        found, note = self.confidence(bench, version="v2")
        assert found is None
        assert note == "no estimate: the training set dddddddddddd as of 2013-04-01 is not in " + (
            "the ledger"
        )

    def test_a_version_nobody_registered_has_none(self, bench):
        assert self.confidence(bench, version="v9") == (
            None,
            "no estimate: v9 is not in the ledger",
        )


class TestAsset:
    def test_before_labels_it_shows_the_estimate_and_how_many_are_pending(self, bench):
        monitor(bench, 5)
        shown, check = materialize(bench)
        assert (shown["maturity"], shown["labels_pending"]) == ("estimated", 60)
        assert shown["estimated_accuracy"] > 0.5
        assert "auc" not in shown
        assert (check.passed, check.severity) == (False, dg.AssetCheckSeverity.WARN)
        assert check.description == "none of 60 predictions has a label yet"

    def test_once_final_it_shows_estimated_beside_measured_and_all_revisions(self, bench):
        monitor(bench, 5)
        arrive(bench)
        monitor(bench, 14)
        monitor(bench, 40)
        shown, check = materialize(bench)
        error = shown["estimate_error_accuracy"]
        report = stage.read_revisions(bench.world.ledger, NAME, MONTH)[-1][1]["v1"]
        assert error == pytest.approx(report.estimate_error["accuracy"])
        header, _, *revisions = shown["revisions"].splitlines()
        assert "accuracy estimated | accuracy measured | error of the estimate" in header
        assert [row.split(" | ")[3] for row in revisions] == ["estimated", "partial", "final"]
        assert check.check_name == "is_as_good_as_promised"
        assert check.metadata["days"].value == report.gap["days"]

    def test_without_an_estimate_it_says_why(self, bench):
        bench.files.folders.clear()
        shown, _ = materialize(bench)
        assert shown["note"].startswith("no estimate: model files:")


def without(read: Any, table: str) -> Any:
    """A read of tables of which one was never written."""

    def reading(name: str, *rest: Any, **options: Any) -> pl.DataFrame:
        if name == table:
            raise KeyError(name)
        return read(name, *rest, **options)

    return reading


def test_a_label_that_is_known_later_than_now_is_not_known(bench):
    """What a replay has ingested ahead of its clock does not count before its time."""
    arrive(bench)
    assert datetime.fromisoformat(f"{MONTH}T00:00:00+00:00") < bench.labels["known_at"].min()
    assert monitor(bench, 0)["v1"].labelled == 0
