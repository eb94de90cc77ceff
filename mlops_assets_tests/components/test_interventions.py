"""What a person does to a rollout is done once, kept with who and why, and never does harm."""

from __future__ import annotations

from datetime import timedelta

import pytest

from mlops_assets.adapters.journal import (
    read_champion,
    read_interventions,
    read_rollout,
    read_rollout_history,
    read_routing,
    write_cut_off,
    write_rollout,
)
from mlops_assets.components.stages import interventions
from mlops_assets.components.stages.release import NextStep, find_next_step
from mlops_assets.components.stages.rollout_steps import step_rollout
from mlops_assets.lifecycle.errors import LedgerConflict, RefusedError
from mlops_assets.lifecycle.rollout.state import Champion, CutOff
from mlops_assets.lifecycle.rollout.strategy import begin_rollout

A, B, C = ("a" * 64, "b" * 64, "c" * 64)
V1 = Champion("v1", A, "2013-03-04")
DESK, WHY = "the flight desk", "callers report odd answers"


def step(world, version: str):
    world.clock.at += timedelta(minutes=1)
    ports = (world.ledger, world.registry, world.serving, world.telemetry, world.tables)
    return step_rollout(world.model, version, *ports, world.clock)


def next_step(world) -> NextStep | str:
    return find_next_step(world.model, world.ledger, world.telemetry, world.tables, world.clock)


def do(world, action: str, *, by: str = DESK, why: str = WHY, request: str = "launch 1") -> str:
    """One launch of a job by hand."""
    world.clock.at += timedelta(minutes=1)
    registry = () if action in ("pause", "resume") else (world.registry,)
    act = getattr(interventions, action)
    return act(world.model, by, why, world.ledger, *registry, world.clock, request=request)


def weights(world) -> dict[str, int]:
    return {t.version: t.weight for t in read_routing(world.ledger, world.name).targets}


def phases(world, version: str) -> list[tuple[str, int]]:
    history = read_rollout_history(world.ledger, world.name, version)
    return [(state.phase, state.weight) for state in history]


@pytest.fixture
def first(world):
    """A world in which v1 is champion."""
    step(world, world.add_version(A, "2013-03-04"))
    return world


@pytest.fixture
def canary(first):
    """A world in which v2 answers 10 % beside v1."""
    step(first, first.add_version(B, "2013-05-06"))
    return first


@pytest.fixture
def promoted(canary):
    """A world in which v2 took over from v1."""
    canary.observe("v2", "v1")
    for _ in range(2):
        step(canary, "v2")
    assert weights(canary) == {"v2": 100}
    return canary


class TestPause:
    def test_given_a_rollout_in_progress_then_it_keeps_its_share_and_goes_no_further(self, canary):
        canary.observe("v2", "v1")
        assert do(canary, "pause") == "the rollout of v2 is held at 10 %"
        assert step(canary, "v2").decision.action == "hold"
        assert weights(canary) == {"v1": 90, "v2": 10}
        said = next_step(canary)
        assert isinstance(said, str)
        assert DESK in said
        assert WHY in said

    def test_given_harm_then_a_held_rollout_is_rolled_back_all_the_same(self, canary):
        do(canary, "pause")
        canary.observe("v2", "v1", errors=50)
        assert isinstance(next_step(canary), NextStep)
        assert step(canary, "v2").decision.action == "roll_back"
        assert weights(canary) == {"v1": 100}

    def test_given_a_cut_off_then_a_held_rollout_is_rolled_back_all_the_same(self, canary):
        do(canary, "pause")
        write_cut_off(canary.ledger, canary.name, CutOff("v2", B, "raised"), canary.clock.now())
        assert step(canary, "v2").decision.action == "roll_back"

    def test_given_it_is_held_already_then_refused_and_the_way_on_is_said(self, canary):
        do(canary, "pause")
        with pytest.raises(RefusedError, match=r"held already.*flight_delays__resume"):
            do(canary, "pause", request="launch 2")

    def test_given_held_before_its_first_step_then_it_is_left_as_it_is(self, first):
        version = first.add_version(B, loads=False)
        begun = begin_rollout(version, B, "2013-04-01", V1, first.clock.now())
        write_rollout(first.ledger, first.name, begun, first.clock.now())
        do(first, "pause")
        assert step(first, version).decision.action == "hold"
        assert phases(first, version) == [("initializing", 0), ("initializing", 0)]
        do(first, "resume", request="launch 2")
        assert step(first, version).decision.action == "roll_back"


class TestResume:
    def test_given_a_held_rollout_then_it_goes_on_where_it_stood(self, canary):
        do(canary, "pause")
        said = do(canary, "resume", request="launch 2")
        assert said == "the rollout of v2 goes on at 10 %"
        canary.observe("v2", "v1")
        assert step(canary, "v2").state.weight == 50

    def test_given_nothing_is_held_then_refused(self, canary):
        with pytest.raises(RefusedError, match="the rollout of flight_delays v2 is not held"):
            do(canary, "resume")


