"""A rollout as a state machine: which weights, which ends, and no way round."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlops_assets.lifecycle.errors import RefusedError
from mlops_assets.lifecycle.rollout.decision import RolloutDecision, RolloutEvidence
from mlops_assets.lifecycle.rollout.policy import AnalysisPolicy, RolloutPolicy
from mlops_assets.lifecycle.rollout.state import Champion, RolloutState, build_routing
from mlops_assets.lifecycle.rollout.strategy import (
    STRATEGIES,
    apply_decision,
    begin_rollout,
    decide_next,
    pause,
    resume,
)
from mlops_assets.lifecycle.rollout.window import Arm, Window

BEGIN = datetime(2013, 4, 1, tzinfo=UTC)
CHAMPION = Champion("v1", "d1", "2013-03-04")
NOTHING = RolloutEvidence()
CANARY = RolloutPolicy("canary", (10, 50), AnalysisPolicy(minimum_sample=100))
POLICY_OF = {
    "shadow": RolloutPolicy("shadow", (10, 50)),
    "canary": CANARY,
    "blue_green": RolloutPolicy("blue_green"),
    "ab_test": RolloutPolicy("ab_test", split=30),
    "recreate": RolloutPolicy("recreate"),
}
ALL = pytest.mark.parametrize("policy", POLICY_OF.values(), ids=POLICY_OF)


def window(weight: int, units: int = 700, failed: int = 0) -> Window:
    """All of the canary's failures are first ones; the baseline has none."""
    others = units * (100 - weight) // weight
    return Window(
        weight,
        Arm("v2", requests=units, units=units, failed=failed, errors=failed),
        Arm("v1", requests=others, units=others),
    )


def begin(champion: Champion | None = CHAMPION) -> RolloutState:
    return begin_rollout("v2", "d2", "2013-03-11", champion, BEGIN)


def advance(
    state: RolloutState,
    evidence: RolloutEvidence = NOTHING,
    policy: RolloutPolicy = CANARY,
    hours: int = 1,
) -> tuple[RolloutState, RolloutDecision]:
    decision = decide_next(state, evidence, policy)
    return apply_decision(state, decision, BEGIN + timedelta(hours=hours)), decision


def test_every_strategy_that_a_policy_can_name_has_an_answer():
    assert set(STRATEGIES) == set(POLICY_OF)


def test_a_rollout_begins_loaded_and_silent_beside_the_champion():
    state = begin()
    assert (state.phase, state.step, state.weight, state.baseline) == ("initializing", -1, 0, "v1")
    assert state.since == BEGIN.isoformat()
    assert state.reason == "loading beside v1"
    assert begin(None).reason == "loading, there is no champion yet"


@pytest.mark.parametrize(
    ("strategy", "weight", "mirror", "phase"),
    [
        ("shadow", 0, 100, "progressing"),
        ("canary", 10, 0, "progressing"),
        ("blue_green", 100, 0, "progressing"),
        ("ab_test", 30, 0, "progressing"),
        ("recreate", 100, 0, "succeeded"),
    ],
)
def test_each_strategy_takes_its_own_first_step(strategy, weight, mirror, phase):
    state, decision = advance(begin(), policy=POLICY_OF[strategy])
    assert (state.weight, state.mirror, state.phase, state.step) == (weight, mirror, phase, 0)
    assert decision.reason.startswith("v2 is loaded and ready")


@ALL
def test_the_first_version_is_promoted_at_once_with_nothing_to_compare_with(policy):
    state, decision = advance(begin(None), policy=policy)
    assert decision.action == "promote"
    assert decision.reason == "the first version: nothing to compare with"
    assert (state.phase, state.weight, state.mirror) == ("succeeded", 100, 0)


