"""Labels come late: what is estimated before them, and what they say as they come."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from mlops_assets.lifecycle.confidence import ConfidenceMap, estimate_metrics, fit_confidence
from mlops_assets.lifecycle.performance import judge_gap, measure_performance

AS_ANSWERED = ConfidenceMap(0.0, 1.0, 0)
FIRST = date(2013, 5, 20)


def predictions(late: list[bool | None], probability: list[float | None]) -> pl.DataFrame:
    return pl.DataFrame(
        {"late": late, "probability": probability}, schema_overrides={"late": pl.Boolean}
    )


def settled(rows: pl.DataFrame, *said: bool) -> pl.DataFrame:
    return rows.with_columns(settled=pl.Series(said, dtype=pl.Boolean))


def days_of_flights(seed: int, days: int, *, shift: float = 0.0, luck: float = 0.0) -> pl.DataFrame:
    """200 answers a day. ``shift``: the same answers mean more than they say, in log-odds;
    ``luck``: how much that differs from day to day."""
    random = np.random.default_rng(seed)
    answered = np.clip(random.beta(1.5, 4, (days, 200)), 0.01, 0.99)
    odds = np.log(answered / (1 - answered)) + shift + luck * random.normal(size=(days, 1))
    late = random.random(answered.shape) < 1 / (1 + np.exp(-odds))
    return pl.DataFrame(
        {
            "late": late.ravel(),
            "probability": answered.ravel(),
            "day": [FIRST + timedelta(days=n) for n in range(days) for _ in range(200)],
        }
    )


def map_of(rows: pl.DataFrame) -> ConfidenceMap:
    truth = rows["late"].cast(int).to_numpy()
    return fit_confidence(rows["probability"].to_numpy(), truth, rows["day"].to_numpy())


class TestMeasured:
    def test_before_any_label_there_is_nothing_to_measure(self):
        report = measure_performance(predictions([None, None], [0.1, 0.2]), "late")
        assert (report.predictions, report.labelled) == (2, 0)
        assert (report.positive_rate, report.metrics) == (None, {})
        assert measure_performance(predictions([], []), "late").predictions == 0

    @pytest.mark.parametrize(("late", "rate"), [(True, 1.0), (False, 0.0)])
    def test_labels_of_one_class_give_everything_but_the_auc(self, late, rate):
        report = measure_performance(
            predictions([late, late, None], [0.1, 0.2, 0.3]), "late", confidence=AS_ANSWERED
        )
        assert (report.predictions, report.labelled) == (3, 2)
        assert report.positive_rate == rate
        assert report.metrics["brier"] == pytest.approx(
            np.mean([(rate - p) ** 2 for p in (0.1, 0.2)])
        )
        assert report.metrics["accuracy"] == 1 - rate
        assert set(report.metrics) == {"brier", "log_loss", "calibration_error", "accuracy"}
        assert set(report.estimate_error) == {"brier", "log_loss", "positive_rate", "accuracy"}

    def test_a_prediction_that_failed_is_no_labelled_prediction(self):
        report = measure_performance(predictions([True, False, True], [0.9, 0.2, None]), "late")
        assert (report.predictions, report.labelled, report.positive_rate) == (3, 2, 0.5)
        assert report.metrics["auc"] == 1.0

    @settings(max_examples=40)
    @given(
        rows=st.lists(
            st.tuples(st.sampled_from([True, False, None]), st.floats(0, 1)), max_size=30
        ),
        threshold=st.floats(0, 1),
    )
    def test_metrics_are_those_of_the_labelled_rows_alone(self, rows, threshold):
        late, probability = [row[0] for row in rows], [row[1] for row in rows]
        report = measure_performance(predictions(late, probability), "late", threshold=threshold)
        known = [(label, value) for label, value in rows if label is not None]
        assert (report.predictions, report.labelled) == (len(rows), len(known))
        if not known:
            assert report.metrics == {}
            return
        truth, scores = zip(*known, strict=True)
        assert report.positive_rate == pytest.approx(np.mean(truth))
        right = [(value >= threshold) == label for label, value in known]
        assert report.metrics["accuracy"] == pytest.approx(np.mean(right))
        squares = [(value - label) ** 2 for label, value in known]
        assert report.metrics["brier"] == pytest.approx(np.mean(squares))
        if len(set(truth)) == 2:
            assert report.metrics["auc"] == pytest.approx(roc_auc_score(truth, scores))
        else:
            assert "auc" not in report.metrics


class TestMaturity:
    @pytest.mark.parametrize(
        ("late", "said", "maturity", "pending"),
        [
            ([None, None], [False, False], "estimated", 2),
            ([None, None], [False, True], "estimated", 1),
            ([True, None], [True, False], "partial", 1),
            ([True, None], [True, True], "final", 0),
            ([True, False], [True, True], "final", 0),
            ([None, None], [True, True], "final", 0),
        ],
    )
    def test_it_is_final_once_every_row_has_its_label_or_never_gets_one(
        self, late, said, maturity, pending
    ):
        report = measure_performance(settled(predictions(late, [0.2, 0.7]), *said), "late")
        assert (report.maturity, report.pending) == (maturity, pending)

    def test_a_request_that_failed_waits_for_no_label(self):
        report = measure_performance(predictions([True, None], [0.2, None]), "late")
        assert (report.maturity, report.pending) == ("final", 0)

    def test_given_nothing_said_about_it_then_each_null_may_still_come(self):
        report = measure_performance(predictions([True, None], [0.2, 0.3]), "late")
        assert (report.maturity, report.pending) == ("partial", 1)

    def test_without_an_answer_nothing_has_matured(self):
        assert measure_performance(predictions([], []), "late").maturity == "estimated"

    @settings(max_examples=60)
    @given(
        st.lists(
            st.tuples(
                st.sampled_from([True, False, None]),
                st.booleans(),
                st.sampled_from([0.2, 0.8, None]),
            ),
            max_size=12,
        )
    )
    def test_labelled_pending_and_never_add_up_to_what_was_answered(self, rows):
        late, said, probability = ([row[part] for row in rows] for part in range(3))
        report = measure_performance(settled(predictions(late, probability), *said), "late")
        answered = [row for row in rows if row[2] is not None]
        never = sum(label is None and known for label, known, _ in answered)
        assert report.labelled + report.pending + never == len(answered)
        assert (report.maturity == "final") == (bool(answered) and report.pending == 0)


class TestEstimated:
    def test_given_no_label_yet_then_the_estimate_is_there_on_all_rows(self):
        rows = days_of_flights(1, 7).with_columns(late=pl.lit(None, pl.Boolean))
        report = measure_performance(rows, "late", confidence=AS_ANSWERED, threshold=0.3)
        expected = estimate_metrics(AS_ANSWERED, rows["probability"].to_numpy(), 0.3)
        assert report.estimated == expected
        assert (report.estimate_error, report.gap, report.metrics) == ({}, None, {})

    def test_its_error_is_that_on_the_labelled_rows(self):
        rows = days_of_flights(2, 7).with_columns(
            late=pl.when(pl.col("day") < FIRST + timedelta(days=4)).then("late")
        )
        report = measure_performance(rows, "late", confidence=AS_ANSWERED, threshold=0.3)
        there = rows.drop_nulls("late")["probability"].to_numpy()
        expected = estimate_metrics(AS_ANSWERED, there, 0.3)
        assert report.maturity == "partial"
        for name in ("accuracy", "brier", "log_loss", "auc"):
            error = expected[name] - report.metrics[name]
            assert report.estimate_error[name] == pytest.approx(error)
        assert report.estimate_error["positive_rate"] == pytest.approx(
            expected["positive_rate"] - report.positive_rate
        )

    def test_without_a_map_there_is_none_and_it_says_why(self):
        report = measure_performance(days_of_flights(3, 3), "late", note="no estimate: no files")
        assert (report.estimated, report.gap) == ({}, None)
        assert report.note == "no estimate: no files"

    def test_a_report_is_plain_enough_for_a_ledger(self):
        report = measure_performance(days_of_flights(4, 1), "late", confidence=AS_ANSWERED)
        assert json.loads(json.dumps(asdict(report), allow_nan=False)) == asdict(report)


class TestGap:
    def test_it_is_the_measured_brier_score_minus_the_estimated(self):
        rows = days_of_flights(5, 7, shift=0.4)
        report = measure_performance(rows, "late", confidence=AS_ANSWERED)
        assert report.gap["value"] == pytest.approx(-report.estimate_error["brier"])
        assert report.gap["low"] < report.gap["value"] < report.gap["high"]
        assert report.gap["days"] == 7

    def test_what_is_unsure_about_the_map_makes_it_wider(self):
        rows = days_of_flights(6, 7, luck=0.5)
        of_few = map_of(days_of_flights(7, 4, luck=0.5))
        wide = measure_performance(rows, "late", confidence=of_few).gap
        sure = measure_performance(rows, "late", confidence=replace(of_few, moves=())).gap
        assert wide["low"] < sure["low"]
        assert wide["high"] > sure["high"]
        assert wide["value"] == sure["value"]

    def test_given_rows_that_mean_the_same_then_it_seldom_lies_above_0_whatever_the_days_bring(
        self,
    ):
        above = 0
        for seed in range(150):
            tested = map_of(days_of_flights(2 * seed, 14, luck=0.5))
            rows = days_of_flights(2 * seed + 1, 7, luck=0.5)
            above += measure_performance(rows, "late", confidence=tested, seed=seed).gap["low"] > 0
        assert above <= 9  # 2.5 % are 4 of 150; more than 9 come by chance in 1 of 100 runs

    def test_given_rows_that_mean_something_else_then_it_lies_above_0(self):
        tested = map_of(days_of_flights(8, 14, luck=0.2))
        report = measure_performance(
            days_of_flights(9, 7, shift=1.5, luck=0.2), "late", confidence=tested
        )
        assert report.gap["low"] > 0

    def test_harder_rows_alone_leave_it_at_0(self):
        tested = map_of(days_of_flights(10, 14))
        rows = days_of_flights(11, 7)
        hard = rows.filter((pl.col("probability") - 0.5).abs() < 0.2)
        report = measure_performance(hard, "late", confidence=tested)
        whole = measure_performance(rows, "late", confidence=tested)
        assert report.metrics["brier"] > whole.metrics["brier"] + 0.03
        assert report.gap["low"] < 0 < report.gap["high"]

    def test_the_labels_of_one_day_show_nothing(self):
        gap = measure_performance(days_of_flights(12, 1), "late", confidence=AS_ANSWERED).gap
        assert (gap["low"], gap["high"], gap["days"]) == (None, None, 1)

    def test_without_days_there_is_none(self):
        rows = days_of_flights(13, 3).drop("day")
        assert measure_performance(rows, "late", confidence=AS_ANSWERED).gap is None


class TestJudged:
    def judged(self, **changes):
        rows = days_of_flights(17, 7, **changes)
        return judge_gap(measure_performance(rows, "late", confidence=AS_ANSWERED))

    def test_answers_as_good_as_promised_pass(self):
        verdict = self.judged()
        assert verdict.passed
        assert "on 1,400 labelled rows of 7 days" in verdict.reason

    def test_answers_that_are_worse_fail(self):
        assert self.judged(shift=1.5).outcome == "failed"

    def test_answers_that_are_better_pass(self):
        assert self.judged(shift=-0.7).passed

    @pytest.mark.parametrize(
        ("rows", "said"),
        [
            (None, "nobody got an answer"),
            (predictions([None, None], [0.1, 0.2]), "none of 2 predictions has a label yet"),
            (days_of_flights(15, 1), "labels of one day say nothing about how days differ"),
        ],
    )
    def test_with_too_little_it_is_inconclusive_and_says_why(self, rows, said):
        report = None if rows is None else measure_performance(rows, "late", confidence=AS_ANSWERED)
        verdict = judge_gap(report)
        assert (verdict.outcome, verdict.reason) == ("inconclusive", said)

    def test_without_an_estimate_it_says_why_there_is_none(self):
        report = measure_performance(days_of_flights(16, 3), "late", note="no estimate: no files")
        assert judge_gap(report).reason == "no estimate: no files"
