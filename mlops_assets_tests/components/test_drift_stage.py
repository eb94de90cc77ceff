"""Rows, answers and labels are compared with those of the champion's training."""

from __future__ import annotations

from dataclasses import asdict
from datetime import timedelta

import polars as pl
import pytest

from mlops_assets.adapters.in_memory import InMemoryLedger, InMemoryModelFiles
from mlops_assets.adapters.journal import write_once
from mlops_assets.components.stages import drift as stage
from mlops_assets.components.stages.reference import read_reference
from mlops_assets.lifecycle.errors import RefusedError, ReportError
from mlops_assets.lifecycle.performance import PerformanceReport
from mlops_assets_tests.components.watched import AS_OF, ROWS, WEEK, Watched


@pytest.fixture
def watched(world) -> Watched:
    return Watched(world)


def roles(measured: stage.MeasuredDrift) -> dict[str, str]:
    """The columns that are no features, by name."""
    return {c.column: c.role for c in measured.report.columns if c.role != "feature"}


class TestRows:
    def test_given_no_champion_then_refused_in_words(self, world, watched):
        world.ledger = InMemoryLedger()
        with pytest.raises(RefusedError) as refused:
            watched.compare()
        assert str(refused.value) == (
            "flight_delays: no version serves yet; release one before monitoring it"
        )

    def test_given_rows_as_in_training_then_the_reference_holds_and_nothing_is_drawn(
        self, world, watched
    ):
        watched.answer()
        measured = watched.compare()
        assert (measured.report.verdict.outcome, measured.page) == ("passed", None)
        assert measured.triage.cause == "nothing"
        (row,) = world.rows("drift", WEEK)
        assert (row["version"], row["outcome"], row["intact"]) == ("v1", "passed", "passed")

    def test_given_copies_to_a_shadow_then_they_are_no_rows_that_callers_asked_for(self, watched):
        watched.answer(copies=9.0)
        measured = watched.compare()
        assert measured.report.verdict.outcome == "passed"
        assert measured.report.current_rows == ROWS

    def test_given_shifted_rows_then_the_drift_is_recorded_once_and_drawn(self, world, watched):
        watched.answer(9.0)
        for _ in range(2):
            measured = watched.compare()
        assert measured.report.verdict.outcome == "failed"
        assert str(measured.page.path).endswith("flight_delays/drift-2013-05-20-v1.html")
        assert list(watched.reports.drawn) == [measured.page.path]
        assert [row["outcome"] for row in world.rows("drift", WEEK)] == ["failed"]

    def test_the_row_says_all_that_was_found_and_what_is_behind_it(self, world, watched):
        watched.answer(9.0)
        measured = watched.compare()
        (row,) = world.rows("drift", WEEK)
        report = measured.report
        assert row["reason"] == report.verdict.reason
        assert (row["intact"], row["intact_reason"]) == (
            report.intact.outcome,
            report.intact.reason,
        )
        assert row["share"] == report.share
        assert (row["reference_rows"], row["current_rows"]) == (8 * ROWS, ROWS)
        assert [column["column"] for column in row["columns"]] == [
            column.column for column in report.columns
        ]
        assert row["triage"]["cause"] == measured.triage.cause
        assert row["triage"]["reason"] == measured.triage.reason

    def test_a_later_look_at_other_rows_is_a_row_of_its_own(self, world, watched):
        watched.answer(9.0)
        watched.compare()
        watched.answer()
        watched.compare()
        assert [row["outcome"] for row in world.rows("drift", WEEK)] == ["failed", "passed"]

    def test_the_reference_is_of_the_partitions_before_the_training_date(self, world, watched):
        reference = read_reference(world.model, AS_OF, watched.tables)
        before = world.model.calendar.before(AS_OF, world.model.spec.monitoring.reference)
        assert sorted(reference["partition"].unique()) == list(before)

    def test_a_feature_that_the_version_does_not_know_is_not_compared_and_it_is_said(
        self, world, watched
    ):
        names = [feature.name for feature in world.model.features if feature.name != "temp"]
        known = {"importance": {**dict.fromkeys(names, 0.1), "tide": 0.1}}
        write_once(world.ledger, "evaluation", world.name, watched.digest, known, world.clock.now())
        watched.answer(temp=None)
        measured = watched.compare()
        assert [column.column for column in measured.report.columns] == names
        assert (measured.triage.cause, measured.report.alarm) == ("nothing", False)
        assert measured.left_out[:2] == (
            "features: v1 does not know temp",
            "features: v1 rests on tide, gone from the model",
        )

    def test_answers_of_a_version_that_did_not_know_a_feature_are_not_compared_and_it_is_said(
        self, world, watched
    ):
        names = [feature.name for feature in world.model.features]
        digests = {"v1": watched.digest, "v0": "e" * 64}
        for version, digest in digests.items():
            known = {"importance": {n: 0.1 for n in names if (n, version) != ("temp", "v0")}}
            write_once(world.ledger, "evaluation", world.name, digest, known, world.clock.now())
            said = world.recorded(digest)
            write_once(world.ledger, "version", world.name, version, said, world.clock.now())
        watched.answer(temp=None, version="v0")
        before = watched.tables.read("flight_delays/predictions", [WEEK]).drop("partition")
        earlier = before.with_columns(pl.format("e{}", "request_id").alias("request_id"))
        watched.answer()
        answers = watched.tables.read("flight_delays/predictions", [WEEK]).drop("partition")
        both = pl.concat([earlier, answers], how="diagonal_relaxed")
        watched.tables.write("flight_delays/predictions", {WEEK: both})
        measured = watched.compare()
        assert (measured.report.current_rows, measured.triage.cause) == (ROWS, "nothing")
        assert measured.left_out[0] == (
            f"features: {ROWS} answers of versions that do not know all of them"
        )


