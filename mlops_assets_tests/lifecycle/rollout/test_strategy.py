"""The strategy of a rollout as a state machine: which weights, which ends, and no way round."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlops_assets.lifecycle.rollout.analysis import AnalysisPolicy, Arm, Window, judge_window
from mlops_assets.lifecycle.rollout.state import Champion, RolloutState, build_routing
from mlops_assets.lifecycle.rollout.strategy import (
    RolloutDecision,
    RolloutPolicy,
    apply_decision,
    begin_rollout,
    decide_next,
)

BEGIN = datetime(2013, 4, 1, tzinfo=UTC)
CHAMPION = Champion("v1", "d1", "2013-03-04")
CANARY = RolloutPolicy("canary", (10, 50), AnalysisPolicy(minimum_sample=100))
GOOD = Window(Arm("v2", 100, 0), Arm("v1", 900, 0))
SMALL = Window(Arm("v2", 99, 0), Arm("v1", 900, 0))
BAD = Window(Arm("v2", 100, 100), Arm("v1", 900, 0))


def begin(champion: Champion | None = CHAMPION) -> RolloutState:
    return begin_rollout("v2", "d2", "2013-03-11", champion, BEGIN)


def advance(
    state: RolloutState, window: Window | None, policy: RolloutPolicy = CANARY, hours: int = 1
) -> tuple[RolloutState, RolloutDecision]:
    decision = decide_next(state, window, policy)
    return apply_decision(state, decision, BEGIN + timedelta(hours=hours)), decision


# --- one rollout, step by step ------------------------------------------------------------------


def test_a_rollout_begins_loaded_and_silent_beside_the_champion():
    state = begin()
    assert (state.phase, state.step, state.weight, state.baseline) == ("initializing", -1, 0, "v1")
    assert state.since == BEGIN.isoformat()
    assert state.reason == "loading beside v1"
    assert begin(None).reason == "loading, there is no champion yet"


def test_a_good_version_takes_every_step_and_is_promoted_after_the_last():
    state, weights = begin(), []
    actions = []
    for window in (None, GOOD, GOOD):
        state, decision = advance(state, window)
        weights.append(state.weight)
        actions.append(decision.action)
    assert weights == [10, 50, 100]
    assert actions == ["advance", "advance", "promote"]
    assert (state.phase, state.step) == ("succeeded", 2)


def test_too_small_a_window_holds_the_step_and_its_beginning():
    state, _ = advance(begin(), None)
    held, decision = advance(state, SMALL, hours=9)
    assert decision.action == "hold"
    assert decision.weight == 10
    assert held is state


def test_a_broken_version_loses_its_traffic_at_once_and_the_reason_is_kept():
    state, _ = advance(begin(), None)
    failed, decision = advance(state, BAD, hours=2)
    assert decision.action == "roll_back"
    assert (failed.phase, failed.step, failed.weight) == ("failed", 0, 0)
    assert failed.reason == "v2 failed 100 of 100 requests, v1 0 of 900: more than chance explains"
    assert failed.evidence["canary"] == {"version": "v2", "requests": 100, "errors": 100}
    assert failed.since == (BEGIN + timedelta(hours=2)).isoformat()


def test_each_step_begins_anew_so_that_windows_are_never_pooled():
    first, _ = advance(begin(), None, hours=1)
    second, _ = advance(first, GOOD, hours=5)
    assert [first.since, second.since] == [
        (BEGIN + timedelta(hours=hour)).isoformat() for hour in (1, 5)
    ]


def test_a_window_is_judged_at_the_weight_of_its_step():
    state = replace(begin(), phase="progressing", step=1, weight=50)
    window = Window(Arm("v2", 500, 9), Arm("v1", 500, 3))
    decision = decide_next(state, window, CANARY)
    assert decision.verdict == judge_window(window, 0.5, CANARY.analysis)
    assert decision.verdict.evidence["weight"] == 0.5


@pytest.mark.parametrize("policy", [CANARY, RolloutPolicy()])
def test_the_first_version_is_promoted_at_once_with_nothing_to_compare_with(policy):
    state, decision = advance(begin(None), None, policy)
    assert decision.action == "promote"
    assert decision.reason == "the first version: nothing to compare with"
    assert (state.phase, state.weight) == ("succeeded", 100)


def test_recreate_switches_at_once():
    state, decision = advance(begin(), None, RolloutPolicy("recreate"))
    assert (decision.action, state.phase, state.weight) == ("promote", "succeeded", 100)


def test_a_progressing_version_without_a_window_is_held_not_promoted_unseen():
    state = replace(begin(), phase="progressing", step=1, weight=50)
    decision = decide_next(state, None, CANARY)
    assert (decision.action, decision.weight) == ("hold", 50)
    assert decision.reason == "no requests seen yet"


@pytest.mark.parametrize("phase", ["succeeded", "failed"])
@pytest.mark.parametrize("window", [None, GOOD, BAD])
def test_a_rollout_that_has_ended_never_moves_again(phase, window):
    ended = replace(begin(), phase=phase, weight=100 if phase == "succeeded" else 0)
    moved, decision = advance(ended, window)
    assert decision.action == "hold"
    assert decision.reason == f"the rollout has {phase}"
    assert moved is ended


# --- any sequence of windows --------------------------------------------------------------------

STEPS = st.sets(st.integers(1, 99), min_size=1, max_size=5).map(lambda made: tuple(sorted(made)))
POLICIES = st.just(RolloutPolicy("recreate")) | st.builds(
    lambda steps, sample: RolloutPolicy("canary", steps, AnalysisPolicy(minimum_sample=sample)),
    STEPS,
    st.integers(1, 60),
)
ARMS = st.tuples(st.integers(0, 120), st.integers(0, 60))
WINDOWS = st.lists(
    st.sampled_from([GOOD, GOOD, GOOD, SMALL, BAD])
    | st.builds(
        lambda canary, baseline: Window(
            Arm("v2", sum(canary), canary[1]), Arm("v1", sum(baseline), baseline[1])
        ),
        ARMS,
        ARMS,
    ),
    max_size=12,
)


@settings(deadline=None, max_examples=100)
@given(policy=POLICIES, windows=WINDOWS)
def test_any_sequence_of_windows_keeps_the_rules_of_a_rollout(policy, windows):
    state, passed = begin(), 0
    for hours, window in enumerate([None, *windows]):
        before = state
        state, decision = advance(before, window, policy, hours)
        assert state.weight in {0, *policy.steps, 100}
        assert state.weight == decision.weight
        if not before.active:
            assert state is before
        elif decision.action == "roll_back":
            assert (state.phase, state.weight) == ("failed", 0)
            assert decision.verdict.outcome == "failed"
        elif decision.action == "hold":
            assert state is before
            assert decision.verdict.outcome == "inconclusive"
        else:
            assert state.step == before.step + 1
            assert state.weight > before.weight
            assert window is None or decision.verdict.passed
            passed += window is not None
            assert state.since == (BEGIN + timedelta(hours=hours)).isoformat()
        if state.phase == "succeeded":
            assert passed == len(policy.steps)
            assert state.weight == 100


@settings(deadline=None, max_examples=40)
@given(policy=POLICIES, windows=WINDOWS)
def test_at_every_moment_the_routing_gives_out_all_requests(policy, windows):
    state = begin()
    for hours, window in enumerate([None, *windows]):
        state, _ = advance(state, window, policy, hours)
        champion = Champion("v2", "d2", "") if state.phase == "succeeded" else CHAMPION
        routing = build_routing("delays", champion, state)
        assert sum(target.weight for target in routing.targets) == 100
        answered = {target.version: target.weight for target in routing.targets}
        assert answered.get("v2", 0) == state.weight


@settings(deadline=None, max_examples=40)
@given(policy=POLICIES, windows=WINDOWS, at=st.integers(0, 100))
def test_holding_twice_is_holding_once(policy, windows, at):
    state = begin()
    for window in [None, *windows]:
        state, decision = advance(state, window, policy)
        if decision.action == "hold":
            again = apply_decision(state, decision, BEGIN + timedelta(days=at))
            assert again == state
            assert decide_next(again, window, policy) == decision


@settings(deadline=None, max_examples=40)
@given(policy=POLICIES, windows=WINDOWS)
def test_deciding_changes_nothing_and_is_repeatable(policy, windows):
    state = begin()
    for window in [None, *windows]:
        kept = replace(state)
        assert decide_next(state, window, policy) == decide_next(state, window, policy)
        assert state == kept
        state, _ = advance(state, window, policy)
        assert (state.version, state.digest, state.baseline) == ("v2", "d2", "v1")


# --- policies -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("strategy", "steps", "said"),
    [
        ("canary", (), r"canary needs steps, for example \[10, 50\]"),
        ("canary", (0, 50), r"percentages from 1 to 99, got \[0, 50\]; 100 follows by itself"),
        ("canary", (10, 100), r"percentages from 1 to 99, got \[10, 100\]"),
        ("canary", (-5,), r"percentages from 1 to 99, got \[-5\]"),
        ("canary", (50, 10), r"steps must rise from one to the next, got \[50, 10\]"),
        ("canary", (10, 10), r"steps must rise from one to the next, got \[10, 10\]"),
        ("recreate", (10,), "steps belong to strategy canary, recreate has none"),
    ],
)
def test_steps_that_cannot_be_taken_are_refused_with_what_to_do(strategy, steps, said):
    with pytest.raises(ValueError, match=said):
        RolloutPolicy(strategy, steps)


@given(steps=STEPS)
def test_any_rising_percentages_are_steps(steps):
    assert RolloutPolicy("canary", steps).steps == steps
