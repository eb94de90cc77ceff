"""Guardrails: which of them is on, what fails it, and the numbers it says so with."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_assets.lifecycle.rollout.decision import Outcomes, RolloutEvidence
from mlops_assets.lifecycle.rollout.guardrails import judge_guardrails, log_prediction_evidence
from mlops_assets.lifecycle.rollout.policy import (
    AnalysisPolicy,
    OutcomePolicy,
    PredictionPolicy,
    RolloutPolicy,
)
from mlops_assets.lifecycle.rollout.sequential import log_ratio_evidence
from mlops_assets.lifecycle.rollout.window import Arm, Window

POLICY = RolloutPolicy("canary", (10, 50))
EVERYTHING = AnalysisPolicy(
    slow_milliseconds=50, prediction=PredictionPolicy(), outcome=OutcomePolicy()
)
FULL = RolloutPolicy("canary", (10, 50), EVERYTHING)
NAMES = [
    "canary_errors_are_not_higher",
    "canary_is_not_slower",
    "predictions_keep_their_distribution",
    "outcomes_are_not_worse",
]


def arm(version: str, units: int, **counts: int) -> Arm:
    return Arm(version, requests=units, units=units, **counts)


def window(weight: int = 10, units: tuple[int, int] = (200, 1800), **counts) -> Window:
    """Both arms; each count as (canary, baseline)."""
    canary, baseline = ({name: both[side] for name, both in counts.items()} for side in (0, 1))
    return Window(weight, arm("v2", units[0], **canary), arm("v1", units[1], **baseline))


def judge(*windows: Window, policy: RolloutPolicy = POLICY, outcomes: Outcomes | None = None):
    verdicts = judge_guardrails(RolloutEvidence(windows, outcomes=outcomes), policy)
    return {verdict.name: verdict for verdict in verdicts}


def test_only_the_guardrails_that_the_policy_names_are_judged():
    assert list(judge()) == NAMES[:1]
    assert list(judge(policy=FULL)) == NAMES
    assert list(judge(policy=RolloutPolicy("ab_test"))) == [NAMES[0], NAMES[3]]


@pytest.mark.parametrize("event", ["errors", "slow"])
@pytest.mark.parametrize(
    ("units", "events", "outcome", "said"),
    [
        ((200, 1800), (0, 0), "passed", "no evidence of harm"),
        ((200, 1800), (3, 9), "passed", "no evidence of harm"),
        ((199, 1800), (0, 0), "inconclusive", "199 of 200 units of the canary seen"),
        ((0, 0), (0, 0), "inconclusive", "0 of 200 units of the canary seen"),
        ((200, 1800), (20, 9), "failed", "more than chance explains"),
        ((9, 45), (9, 0), "failed", "more than chance explains"),
        ((500, 4500), (0, 400), "passed", "no evidence of harm"),
    ],
)
def test_first_events_pass_fail_or_wait(event, units, events, outcome, said):
    verdict = judge(window(units=units, **{event: events}), policy=FULL)[
        NAMES[0] if event == "errors" else NAMES[1]
    ]
    did = "failed" if event == "errors" else "were slow for"
    assert verdict.outcome == outcome
    both = zip(("v2", "v1"), events, units, strict=True)
    counted = ", ".join(f"{version} {did} {k} of {n} units" for version, k, n in both)
    assert verdict.reason == f"{counted}: {said}"


@given(
    counts=st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40)), min_size=1, max_size=2),
    rate=st.sampled_from([0.001, 0.01, 0.2]),
    seen=st.integers(0, 400),
    wanted=st.integers(1, 400),
)
def test_a_verdict_follows_from_the_evidence_of_all_windows_and_the_sample(
    counts, rate, seen, wanted
):
    policy = RolloutPolicy("canary", (10,), AnalysisPolicy(wanted, rate))
    weights = [10, 50][: len(counts)]
    windows = [
        window(weight, (seen, 9 * seen), errors=both)
        for weight, both in zip(weights, counts, strict=True)
    ]
    verdict = judge(*windows, policy=policy)[NAMES[0]]
    canary, other = zip(*counts, strict=True)
    log = log_ratio_evidence(canary, other, [weight / 100 for weight in weights])
    failed = log >= math.log(1 / rate)
    assert (verdict.outcome == "failed") == failed
    assert verdict.passed == (not failed and seen * len(counts) >= wanted)


def test_the_more_guardrails_are_on_the_surer_each_has_to_be():
    at_once = window(errors=(8, 12))
    one, four = judge(at_once)[NAMES[0]], judge(at_once, policy=FULL)[NAMES[0]]
    assert one.evidence["log10_e"] == four.evidence["log10_e"]
    assert 10 ** one.evidence["log10_e_limit"] == pytest.approx(100, rel=1e-3)
    assert 10 ** four.evidence["log10_e_limit"] == pytest.approx(400, rel=1e-3)
    assert (one.outcome, four.outcome) == ("failed", "passed")


def test_the_evidence_is_plain_and_says_how_near_the_limit_is():
    outcomes = Outcomes(np.array([0.2, 0.9]), np.array([True, False]), np.array([0.5, 0.5]))
    judged = judge(window(errors=(20, 9)), policy=FULL, outcomes=outcomes)
    for verdict in judged.values():
        assert json.loads(json.dumps(verdict.evidence)) == dict(verdict.evidence)
        assert {"log10_e", "log10_e_limit", "canary", "baseline"} <= set(verdict.evidence)
    found = judged[NAMES[0]].evidence
    assert (found["canary"], found["baseline"]) == (20, 9)
    assert (found["canary_units"], found["baseline_units"]) == (200, 1800)
    assert found["log10_e"] == pytest.approx(
        float(log_ratio_evidence([20], [9], [0.1])) / math.log(10), abs=1e-4
    )
    assert found["windows"][0]["canary"]["errors"] == 20


# --- answers ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("high", "outcome"),
    [
        ((300, 300), "passed"),
        ((400, 300), "passed"),  # odds 1.56 times as high, 2 are tolerated
        ((500, 333), "passed"),  # twice as high
        ((600, 300), "failed"),  # 3.5 times as high
        ((100, 300), "failed"),
        ((150, 20), "failed"),
        ((1000, 900), "failed"),  # of low answers a tenth is left
        ((999, 995), "passed"),
    ],
)
def test_answers_may_differ_by_the_odds_that_are_tolerated_in_both_directions(high, outcome):
    verdict = judge(window(50, (1000, 1000), high=high), policy=FULL)[NAMES[2]]
    assert verdict.outcome == outcome
    assert ("a factor above 2" in verdict.reason) == (outcome == "failed")


@given(canary=st.tuples(*[st.integers(0, 99)] * 2), baseline=st.tuples(*[st.integers(0, 99)] * 2))
def test_it_does_not_matter_which_version_is_called_the_canary(canary, baseline):
    one, other = ([canary[0]], [canary[1]]), ([baseline[0]], [baseline[1]])
    evidence = log_prediction_evidence(one, other, [0.1], 2.0)
    assert evidence == pytest.approx(float(log_prediction_evidence(other, one, [0.9], 2.0)))


@pytest.mark.parametrize(
    ("share", "bad", "good"), [(0.1, 0.4615, 0.3), (0.5, 0.3, 0.4615), (0.5, 0.5, 0.5)]
)
def test_tolerated_odds_seldom_fail_however_often_one_looks(share, bad, good):
    """Odds that differ by a factor of 2, simulated unit by unit."""
    random, alpha, runs = np.random.default_rng(8), 0.1, 400
    canary = random.random((runs, 1500)) < share
    high = random.random(canary.shape) < np.where(canary, bad, good)
    counts = [
        tuple((side & answer).cumsum(axis=1)[:, ::10, None] for answer in (high, ~high))
        for side in (canary, ~canary)
    ]
    logs = log_prediction_evidence(*counts, [share], 2.0)
    alarmed = (logs >= -math.log(alpha)).any(axis=1).mean()
    assert alarmed <= alpha + 3 * math.sqrt(alpha * (1 - alpha) / runs)


# --- outcomes -----------------------------------------------------------------------------------


def labelled(units: int, worse: float, share: float = 0.5, seed: int = 1) -> Outcomes:
    random = np.random.default_rng(seed)
    canary = random.random(units) < share
    loss = random.beta(2, 8, units) + worse * canary
    return Outcomes(loss.clip(0, 1), canary, np.full(units, share))


def test_without_labels_outcomes_wait_and_say_so():
    verdict = judge(window(), policy=FULL)[NAMES[3]]
    assert verdict.outcome == "inconclusive"
    assert verdict.reason.endswith("0 of 200 canary labels known")


def test_with_labels_outcomes_pass_or_fail():
    same = judge(window(), policy=FULL, outcomes=labelled(2000, 0.0))[NAMES[3]]
    worse = judge(window(), policy=FULL, outcomes=labelled(2000, 0.05))[NAMES[3]]
    better = judge(window(), policy=FULL, outcomes=labelled(2000, -0.05))[NAMES[3]]
    assert [same.outcome, worse.outcome, better.outcome] == ["passed", "failed", "passed"]
    assert worse.evidence["difference"] == pytest.approx(0.05, abs=0.03)
    assert worse.reason.endswith("worse, more than chance explains")