@ALL
@pytest.mark.parametrize("champion", [CHAMPION, None])
@pytest.mark.parametrize("paused", [True, False])
def test_a_version_that_its_endpoint_cut_off_is_rolled_back_at_once(policy, champion, paused):
    cut = RolloutEvidence(cut_off="5 of 5 attempts threw ValueError")
    begun, _ = advance(begin(), policy=policy)
    for state in (begin(champion), begun):
        if state.active:
            moved, decision = advance(replace(state, paused=paused), cut, policy)
            assert decision.action == "roll_back"
            assert decision.reason == (
                "the endpoint stopped asking v2: 5 of 5 attempts threw ValueError"
            )
            assert (moved.phase, moved.weight, moved.mirror, moved.paused) == (
                "failed",
                0,
                0,
                False,
            )


@ALL
@pytest.mark.parametrize("phase", ["succeeded", "failed"])
@pytest.mark.parametrize("evidence", [NOTHING, RolloutEvidence(cut_off="it threw")])
def test_a_rollout_that_has_ended_never_moves_again(policy, phase, evidence):
    ended = replace(begin(), phase=phase, weight=100 if phase == "succeeded" else 0)
    moved, decision = advance(ended, evidence, policy)
    assert (decision.action, decision.reason) == ("hold", f"the rollout has {phase}")
    assert moved is ended


def test_what_each_guardrail_said_is_kept_in_the_state_as_plain_values():
    state, _ = advance(begin())
    failed, _ = advance(state, RolloutEvidence((window(10, 100, 90),)), hours=2)
    found = failed.evidence["canary_errors_are_not_higher"]
    assert found["outcome"] == "failed"
    assert found["reason"] == failed.reason
    assert found["log10_e"] > found["log10_e_limit"]
    assert json.loads(json.dumps(failed.evidence)) == failed.evidence
    assert failed.since == (BEGIN + timedelta(hours=2)).isoformat()


# --- a person holds it --------------------------------------------------------------------------


@ALL
def test_a_paused_rollout_stays_where_it_is_whatever_good_is_known(policy):
    for state in (begin(), advance(begin(), policy=policy)[0]):
        if state.active:
            held = pause(state, "ada", "a holiday", BEGIN)
            good = RolloutEvidence((window(10), window(50), window(30)))
            moved, decision = advance(held, good, policy)
            assert moved is held
            assert decision.action == "hold"
            assert decision.reason == "paused by ada at 2013-04-01T00:00:00+00:00: a holiday"


def test_a_paused_version_that_does_harm_is_rolled_back():
    state, _ = advance(begin())
    held = pause(state, "ada", "a holiday", BEGIN)
    moved, decision = advance(held, RolloutEvidence((window(10, 100, 90),)))
    assert decision.action == "roll_back"
    assert (moved.phase, moved.paused) == ("failed", False)


def test_a_paused_version_is_not_rolled_back_because_time_is_up():
    analysis = AnalysisPolicy(minimum_sample=100, maximum_sample=200)
    policy = RolloutPolicy("canary", (10,), analysis)
    state, _ = advance(begin(), policy=policy)
    late = RolloutEvidence((window(10, 200),))
    assert decide_next(state, late, policy).action == "roll_back"
    assert decide_next(pause(state, "ada", "a holiday", BEGIN), late, policy).action == "hold"


def test_a_resumed_rollout_goes_on_where_it_was():
    state, _ = advance(begin())
    later = BEGIN + timedelta(days=3)
    going = resume(pause(state, "ada", "a holiday", BEGIN), "bo", "back again", later)
    assert going.reason == "resumed by bo at 2013-04-04T00:00:00+00:00: back again"
    assert replace(going, reason=state.reason) == state
    moved, _ = advance(going, RolloutEvidence((window(10),)))
    assert moved.weight == 50


def test_who_takes_traffic_away_need_not_say_who_they_are():
    held = pause(advance(begin())[0], "", "a holiday", BEGIN)
    assert held.reason.startswith("paused at 2013")


def test_what_cannot_be_paused_or_resumed_says_why():
    state = begin()
    with pytest.raises(RefusedError, match="v2 is not paused, there is nothing to resume"):
        resume(state, "ada", "", BEGIN)
    with pytest.raises(RefusedError, match=r"v2 is paused already \(paused by ada .*resume it"):
        pause(pause(state, "ada", "why", BEGIN), "bo", "too", BEGIN)
    ended = replace(state, phase="failed")
    for act, said in ((pause, "pause"), (resume, "resume")):
        with pytest.raises(RefusedError, match=f"has failed; only one in progress can {said}"):
            act(ended, "ada", "", BEGIN)


