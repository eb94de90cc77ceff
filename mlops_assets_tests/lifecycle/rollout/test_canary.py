"""Canary: rising shares, back on harm, promoted on proof, and not kept waiting for ever."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest

from mlops_assets.lifecycle.rollout.canary import decide_canary
from mlops_assets.lifecycle.rollout.decision import Outcomes, RolloutEvidence
from mlops_assets.lifecycle.rollout.guardrails import judge_guardrails
from mlops_assets.lifecycle.rollout.moves import canary_units, current_window
from mlops_assets.lifecycle.rollout.policy import AnalysisPolicy, OutcomePolicy, RolloutPolicy
from mlops_assets.lifecycle.rollout.state import Champion
from mlops_assets.lifecycle.rollout.strategy import begin_rollout
from mlops_assets.lifecycle.rollout.window import Arm, Window

BEGIN = datetime(2013, 4, 1, tzinfo=UTC)
POLICY = RolloutPolicy("canary", (10, 50), AnalysisPolicy(minimum_sample=100))
READY = begin_rollout("v2", "d2", "2013-03-11", Champion("v1", "d1", "2013-03-04"), BEGIN)
AT_TEN = replace(READY, phase="progressing", step=0, weight=10)
AT_FIFTY = replace(READY, phase="progressing", step=1, weight=50)


def window(weight: int, units: int, failed: int = 0, others: int = 0) -> Window:
    beside = units * (100 - weight) // weight
    return Window(
        weight,
        Arm("v2", requests=units, units=units, failed=failed, errors=failed),
        Arm("v1", requests=beside, units=beside, failed=others, errors=others),
    )


def decide(state, *windows: Window, policy: RolloutPolicy = POLICY, outcomes=None):
    return decide_canary(state, RolloutEvidence(windows, outcomes=outcomes), policy)


def test_a_good_version_takes_every_step_and_is_promoted_on_proof():
    first = decide(READY)
    second = decide(AT_TEN, window(10, 100))
    waits = decide(AT_FIFTY, window(10, 100), window(50, 100))
    last = decide(AT_FIFTY, window(10, 100), window(50, 600))
    assert [d.action for d in (first, second, waits, last)] == [
        "advance",
        "advance",
        "hold",
        "promote",
    ]
    assert [d.weight for d in (first, second, waits, last)] == [10, 50, 50, 100]
    assert waits.reason == (
        "0 of 200 units failed, 0 of 1000 in the baseline: not yet shown to be less than 0.01 worse"
    )
    assert last.reason.endswith("less than 0.01 worse")


def test_a_step_needs_its_own_minimum_sample():
    assert decide(AT_TEN).reason == "0 of 100 units seen at 10 %"
    assert decide(AT_TEN, window(10, 99)).reason == "99 of 100 units seen at 10 %"
    at_fifty = decide(AT_FIFTY, window(10, 5000), window(50, 99))
    assert (at_fifty.action, at_fifty.reason) == ("hold", "99 of 100 units seen at 50 %")


def test_the_current_window_is_that_of_the_weight_and_not_the_last_one():
    evidence = RolloutEvidence((window(10, 100), window(50, 7)))
    assert current_window(AT_TEN, evidence).canary.units == 100
    assert current_window(replace(AT_TEN, weight=30), evidence) is None
    assert canary_units(evidence) == 107


def test_a_broken_version_loses_its_traffic_at_once_and_before_the_sample_is_full():
    decision = decide(AT_TEN, window(10, 4, failed=4))
    assert (decision.action, decision.weight) == ("roll_back", 0)
    assert decision.verdict.name == "canary_errors_are_not_higher"
    assert decision.reason == decision.verdict.reason
    assert decision.reason.endswith("more than chance explains")


def test_harm_of_an_earlier_step_still_counts_in_a_later_one():
    """Two failures at 10 % and four at 50 %: neither window alone would be enough."""
    early, late = window(10, 100, failed=2), window(50, 100, failed=4)
    assert decide(AT_FIFTY, early, late).action == "roll_back"
    assert decide(AT_TEN, early).action == "advance"
    assert decide(AT_FIFTY, window(10, 100), late).action == "hold"


@pytest.mark.parametrize("failed", [(0, 0), (2, 18), (1, 40)])
def test_a_decision_carries_what_every_guardrail_said(failed):
    evidence = RolloutEvidence((window(10, 100, *failed),))
    decision = decide_canary(AT_TEN, evidence, POLICY)
    assert tuple(decision.verdicts) == judge_guardrails(evidence, POLICY)


def test_what_cannot_be_shown_in_the_maximum_sample_is_rolled_back():
    policy = RolloutPolicy("canary", (10, 50), AnalysisPolicy(100, maximum_sample=1000))
    noisy = window(10, 100, 2, 18)
    still = decide(AT_FIFTY, noisy, window(50, 899, 18, 18), policy=policy)
    ended = decide(AT_FIFTY, noisy, window(50, 900, 18, 18), policy=policy)
    assert [still.action, ended.action] == ["hold", "roll_back"]
    assert ended.reason.startswith("could not be shown in 1000 units (maximum_sample 1000): 20 of")
    assert ended.verdict.outcome == "inconclusive"
    shown = decide(AT_FIFTY, window(10, 100), window(50, 900), policy=policy)
    assert shown.action == "promote"


# --- labels -------------------------------------------------------------------------------------


def labelled(units: int, worse: float) -> Outcomes:
    random = np.random.default_rng(3)
    canary = random.random(units) < 0.5
    loss = random.beta(2, 18, units) + worse * canary
    return Outcomes(loss.clip(0, 1), canary, np.full(units, 0.5))


WITH_OUTCOMES = replace(POLICY, analysis=AnalysisPolicy(100, outcome=OutcomePolicy(0.02)))


def test_missing_labels_hold_nothing_where_the_policy_does_not_ask_for_them():
    assert decide(AT_FIFTY, window(10, 100), window(50, 600)).action == "promote"


def test_where_it_does_steps_go_on_without_labels_and_promotion_waits_for_them():
    assert decide(AT_TEN, window(10, 100), policy=WITH_OUTCOMES).action == "advance"
    waits = decide(AT_FIFTY, window(10, 100), window(50, 800), policy=WITH_OUTCOMES)
    assert waits.action == "hold"
    assert "waiting for labels, 0 of 100 canary labels known" in waits.reason


def test_labels_promote_a_version_that_is_as_good_and_roll_a_worse_one_back():
    windows = (window(10, 100), window(50, 5000))
    good = decide(AT_FIFTY, *windows, policy=WITH_OUTCOMES, outcomes=labelled(9000, 0.0))
    bad = decide(AT_FIFTY, *windows, policy=WITH_OUTCOMES, outcomes=labelled(9000, 0.04))
    assert [good.action, bad.action] == ["promote", "roll_back"]
    assert bad.verdict.name == "outcomes_are_not_worse"
    assert decide(AT_FIFTY, *windows, outcomes=labelled(9000, 0.04)).action == "promote"