class TestAnswers:
    def test_answers_are_compared_with_those_to_the_rows_the_version_was_tested_on(self, watched):
        watched.record_test()
        watched.answer()
        measured = watched.compare()
        assert roles(measured)["probability"] == "prediction"
        (column,) = [c for c in measured.report.columns if c.role == "prediction"]
        assert (column.effect < 0.1, column.weight) == (True, 0.0)

    def test_given_other_answers_to_the_same_rows_then_they_are_flagged_and_weigh_nothing(
        self, watched
    ):
        watched.record_test()
        watched.answer(move=0.3)
        measured = watched.compare()
        (column,) = [c for c in measured.report.columns if c.role == "prediction"]
        assert column.drifted
        assert measured.report.verdict.outcome == "passed"
        assert (measured.report.alarm, measured.page) == (True, None)

    def test_copies_are_no_answers(self, watched):
        watched.record_test()
        watched.answer(copies=0.0)
        (column,) = [c for c in watched.compare().report.columns if c.role == "prediction"]
        assert column.effect < 0.1

    @pytest.mark.parametrize(
        ("spoil", "said"),
        [
            (lambda w: w.answer(version="v2"), "predictions: v1 answered nothing in this"),
            (lambda w: setattr(w, "files", InMemoryModelFiles()), "the files of v1 are not there"),
        ],
    )
    def test_given_nothing_to_compare_answers_with_then_the_rest_is_and_it_is_said(
        self, watched, spoil, said
    ):
        watched.record_test()
        watched.answer()
        spoil(watched)
        measured = watched.compare()
        assert "prediction" not in roles(measured).values()
        assert said in measured.left_out[0]
        assert measured.report.verdict.outcome == "passed"

    def test_given_no_record_of_what_it_was_tested_on_then_it_is_said(self, watched):
        watched.answer()
        assert watched.compare().left_out[0] == (
            "predictions: what v1 was tested on is not recorded"
        )

    def test_given_tampered_files_then_nothing_is_loaded_and_it_is_said(self, watched):
        watched.record_test()
        watched.answer()
        ((_, files),) = watched.files.folders.items()
        files[next(iter(files))] += b" "
        measured = watched.compare()
        assert "prediction" not in roles(measured).values()
        assert measured.left_out