# --- any sequence of evidence -------------------------------------------------------------------

STEPS = st.sets(st.integers(1, 99), min_size=1, max_size=4).map(lambda made: tuple(sorted(made)))
POLICIES = st.sampled_from(list(POLICY_OF.values())) | st.builds(
    lambda steps, sample, most: RolloutPolicy(
        "canary", steps, AnalysisPolicy(sample, maximum_sample=most and most * sample)
    ),
    STEPS,
    st.integers(1, 60),
    st.none() | st.integers(4, 9),
)
COUNTS = st.lists(
    st.tuples(st.integers(0, 900), st.sampled_from([0, 0, 0, 1, 60]), st.sampled_from([0, 0, 30])),
    max_size=10,
)
CUTS = st.sampled_from([None] * 9 + ["it threw"])


def evidence_for(state: RolloutState, counts: tuple[int, int, int], cut: str | None):
    """What may be known at the state's weight: canary units, its failures, the baseline's."""
    units, failed, others = counts
    if state.phase != "progressing":
        return RolloutEvidence(cut_off=cut)
    failed = min(failed, units)
    canary = Arm("v2", requests=units, units=units, failed=failed, errors=failed)
    baseline = Arm("v1", requests=900, units=900, failed=others, errors=others)
    return RolloutEvidence((Window(state.weight, canary, baseline),), cut)


@settings(max_examples=150)
@given(policy=POLICIES, counts=COUNTS, cut=CUTS)
def test_any_sequence_of_evidence_keeps_the_rules_of_a_rollout(policy, counts, cut):
    state = begin()
    allowed = {0, 100, *policy.steps, policy.split}
    for hours, seen in enumerate([(0, 0, 0), *counts]):
        before, evidence = state, evidence_for(state, seen, cut if hours == 4 else None)
        state, decision = advance(before, evidence, policy, hours)
        assert state.weight in allowed
        assert (state.weight, state.mirror) == (decision.weight, decision.mirror)
        if not before.active or decision.action == "hold":
            assert state is before
        elif decision.action == "roll_back":
            assert (state.phase, state.weight, state.mirror) == ("failed", 0, 0)
            assert decision.verdict.outcome != "passed"
        else:
            assert state.step == before.step + 1
            assert state.since == (BEGIN + timedelta(hours=hours)).isoformat()
            assert not any(verdict.outcome == "failed" for verdict in decision.verdicts)
        if decision.action == "promote" and policy.strategy == "canary":
            assert all(verdict.passed for verdict in decision.verdicts)
            assert before.weight == policy.steps[-1]


@settings(max_examples=60)
@given(policy=POLICIES, counts=COUNTS, cut=CUTS)
def test_at_every_moment_the_routing_gives_out_all_requests(policy, counts, cut):
    state = begin()
    for seen in [(0, 0, 0), *counts]:
        state, _ = advance(state, evidence_for(state, seen, cut), policy)
        champion = Champion("v2", "d2", "") if state.phase == "succeeded" else CHAMPION
        routing = build_routing("delays", champion, state)
        assert sum(target.weight for target in routing.targets) == 100
        answered = {target.version: target.weight for target in routing.targets}
        assert answered.get("v2", 0) == state.weight


@settings(max_examples=60)
@given(policy=POLICIES, counts=COUNTS, at=st.integers(0, 100))
def test_deciding_changes_nothing_and_holding_twice_is_holding_once(policy, counts, at):
    state = begin()
    for seen in [(0, 0, 0), *counts]:
        kept, evidence = replace(state), evidence_for(state, seen, None)
        decision = decide_next(state, evidence, policy)
        assert decide_next(state, evidence, policy) == decision
        assert state == kept
        moved = apply_decision(state, decision, BEGIN + timedelta(days=at))
        assert decision.action != "hold" or moved is state
        assert (moved.version, moved.digest, moved.baseline) == ("v2", "d2", "v1")
        state = moved