class TestAbort:
    def test_given_a_rollout_in_progress_then_it_ends_and_says_who_and_why(self, canary):
        assert do(canary, "abort") == "the rollout of v2 was ended at 10 %"
        assert phases(canary, "v2")[-1] == ("failed", 0)
        assert read_rollout(canary.ledger, canary.name).reason == f"{DESK}: {WHY}"
        assert weights(canary) == {"v1": 100}
        assert canary.aliases() == {"champion": "v1"}

    def test_given_a_held_rollout_then_it_ends_too(self, canary):
        do(canary, "pause")
        do(canary, "abort", request="launch 2")
        assert not read_rollout(canary.ledger, canary.name).active

    def test_given_none_in_progress_then_refused_and_the_champion_stays(self, promoted):
        with pytest.raises(RefusedError, match=r"no rollout in progress.*flight_delays__roll_back"):
            do(promoted, "abort")
        assert weights(promoted) == {"v2": 100}


class TestRollBack:
    def test_given_a_rollout_in_progress_then_it_is_ended(self, canary):
        assert do(canary, "roll_back") == "the rollout of v2 was ended at 10 %"
        assert phases(canary, "v2")[-1] == ("failed", 0)
        assert weights(canary) == {"v1": 100}
        assert canary.aliases() == {"champion": "v1"}

    def test_given_none_in_progress_then_the_champion_before_answers_again(self, promoted):
        assert do(promoted, "roll_back") == "champion is v1 again, instead of v2"
        assert weights(promoted) == {"v1": 100}
        assert promoted.aliases() == {"champion": "v1"}
        assert read_champion(promoted.ledger, promoted.name).reason == f"{DESK}: {WHY}"

    def test_given_no_name_then_it_is_done_all_the_same(self, canary):
        do(canary, "roll_back", by="", why="fire")
        assert read_rollout(canary.ledger, canary.name).reason == "fire"

    def test_given_it_went_back_then_the_version_is_not_rolled_out_again_by_itself(self, promoted):
        do(promoted, "roll_back")
        assert next_step(promoted) == "no rollout in progress and no new version"

    def test_given_it_went_back_already_then_it_never_goes_forth_to_the_bad_version(self, promoted):
        do(promoted, "roll_back")
        with pytest.raises(RefusedError, match="no champion before this one"):
            do(promoted, "roll_back", request="launch 2")
        assert weights(promoted) == {"v1": 100}

    def test_given_three_champions_then_two_launches_go_back_two(self, promoted):
        step(promoted, promoted.add_version(C, "2013-05-13"))
        promoted.observe("v3", "v2")
        for _ in range(2):
            step(promoted, "v3")
        assert do(promoted, "roll_back") == "champion is v2 again, instead of v3"
        assert do(promoted, "roll_back", request="2") == "champion is v1 again, instead of v2"

    def test_given_nothing_released_then_refused(self, world):
        with pytest.raises(RefusedError, match="nothing was released yet"):
            do(world, "roll_back")

    def test_given_nothing_to_go_back_to_then_refused(self, first):
        with pytest.raises(RefusedError, match="no champion before this one"):
            do(first, "roll_back")


@pytest.mark.parametrize("action", ["pause", "abort", "roll_back"])
def test_given_the_same_launch_again_then_it_says_the_same_and_writes_nothing(canary, action):
    said = do(canary, action)
    before = canary.ledger.position()
    assert do(canary, action) == said
    assert canary.ledger.position() == before


def test_given_the_same_launch_after_it_was_undone_then_it_is_not_done_again(canary):
    do(canary, "pause", request="launch 1")
    do(canary, "resume", request="launch 2")
    do(canary, "pause", request="launch 1")
    assert not read_rollout(canary.ledger, canary.name).paused
    assert do(canary, "resume", request="launch 2") == "the rollout of v2 goes on at 10 %"


def test_given_a_launch_tried_again_then_it_never_goes_back_a_second_champion(promoted):
    step(promoted, promoted.add_version(C, "2013-05-13"))
    promoted.observe("v3", "v2")
    for _ in range(2):
        step(promoted, "v3")
    for _ in range(3):
        do(promoted, "roll_back")
    assert weights(promoted) == {"v2": 100}


@pytest.mark.parametrize("action", ["pause", "resume", "abort"])
@pytest.mark.parametrize(
    ("changed", "said"),
    [({"by": " "}, "'by' is empty"), ({"why": "no"}, "reason 'no' is shorter than")],
)
def test_nobody_holds_or_ends_a_rollout_without_a_name_and_a_reason(canary, action, changed, said):
    before = canary.ledger.position()
    with pytest.raises(RefusedError, match=f"{action}: {said}"):
        do(canary, action, **changed)
    assert canary.ledger.position() == before


def test_who_did_what_and_why_is_in_the_ledger_oldest_first(canary):
    for number, action in enumerate(("pause", "resume", "abort")):
        do(canary, action, request=f"launch {number}")
    told = [told for _, told in read_interventions(canary.ledger, canary.name)]
    assert [(t.action, t.version, t.by, t.reason) for t in told] == [
        (action, "v2", DESK, WHY) for action in ("pause", "resume", "abort")
    ]


@pytest.mark.parametrize("action", ["pause", "abort", "roll_back"])
def test_given_a_step_in_between_then_the_person_is_told_to_look_again(canary, action):
    canary.observe("v2", "v1")
    real, taken = canary.ledger.append, []

    def append(*records):
        if not taken:
            taken.append(True)
            step(canary, "v2")
        return real(*records)

    canary.ledger.append = append
    with pytest.raises(LedgerConflict):
        do(canary, action)
    assert weights(canary) == {"v1": 50, "v2": 50}
    assert read_interventions(canary.ledger, canary.name) == []
    assert do(canary, action).endswith("50 %")
