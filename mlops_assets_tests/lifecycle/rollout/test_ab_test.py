"""A/B test: outcomes name the winner, and without one the champion stays."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest

from mlops_assets.lifecycle.rollout.ab_test import decide_ab_test, judge_challenger
from mlops_assets.lifecycle.rollout.decision import Outcomes, RolloutEvidence
from mlops_assets.lifecycle.rollout.policy import AnalysisPolicy, RolloutPolicy
from mlops_assets.lifecycle.rollout.state import Champion
from mlops_assets.lifecycle.rollout.strategy import begin_rollout
from mlops_assets.lifecycle.rollout.window import Arm, Window

BEGIN = datetime(2013, 4, 1, tzinfo=UTC)
POLICY = RolloutPolicy("ab_test", split=30)
READY = begin_rollout("v2", "d2", "2013-03-11", Champion("v1", "d1", "2013-03-04"), BEGIN)
LIVE = replace(READY, phase="progressing", step=0, weight=30)


def labelled(units: int, worse: float, seed: int = 3) -> Outcomes:
    random = np.random.default_rng(seed)
    canary = random.random(units) < 0.3
    loss = random.beta(2, 8, units) + np.where(canary, worse, 0.0)
    return Outcomes(loss.clip(0, 1), canary, np.full(units, 0.3))


def window(units: int, failed: int = 0) -> Window:
    beside = units * 7 // 3
    return Window(30, Arm("v2", units, units, failed, failed), Arm("v1", beside, beside))


def decide(outcomes: Outcomes | None, seen: Window | None = None, policy=POLICY):
    windows = (seen or window(900),)
    return decide_ab_test(LIVE, RolloutEvidence(windows, outcomes=outcomes), policy)


def test_it_takes_its_share_at_once():
    decision = decide_ab_test(READY, RolloutEvidence(), POLICY)
    assert (decision.action, decision.weight) == ("advance", 30)


@pytest.mark.parametrize(
    ("outcomes", "action", "said"),
    [
        (None, "hold", "0 of 200 canary labels known"),
        (labelled(300, -0.1), "hold", "of 200 canary labels known"),
        (labelled(3000, 0.0), "hold", "no winner yet"),
        (labelled(3000, -0.05), "promote", "the challenger is better"),
        (labelled(3000, 0.05), "roll_back", "worse, more than chance explains"),
    ],
)
def test_the_better_version_wins_and_without_one_it_goes_on(outcomes, action, said):
    decision = decide(outcomes)
    assert decision.action == action
    assert decision.reason.endswith(said)


def test_a_challenger_that_fails_requests_loses_however_good_its_answers():
    decision = decide(labelled(3000, -0.05), window(900, failed=40))
    assert decision.action == "roll_back"
    assert decision.verdict.name == "canary_errors_are_not_higher"


def test_without_a_winner_the_champion_stays():
    policy = replace(POLICY, analysis=AnalysisPolicy(maximum_sample=900))
    assert decide(labelled(2000, 0.0), window(899), policy).action == "hold"
    ended = decide(labelled(2000, 0.0), window(900), policy)
    assert ended.action == "roll_back"
    assert ended.reason.startswith("no winner in 900 units (maximum_sample 900), v1 stays")
    assert decide(labelled(3000, -0.05), window(900), policy).action == "promote"


def test_equal_versions_seldom_have_a_winner_however_often_one_looks():
    policy = replace(POLICY, analysis=AnalysisPolicy(1, 0.1, 0.05))
    runs, named = 200, 0
    for seed in range(runs):
        all_seen = labelled(900, 0.0, seed)
        looks = (
            RolloutEvidence(outcomes=Outcomes(*(part[:n] for part in vars(all_seen).values())))
            for n in range(60, 901, 60)
        )
        named += any(judge_challenger(evidence, policy).passed for evidence in looks)
    assert named / runs <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / runs)
