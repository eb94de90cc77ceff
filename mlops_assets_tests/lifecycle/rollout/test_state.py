"""The routing that follows from a champion and a rollout."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_assets.lifecycle.rollout.state import (
    ACTIVE,
    Champion,
    RolloutState,
    Routing,
    Target,
    build_routing,
)

PHASES = ("initializing", "progressing", "succeeded", "failed")
CHAMPION = Champion("v1", "d1", "2013-03-04")


def state(phase: str = "progressing", weight: int = 10, digest: str = "d2") -> RolloutState:
    return RolloutState(
        "v2", digest, "2013-03-11", phase, 0, weight, "2013-04-01T00:00:00+00:00", "", "v1"
    )


CHAMPIONS = st.none() | st.just(CHAMPION)
STATES = st.none() | st.builds(
    state, st.sampled_from(PHASES), st.integers(0, 99), st.sampled_from(["d1", "d2"])
)


@given(champion=CHAMPIONS, rollout=STATES)
def test_weights_add_up_to_a_hundred_whenever_there_is_a_primary(champion, rollout):
    routing = build_routing("delays", champion, rollout)
    total = sum(target.weight for target in routing.targets)
    assert total == (100 if routing.primary else 0)
    assert all(0 <= target.weight <= 100 for target in routing.targets)
    assert routing.model == "delays"


@given(champion=CHAMPIONS, rollout=STATES)
def test_each_arm_is_there_once_at_most_and_no_files_are_loaded_twice(champion, rollout):
    targets = build_routing("delays", champion, rollout).targets
    assert len({target.arm for target in targets}) == len(targets)
    assert len({target.digest for target in targets}) == len(targets)


@given(champion=CHAMPIONS, rollout=STATES)
def test_the_champion_is_the_primary_and_only_an_active_rollout_a_canary(champion, rollout):
    routing = build_routing("delays", champion, rollout)
    assert (routing.primary is None) == (champion is None)
    expected = rollout and rollout.phase in ACTIVE and (champion is None or rollout.digest != "d1")
    assert (routing.canary is not None) == bool(expected)


def test_a_canary_takes_its_weight_from_the_champion():
    assert build_routing("delays", CHAMPION, state(weight=10)) == Routing(
        "delays", (Target("v1", "d1", 90, "primary"), Target("v2", "d2", 10, "canary"))
    )


@pytest.mark.parametrize("phase", ["succeeded", "failed"])
def test_when_a_rollout_has_ended_the_champion_answers_everything(phase):
    routing = build_routing("delays", CHAMPION, state(phase, 50))
    assert routing.targets == (Target("v1", "d1", 100, "primary"),)


def test_before_there_is_a_champion_the_version_is_loaded_but_answers_nothing():
    routing = build_routing("delays", None, state("initializing", 100))
    assert routing.targets == (Target("v2", "d2", 0, "canary"),)
    assert routing.primary is None


def test_a_version_that_became_champion_is_not_its_own_canary():
    champion = Champion("v2", "d2", "2013-03-11")
    routing = build_routing("delays", champion, state(weight=50))
    assert routing.targets == (Target("v2", "d2", 100, "primary"),)


def test_with_nothing_to_serve_the_routing_is_empty():
    routing = build_routing("delays", None, None)
    assert (routing.targets, routing.primary, routing.canary) == ((), None, None)


@pytest.mark.parametrize("phase", PHASES)
def test_a_rollout_is_active_until_it_has_succeeded_or_failed(phase):
    assert state(phase).active == (phase in {"initializing", "progressing"})
