"""Promotion asks for proof: of errors always, of outcomes where the policy names them."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_assets.lifecycle.rollout.absolute import judge_share_below
from mlops_assets.lifecycle.rollout.decision import Outcomes, RolloutEvidence
from mlops_assets.lifecycle.rollout.policy import AnalysisPolicy, OutcomePolicy, RolloutPolicy
from mlops_assets.lifecycle.rollout.promotion import judge_promotion
from mlops_assets.lifecycle.rollout.sequential import log_limit_evidence, log_margin_evidence
from mlops_assets.lifecycle.rollout.window import Arm, Window

POLICY = RolloutPolicy("canary", (10, 50))
WITH_OUTCOMES = RolloutPolicy("canary", (10, 50), AnalysisPolicy(outcome=OutcomePolicy(0.02)))


def window(weight: int, units: tuple[int, int], failed: tuple[int, int] = (0, 0)) -> Window:
    canary, baseline = (
        Arm(version, requests=n, units=n, failed=k)
        for version, n, k in zip(("v2", "v1"), units, failed, strict=True)
    )
    return Window(weight, canary, baseline)


def labelled(units: int, worse: float) -> Outcomes:
    random = np.random.default_rng(3)
    canary = random.random(units) < 0.5
    loss = random.beta(2, 18, units) + worse * canary
    return Outcomes(loss.clip(0, 1), canary, np.full(units, 0.5))


@pytest.mark.parametrize(
    ("units", "failed", "shown"),
    [
        ((0, 0), (0, 0), False),
        ((200, 1800), (0, 0), False),  # "not significantly worse" would let it pass
        ((600, 5400), (0, 0), True),
        ((600, 5400), (12, 54), False),
        ((3000, 27_000), (30, 270), True),
        ((3000, 27_000), (60, 270), False),
    ],
)
def test_a_canary_passes_once_it_is_shown_to_be_within_the_margin(units, failed, shown):
    (verdict,) = judge_promotion(RolloutEvidence((window(10, units, failed),)), POLICY)
    assert verdict.name == "canary_is_within_the_margin"
    assert verdict.outcome == ("passed" if shown else "inconclusive")
    assert f"{failed[0]} of {units[0]} units failed" in verdict.reason


@given(
    counts=st.lists(st.tuples(st.integers(0, 9), st.integers(0, 20)), min_size=1, max_size=2),
    units=st.integers(100, 2000),
    margin=st.sampled_from([0.005, 0.02]),
    rate=st.sampled_from([0.001, 0.01, 0.2]),
)
def test_the_proof_is_over_all_windows_each_at_its_share(counts, units, margin, rate):
    analysis = AnalysisPolicy(error_margin=margin, false_promotion_rate=rate)
    weights = [10, 50][: len(counts)]
    windows = tuple(
        window(weight, (units, units), both) for weight, both in zip(weights, counts, strict=True)
    )
    (verdict,) = judge_promotion(
        RolloutEvidence(windows), RolloutPolicy("canary", (10, 50), analysis)
    )
    canary, other = zip(*counts, strict=True)
    shares = [weight / 100 for weight in weights]
    log = float(log_margin_evidence(canary, other, [2 * units] * len(counts), shares, margin))
    assert verdict.passed == (log >= -math.log(rate))
    assert verdict.evidence["log10_proof"] == pytest.approx(log / math.log(10), abs=1e-4)


def test_outcomes_wait_for_labels_and_then_for_proof():
    errors = (window(50, (600, 600)),)

    def judged(outcomes: Outcomes | None):
        return judge_promotion(RolloutEvidence(errors, outcomes=outcomes), WITH_OUTCOMES)[1]

    assert judged(None).reason.endswith("waiting for labels, 0 of 200 canary labels known")
    assert judged(labelled(300, 0.0)).reason.endswith("of 200 canary labels known")
    assert judged(labelled(1500, 0.05)).reason.endswith("not yet shown to be less than 0.02 worse")
    assert judged(labelled(9000, 0.0)).passed
    assert {judged(labelled(n, w)).outcome for n, w in ((300, 0), (1500, 0.05))} == {"inconclusive"}


def test_the_evidence_is_plain():
    for verdict in judge_promotion(
        RolloutEvidence((window(10, (5, 50)),), outcomes=labelled(30, 0.0)), WITH_OUTCOMES
    ):
        assert json.loads(json.dumps(verdict.evidence)) == dict(verdict.evidence)
        assert {"log10_proof", "log10_proof_limit", "margin"} <= set(verdict.evidence)


# --- a share against a fixed limit --------------------------------------------------------------


def judge_share(events: float, trials: int, proof: float | None = math.log(100)):
    return judge_share_below(
        "errors_stay_below_the_limit",
        "v2 failed",
        events,
        trials,
        0.05,
        minimum_sample=100,
        log_alarm=math.log(100),
        log_proof=proof,
    )


@pytest.mark.parametrize(
    ("events", "trials", "proof", "outcome", "said"),
    [
        (0, 99, math.log(100), "inconclusive", "99 of 100 seen"),
        (0, 100, math.log(100), "inconclusive", "not yet shown to lie below 0.05"),
        (0, 200, math.log(100), "passed", "shown to lie below 0.05"),
        (0, 100, None, "passed", "not shown to lie above 0.05"),
        (40, 200, math.log(100), "failed", "above 0.05, more than chance explains"),
        (5, 5, None, "failed", "above 0.05, more than chance explains"),
    ],
)
def test_a_share_is_shown_to_lie_above_or_below_its_limit(events, trials, proof, outcome, said):
    verdict = judge_share(events, trials, proof)
    assert (verdict.outcome, verdict.reason) == (outcome, f"v2 failed: {said}")


@given(events=st.integers(0, 60), others=st.integers(0, 900))
def test_a_share_is_never_shown_to_lie_on_both_sides(events, others):
    trials = events + others
    above = log_limit_evidence(events, trials, 0.05)
    below = log_limit_evidence(others, trials, 0.95)
    assert min(above, below) < math.log(100)
    verdict = judge_share(events, trials)
    assert (verdict.outcome == "failed") == (above >= math.log(100))
    assert verdict.passed == (trials >= 100 and below >= math.log(100))
