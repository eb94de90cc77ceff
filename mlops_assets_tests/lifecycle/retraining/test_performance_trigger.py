"""Answers are compared with the version's own test once enough labels are there."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_assets.lifecycle.performance import PerformanceReport
from mlops_assets.lifecycle.retraining.performance import judge_performance
from mlops_assets.lifecycle.retraining.policy import PerformanceTrigger

TESTED = {"brier": 0.2, "auc": 0.7}
BRIER, AUC = PerformanceTrigger("brier", 0.1, 100), PerformanceTrigger("auc", 0.1, 100)


def report(labelled: int = 100, **metrics: float) -> PerformanceReport:
    return PerformanceReport(1000, labelled, 0.2, metrics)


@pytest.mark.parametrize(
    ("trigger", "found", "outcome"),
    [
        (BRIER, {"brier": 0.219}, "passed"),
        (BRIER, {"brier": 0.221}, "failed"),
        (BRIER, {"brier": 0.1}, "passed"),
        (AUC, {"auc": 0.631}, "passed"),
        (AUC, {"auc": 0.629}, "failed"),
        (AUC, {"auc": 0.9}, "passed"),
    ],
)
def test_worse_by_more_than_the_margin_fails(trigger, found, outcome):
    assert judge_performance(report(**found), TESTED, trigger).outcome == outcome


@pytest.mark.parametrize(
    ("seen", "tested", "said"),
    [
        (None, TESTED, "0 labelled rows, 100 are needed"),
        (report(99, brier=0.9), TESTED, "99 labelled rows, 100 are needed"),
        (report(100), TESTED, "brier was not measured on these rows"),
        (report(100, brier=0.9), {}, "brier was not measured on its own test"),
    ],
)
def test_without_enough_to_compare_nothing_is_concluded(seen, tested, said):
    verdict = judge_performance(seen, tested, BRIER)
    assert (verdict.outcome, verdict.reason) == ("inconclusive", said)


def test_the_verdict_says_both_numbers_and_what_would_be_as_good():
    verdict = judge_performance(report(1200, brier=0.25), TESTED, BRIER)
    assert verdict.reason == (
        "brier 0.2500 on 1,200 labelled rows, 0.2000 in its test (at most 0.2200 is as good)"
    )
    assert verdict.evidence == {
        "labelled": 1200,
        "found": 0.25,
        "tested": 0.2,
        "bound": pytest.approx(0.22),
    }
    assert "at least 0.6300" in judge_performance(report(auc=0.5), TESTED, AUC).reason


@given(st.floats(0, 1), st.floats(0.01, 1), st.floats(0.01, 2), st.sampled_from(["brier", "auc"]))
def test_a_result_as_good_as_the_test_never_fails(found, tested, margin, metric):
    trigger = PerformanceTrigger(metric, margin, 1)
    outcome = judge_performance(report(**{metric: found}), {metric: tested}, trigger).outcome
    better = found >= tested if metric == "auc" else found <= tested
    assert outcome == "passed" or not better