class TestLabels:
    @pytest.mark.parametrize(("late", "drifted"), [(0.2, False), (0.7, True)])
    def test_labels_are_compared_with_those_of_the_reference(self, watched, late, drifted):
        watched.answer()
        watched.label(late)
        measured = watched.compare()
        (column,) = [c for c in measured.report.columns if c.role == "label"]
        assert (column.column, column.drifted, column.weight) == ("late", drifted, 0.0)

    def test_labels_that_are_not_known_yet_are_not_compared(self, world, watched):
        watched.answer()
        watched.label(0.7, known=world.clock.now() + timedelta(hours=1))
        measured = watched.compare()
        assert "late" not in roles(measured)
        assert "labels: this partition has none yet" in measured.left_out

    def test_given_no_labels_at_all_then_it_is_said(self, watched):
        watched.answer()
        assert "labels: none was ever materialized" in watched.compare().left_out


class TestCause:
    def test_labels_that_are_worse_than_promised_are_concept_drift(self, world, watched):
        watched.answer()
        worse = PerformanceReport(
            350,
            350,
            0.3,
            {"brier": 0.25},
            "final",
            {"brier": 0.15},
            {"brier": -0.1},
            {"value": 0.1, "low": 0.08, "high": 0.12, "days": 7},
        )
        for entry, cause in (("v2", "nothing"), ("v1", "concept_drift")):
            body = {entry: asdict(worse)}
            write_once(world.ledger, "performance", world.name, WEEK, body, world.clock.now())
            assert watched.compare().triage.cause == cause

    def test_rows_of_performance_of_before_can_be_read(self, world):
        old = {"v1": {"predictions": 3, "labelled": 0, "positive_rate": None, "metrics": {}}}
        write_once(world.ledger, "performance", world.name, WEEK, old, world.clock.now())
        entry = stage.read_entry(world.model, WEEK, "v1", world.ledger)
        assert (entry.predictions, entry.gap) == (3, None)
        assert stage.read_entry(world.model, WEEK, "v2", world.ledger) is None
        assert stage.read_entry(world.model, AS_OF, "v1", world.ledger) is None


class Broken:
    """Reports that cannot be drawn."""

    def drift(self, name, *_):
        raise ReportError(f"report {name}: no room left")


class TestPage:
    @pytest.mark.parametrize(
        ("shift", "render", "drawn"),
        [
            (0.0, "alarms", False),
            (0.0, "always", True),
            (0.0, "never", False),
            (9.0, "alarms", True),
            (9.0, "never", False),
        ],
    )
    def test_a_page_is_drawn_for_alarms_and_on_demand(self, watched, shift, render, drawn):
        watched.answer(shift)
        assert (watched.compare(render=render).page is not None) is drawn

    def test_the_page_shows_every_column_that_was_compared(self, watched):
        watched.record_test()
        watched.answer()
        watched.label(0.2)
        measured = watched.compare(render="always")
        ((reference, current, report),) = watched.reports.drawn.values()
        for table in (reference, current):
            for column in report.columns:
                assert table[column.column].drop_nulls().len() > 0
        assert current["probability"].drop_nulls().len() == ROWS
        assert reference["probability"].drop_nulls().len() == 2 * ROWS
        assert measured.page.url.endswith("flight_delays/drift-2013-05-20-v1.html")

    def test_given_a_page_that_cannot_be_drawn_then_what_was_found_is_kept(self, world, watched):
        watched.answer(9.0)
        watched.reports = Broken()
        measured = watched.compare()
        assert measured.page is None
        assert "no room left" in measured.undrawn
        assert [row["outcome"] for row in world.rows("drift", WEEK)] == ["failed"]

    def test_given_too_few_rows_then_nothing_is_drawn_even_on_demand(self, watched):
        watched.answer()
        few = watched.tables.read("flight_delays/predictions", [WEEK]).head(20)
        watched.tables.write("flight_delays/predictions", {WEEK: few.drop("partition")})
        measured = watched.compare(render="always")
        assert measured.report.verdict.outcome == "inconclusive"
        assert measured.page is None


def test_rows_of_a_backtest_are_measured_by_the_same_rule(world, watched):
    for shift, outcome in ((0.0, "passed"), (9.0, "failed")):
        rows = watched.rows(WEEK, shift)
        report = stage.measure_shift(
            world.model,
            AS_OF,
            watched.digest,
            rows,
            "scheduled_departure",
            watched.tables,
            world.ledger,
        )
        assert report.verdict.outcome == outcome
        assert not {c.column for c in report.columns} & {"probability", "late"}
    assert world.rows("drift") == []
