"""Blue/green: all at once, watched against a fixed limit, switched back or kept."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest

from mlops_assets.lifecycle.rollout.blue_green import decide_blue_green, judge_failures
from mlops_assets.lifecycle.rollout.decision import RolloutEvidence
from mlops_assets.lifecycle.rollout.policy import AnalysisPolicy, RolloutPolicy
from mlops_assets.lifecycle.rollout.recreate import decide_recreate
from mlops_assets.lifecycle.rollout.state import Champion, build_routing
from mlops_assets.lifecycle.rollout.strategy import apply_decision, begin_rollout
from mlops_assets.lifecycle.rollout.window import Arm, Window

BEGIN = datetime(2013, 4, 1, tzinfo=UTC)
CHAMPION = Champion("v1", "d1", "2013-03-04")
POLICY = RolloutPolicy("blue_green", analysis=AnalysisPolicy(100, error_margin=0.02))
READY = begin_rollout("v2", "d2", "2013-03-11", CHAMPION, BEGIN)
LIVE = replace(READY, phase="progressing", step=0, weight=100)


def decide(units: int, failed: int, policy: RolloutPolicy = POLICY):
    seen = Window(100, Arm("v2", units, units, failed, failed), Arm("v1"))
    return decide_blue_green(LIVE, RolloutEvidence((seen,)), policy)


def test_it_takes_everything_at_once_and_the_old_version_stays_warm():
    decision = decide_blue_green(READY, RolloutEvidence(), POLICY)
    state = apply_decision(READY, decision, BEGIN)
    assert (decision.action, state.phase, state.weight) == ("advance", "progressing", 100)
    routing = build_routing("delays", CHAMPION, state)
    assert [(t.version, t.weight, t.arm) for t in routing.targets] == [
        ("v1", 0, "primary"),
        ("v2", 100, "canary"),
    ]


@pytest.mark.parametrize(
    ("units", "failed", "action", "said"),
    [
        (0, 0, "hold", "0 of 100 seen"),
        (99, 0, "hold", "99 of 100 seen"),
        (100, 0, "hold", "not yet shown to lie below 0.02"),
        (300, 0, "promote", "shown to lie below 0.02"),
        (3000, 30, "promote", "shown to lie below 0.02"),
        (500, 10, "hold", "not yet shown to lie below 0.02"),
        (3, 3, "roll_back", "above 0.02, more than chance explains"),
        (1000, 60, "roll_back", "above 0.02, more than chance explains"),
    ],
)
def test_it_is_kept_or_switched_back_on_evidence(units, failed, action, said):
    decision = decide(units, failed)
    assert decision.action == action
    assert decision.reason == f"v2 failed {failed} of {units} units: {said}"


def test_before_the_first_request_it_waits():
    decision = decide_blue_green(LIVE, RolloutEvidence(), POLICY)
    assert (decision.action, decision.reason) == ("hold", "0 of 100 units seen")


def test_what_cannot_be_shown_in_the_maximum_sample_is_switched_back():
    policy = replace(POLICY, analysis=replace(POLICY.analysis, maximum_sample=500))
    assert decide(499, 10, policy).action == "hold"
    ended = decide(500, 10, policy)
    assert ended.action == "roll_back"
    assert ended.reason.startswith("could not be shown in 500 units (maximum_sample 500)")


@pytest.mark.parametrize(("rate", "wrong"), [(0.02, "failed"), (0.02, "passed")])
def test_at_the_limit_it_is_seldom_decided_either_way_however_often_one_looks(rate, wrong):
    random, runs, decided = np.random.default_rng(5), 150, 0
    policy = RolloutPolicy(
        "blue_green",
        analysis=AnalysisPolicy(10, 0.05, 0.05, error_margin=rate),
    )
    for _ in range(runs):
        failed = (random.random(1500) < rate).cumsum()
        decided += any(
            judge_failures(Arm("v2", n, n, int(failed[n - 1])), policy).outcome == wrong
            for n in range(10, 1500, 30)
        )
    assert decided / runs <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / runs)


def test_recreate_looks_at_nothing():
    bad = RolloutEvidence((Window(100, Arm("v2", 9, 9, 9, 9), Arm("v1")),))
    for state in (READY, LIVE):
        assert decide_recreate(state, bad, RolloutPolicy()).action == "promote"
