"""Shadow: copies decide before anybody gets an answer, then a canary does."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest

from mlops_assets.lifecycle.rollout.decision import RolloutEvidence, ShadowComparison
from mlops_assets.lifecycle.rollout.policy import AnalysisPolicy, RolloutPolicy, ShadowPolicy
from mlops_assets.lifecycle.rollout.shadow import decide_shadow, judge_shadow
from mlops_assets.lifecycle.rollout.state import Champion
from mlops_assets.lifecycle.rollout.strategy import begin_rollout
from mlops_assets.lifecycle.rollout.window import Arm, Window

BEGIN = datetime(2013, 4, 1, tzinfo=UTC)
READY = begin_rollout("v2", "d2", "2013-03-11", Champion("v1", "d1", "2013-03-04"), BEGIN)
COPIED = replace(READY, phase="progressing", step=0, mirror=100)
STEPS = RolloutPolicy("shadow", (10, 50))
ALONE = RolloutPolicy("shadow")
LABELS = RolloutPolicy("shadow", (10,), shadow=ShadowPolicy(labels=True))


def seen(units=800, failed=0, agreement=0.98, differences=None) -> ShadowComparison:
    return ShadowComparison(units, failed, agreement, 0.01, differences=differences)


def decide(comparison: ShadowComparison | None, policy: RolloutPolicy = STEPS):
    return decide_shadow(COPIED, RolloutEvidence(shadow=comparison), policy)


def differences(units: int, mean: float) -> np.ndarray:
    return np.random.default_rng(2).normal(mean, 0.1, units).clip(-1, 1)


def test_it_is_copied_first_and_answers_nobody():
    decision = decide_shadow(READY, RolloutEvidence(), STEPS)
    assert (decision.action, decision.weight, decision.mirror) == ("advance", 0, 100)
    half = replace(STEPS, shadow=ShadowPolicy(mirror=50))
    assert decide_shadow(READY, RolloutEvidence(), half).mirror == 50


def test_while_it_waits_the_copies_go_on():
    for comparison in (None, seen(units=10)):
        decision = decide(comparison)
        assert (decision.action, decision.weight, decision.mirror) == ("hold", 0, 100)


@pytest.mark.parametrize(
    ("comparison", "action", "said"),
    [
        (seen(), "advance", "shown to lie below 0.1"),
        (seen(units=299), "hold", "299 of 300 seen"),
        (seen(agreement=0.91), "hold", "not yet shown to lie below 0.1"),
        (seen(agreement=0.8), "roll_back", "20.0% are not: above 0.1, more than chance explains"),
        (seen(units=9, failed=9), "roll_back", "9 of 9 copies failed: above 0.01"),
        (seen(units=800, failed=40), "roll_back", "40 of 800 copies failed"),
    ],
)
def test_copies_that_fail_or_disagree_take_it_back_and_good_ones_take_it_on(
    comparison, action, said
):
    decision = decide(comparison)
    assert decision.action == action
    assert said in decision.reason


def test_a_bare_share_above_the_policy_is_not_yet_agreement():
    """92 of 100 agree: 0.9 is asked for, and chance alone gives as much one time in three."""
    few = replace(STEPS, shadow=ShadowPolicy(minimum_sample=100))
    assert decide(seen(units=100, agreement=0.92), few).action == "hold"
    assert decide(seen(units=100, agreement=0.88), few).action == "hold"


@pytest.mark.parametrize("failed", [0, 1, 9])
def test_with_no_copy_answered_nothing_is_said_about_agreement(failed):
    judged = judge_shadow(seen(units=failed, failed=failed, agreement=math.nan), STEPS)[1]
    assert judged.outcome == "inconclusive"
    assert judged.evidence["events"] == 0


def test_with_steps_it_goes_on_as_a_canary_and_without_it_is_promoted():
    assert (decide(seen()).action, decide(seen()).weight) == ("advance", 10)
    assert decide(seen(), ALONE).action == "promote"
    live = replace(COPIED, step=1, weight=10, mirror=0)
    window = Window(10, Arm("v2", 200, 200), Arm("v1", 1800, 1800))
    assert decide_shadow(live, RolloutEvidence((window,)), STEPS).weight == 50
    broken = Window(10, Arm("v2", 9, 9, 9, 9), Arm("v1", 80, 80))
    assert decide_shadow(live, RolloutEvidence((broken,)), STEPS).action == "roll_back"


def test_without_steps_it_has_to_be_shown_that_it_answers():
    """Nobody looks again after it: 300 copies without a failure do not show 1 %."""
    assert decide(seen(units=300, agreement=0.99), ALONE).action == "hold"
    assert decide(seen(units=300, agreement=0.99), STEPS).action == "advance"


def test_what_cannot_be_shown_in_the_maximum_sample_ends():
    policy = replace(STEPS, analysis=AnalysisPolicy(maximum_sample=900))
    assert decide(seen(units=899, agreement=0.9), policy).action == "hold"
    ended = decide(seen(units=900, agreement=0.9), policy)
    assert ended.action == "roll_back"
    assert ended.reason.startswith("could not be shown in 900 copies (maximum_sample 900)")


# --- with labels --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("paired", "action", "said"),
    [
        (None, "hold", "waiting for labels, 0 of 300 known"),
        (differences(299, -0.02), "hold", "waiting for labels, 299 of 300 known"),
        (differences(2000, -0.02), "advance", "shown to be less than 0 worse"),
        (differences(2000, 0.0), "hold", "not yet shown to be less than 0 worse"),
        (differences(2000, 0.03), "roll_back", "worse by more than 0"),
    ],
)
def test_with_labels_it_also_has_to_be_shown_not_to_be_worse(paired, action, said):
    decision = decide(seen(differences=paired), LABELS)
    assert decision.action == action
    assert said in decision.reason


def test_a_margin_lets_an_equal_shadow_pass():
    policy = replace(LABELS, shadow=ShadowPolicy(labels=True, margin=0.02))
    assert decide(seen(differences=differences(2000, 0.0)), policy).action == "advance"


def test_labels_are_not_asked_about_where_the_policy_does_not():
    assert decide(seen(differences=differences(2000, 0.03))).action == "advance"


def test_equal_shadows_are_seldom_promoted_or_rolled_back_however_often_one_looks():
    """Paired losses that differ by nothing, against a margin of 0, at twenty looks."""
    policy = replace(LABELS, analysis=AnalysisPolicy(1, 0.15, 0.05))
    policy = replace(policy, shadow=ShadowPolicy(1, labels=True))
    random, runs = np.random.default_rng(4), 200
    wrong = {"failed": 0, "passed": 0}
    for _ in range(runs):
        pairs = random.choice([-0.5, 0.0, 0.5], 800)
        looks = {
            judge_shadow(seen(differences=pairs[:n]), policy)[2].outcome for n in range(40, 801, 40)
        }
        for outcome in wrong:
            wrong[outcome] += outcome in looks
    for times in wrong.values():
        assert times / runs <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / runs)


def test_the_evidence_is_plain():
    for verdict in judge_shadow(seen(differences=differences(400, 0.0)), LABELS):
        assert json.loads(json.dumps(verdict.evidence)) == dict(verdict.evidence)
        assert {"log10_e", "log10_e_limit", "minimum_sample"} <= set(verdict.evidence)
