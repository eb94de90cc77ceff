"""What the ledger's rows mean, written once and read back."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta

import pytest

from mlops_assets.adapters.in_memory import InMemoryLedger
from mlops_assets.adapters.journal import (
    find_live_override,
    find_previous_champion,
    may_serve,
    read_champion,
    read_cut_off,
    read_drills,
    read_intervention,
    read_interventions,
    read_override,
    read_rollout,
    read_routing,
    write_champion,
    write_cut_off,
    write_drill,
    write_once,
    write_rollout,
)
from mlops_assets.adapters.sql_ledger import SqlLedger
from mlops_assets.lifecycle.clearance import Override
from mlops_assets.lifecycle.errors import LedgerConflict
from mlops_assets.lifecycle.rollout.drill import RollbackDrill
from mlops_assets.lifecycle.rollout.intervention import Intervention
from mlops_assets.lifecycle.rollout.state import Champion, CutOff, RolloutState, Routing, Target

AT = datetime(2013, 6, 1, tzinfo=UTC)
LATER = AT + timedelta(days=1)
V1 = Champion("v1", "digest 1", "2013-W10", "first")
V2 = Champion("v2", "digest 2", "2013-W11", "better")
V3 = Champion("v3", "digest 3", "2013-W12", "better still")
TOLD = Intervention("launch 1", "pause", "v2", "the desk", "odd answers", "held at 20 %")
CANARY = RolloutState(
    version="v2",
    digest="digest 2",
    train_as_of="2013-W11",
    phase="progressing",
    step=1,
    weight=20,
    since="2013-06-01T00:00:00+00:00",
    reason="the step before held",
    baseline="v1",
    evidence={"canary": {"requests": 10}, "e_value": 0.5},
)


@pytest.fixture(params=["memory", "sqlite"])
def ledger(request, tmp_path):
    if request.param == "memory":
        return InMemoryLedger()
    return SqlLedger(f"sqlite:///{tmp_path}/ledger.db")


def write(ledger, body, at=AT, subject="subject"):
    return write_once(ledger, "kind", "model", subject, body, at)


def verdict(ledger, outcome, digest="digest 1", model="model"):
    body = {"model": digest, "outcome": outcome, "reason": "because"}
    return write_once(ledger, "verdict", model, digest, body, AT)


def override(ledger, **differences) -> Override:
    """Record that a person lets a digest out."""
    made = Override(
        "the flight desk", "known and accepted", "2013-06-02T00:00:00+00:00", "policy", 1
    )
    made = replace(made, **differences)
    write_once(ledger, "override", "model", "digest 1", asdict(made), AT)
    return made


def test_when_the_same_is_written_again_then_the_first_row_stays_and_is_returned(ledger):
    first = write(ledger, {"said": "this"})
    assert write(ledger, {"said": "this"}, LATER) == first
    assert ledger.history("kind", "model") == [first]


def test_when_something_else_is_written_then_it_is_the_next_row(ledger):
    for said in ("this", "that", "this"):
        write(ledger, {"said": said})
    rows = ledger.history("kind", "model", "subject")
    assert [(row.sequence, row.body["said"]) for row in rows] == [
        (1, "this"),
        (2, "that"),
        (3, "this"),
    ]


@pytest.mark.parametrize(
    ("body", "same"),
    [
        ({"pair": (1, 2)}, {"pair": [1, 2]}),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
        ({1: "number"}, {"1": "number"}),
        ({"number": 1}, {"number": 1.0}),
    ],
)
def test_what_json_does_not_tell_apart_is_the_same(ledger, body, same):
    assert write(ledger, same) == write(ledger, body)
    assert ledger.position() == 1


def test_subjects_are_written_for_themselves(ledger):
    write(ledger, {"said": "this"}, subject="a")
    assert write(ledger, {"said": "this"}, subject="b").sequence == 1
    assert len(ledger.history("kind", "model")) == 2


def test_a_body_that_is_no_json_is_refused(ledger):
    with pytest.raises(TypeError):
        write(ledger, {"at": AT})
    assert ledger.position() == 0


def test_when_threads_write_the_same_at_once_then_it_stands_there_once(ledger):
    barrier = threading.Barrier(8)

    def attempt(_):
        barrier.wait()
        try:
            return write(ledger, {"said": "this"}).sequence
        except LedgerConflict:
            return 1

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(attempt, range(8))) == {1}
    assert [row.body for row in ledger.history("kind", "model")] == [{"said": "this"}]


def test_when_threads_write_different_things_at_once_then_each_row_was_asked_for(ledger):
    barrier = threading.Barrier(8)

    def attempt(number):
        barrier.wait()
        try:
            write(ledger, {"number": number})
        except LedgerConflict:
            return None
        return number

    with ThreadPoolExecutor(8) as pool:
        written = {number for number in pool.map(attempt, range(8)) if number is not None}
    rows = ledger.history("kind", "model", "subject")
    assert [row.sequence for row in rows] == list(range(1, len(rows) + 1))
    assert {row.body["number"] for row in rows} == written != set()


def test_before_anything_is_written_there_is_no_champion_no_rollout_and_nothing_to_route(ledger):
    assert read_champion(ledger, "model") is None
    assert read_rollout(ledger, "model") is None
    assert read_rollout(ledger, "model", "v1") is None
    assert read_routing(ledger, "model") == Routing("model", ())


def test_the_champion_is_the_last_one_promoted(ledger):
    for champion in (V1, V2, V2):
        write_champion(ledger, "model", champion, AT)
    assert read_champion(ledger, "model") == V2
    assert read_champion(ledger, "other") is None
    assert ledger.position() == 2


def test_given_a_champion_was_replaced_when_it_is_promoted_again_then_it_is_champion(ledger):
    for champion in (V1, V2, V1):
        write_champion(ledger, "model", champion, AT)
    assert read_champion(ledger, "model") == V1


def test_a_rollout_comes_back_as_it_was_written(ledger):
    write_rollout(ledger, "model", CANARY, AT)
    assert read_rollout(ledger, "model") == CANARY
    assert read_rollout(ledger, "model", "v2") == CANARY
    assert read_rollout(ledger, "other") is None


def test_the_latest_state_counts_of_the_version_or_of_the_model(ledger):
    further = replace(CANARY, step=2, weight=50)
    other = replace(CANARY, version="v3", digest="digest 3", step=0)
    for state in (CANARY, further, other):
        write_rollout(ledger, "model", state, AT)
    assert read_rollout(ledger, "model", "v2") == further
    assert read_rollout(ledger, "model", "v3") == other
    assert read_rollout(ledger, "model") == other


def test_when_the_same_step_is_applied_twice_then_it_is_one_row(ledger):
    first = write_rollout(ledger, "model", CANARY, AT)
    assert write_rollout(ledger, "model", CANARY, LATER) == first


def test_a_champion_alone_answers_everything(ledger):
    write_champion(ledger, "model", V1, AT)
    assert read_routing(ledger, "model") == Routing(
        "model", (Target("v1", "digest 1", 100, "primary"),)
    )


def test_a_rollout_in_progress_takes_its_share_from_the_champion(ledger):
    write_champion(ledger, "model", V1, AT)
    write_rollout(ledger, "model", CANARY, AT)
    assert read_routing(ledger, "model").targets == (
        Target("v1", "digest 1", 80, "primary"),
        Target("v2", "digest 2", 20, "canary"),
    )


@pytest.mark.parametrize("phase", ["failed", "succeeded"])
def test_a_rollout_that_has_ended_has_no_share(ledger, phase):
    write_champion(ledger, "model", V1, AT)
    write_rollout(ledger, "model", CANARY, AT)
    write_rollout(ledger, "model", replace(CANARY, phase=phase, weight=0), AT)
    assert read_routing(ledger, "model").targets == (Target("v1", "digest 1", 100, "primary"),)


def test_given_the_promotion_was_written_and_the_rollout_not_then_the_champion_answers_all(ledger):
    write_champion(ledger, "model", V1, AT)
    write_rollout(ledger, "model", CANARY, AT)
    write_champion(ledger, "model", V2, AT)
    assert read_routing(ledger, "model").targets == (Target("v2", "digest 2", 100, "primary"),)


@pytest.mark.parametrize(
    ("served", "previous"),
    [
        ([], None),
        ([V1], None),
        ([V1, V2], V1),
        ([V1, V2, V3], V2),
        ([V1, V2, V1], None),
        ([V1, V2, V3, V2], V1),
        ([V1, V2, V1, V3], V1),
    ],
)
def test_the_champion_before_is_what_served_before_this_one_first_did(ledger, served, previous):
    for champion in served:
        write_champion(ledger, "model", champion, AT)
    assert find_previous_champion(ledger, "model") == previous


def test_a_version_that_was_cut_off_gets_nothing_until_its_rollout_ends(ledger):
    write_champion(ledger, "model", V1, AT)
    write_rollout(ledger, "model", replace(CANARY, mirror=100), AT)
    cut = CutOff("v2", "digest 2", "it raised 5 times in a row")
    for at in (AT, LATER):
        write_cut_off(ledger, "model", cut, at)
    assert len(ledger.history("cut_off", "model")) == 1
    assert read_cut_off(ledger, "model", "digest 2") == cut
    assert read_cut_off(ledger, "model", "digest 1") is None
    assert read_cut_off(ledger, "other", "digest 2") is None
    assert read_routing(ledger, "model").targets == (
        Target("v1", "digest 1", 100, "primary"),
        Target("v2", "digest 2", 0, "canary", 0),
    )


class TestInterventions:
    def test_one_comes_back_as_it_was_written_with_the_state_it_came_with(self, ledger):
        write_rollout(ledger, "model", CANARY, AT)
        held = replace(CANARY, paused=True)
        write_rollout(ledger, "model", held, LATER, told=TOLD)
        assert read_rollout(ledger, "model") == held
        assert read_intervention(ledger, "model", "launch 1") == TOLD
        assert read_interventions(ledger, "model") == [(LATER, TOLD)]
        assert read_intervention(ledger, "model", "launch 2") is None
        assert read_interventions(ledger, "other") == []

    def test_given_the_request_was_done_then_neither_it_nor_a_state_is_written(self, ledger):
        write_rollout(ledger, "model", CANARY, AT, told=TOLD)
        with pytest.raises(LedgerConflict):
            write_rollout(ledger, "model", replace(CANARY, weight=0), AT, told=TOLD)
        with pytest.raises(LedgerConflict):
            write_champion(ledger, "model", V1, AT, told=TOLD)
        assert read_rollout(ledger, "model") == CANARY
        assert read_champion(ledger, "model") is None

    def test_given_the_state_was_moved_then_the_intervention_is_not_written_either(self, ledger):
        write_rollout(ledger, "model", CANARY, AT)
        with pytest.raises(LedgerConflict):
            write_rollout(ledger, "model", replace(CANARY, weight=0), AT, after=0, told=TOLD)
        with pytest.raises(LedgerConflict):
            write_champion(ledger, "model", V1, AT, after=1, told=TOLD)
        assert read_interventions(ledger, "model") == []

    def test_it_comes_with_a_promotion_too(self, ledger):
        write_champion(ledger, "model", V1, AT, told=TOLD)
        assert read_champion(ledger, "model") == V1
        assert read_intervention(ledger, "model", "launch 1") == TOLD

    @pytest.mark.parametrize(
        ("by", "said"), [("the desk", "the desk: odd answers"), ("", "odd answers")]
    )
    def test_it_is_said_in_one_line(self, by, said):
        assert replace(TOLD, by=by).describe() == said


def test_each_drill_is_kept_also_where_it_measured_the_same(ledger):
    drill = RollbackDrill(0.25, 100, 0)
    for at in (AT, LATER):
        write_drill(ledger, "model", "v2", "v1", drill, at)
    assert read_drills(ledger, "model") == [(AT, "v2", "v1", drill), (LATER, "v2", "v1", drill)]
    assert read_drills(ledger, "other") == []


def test_without_a_champion_a_rollout_is_loaded_and_answers_nothing(ledger):
    write_rollout(ledger, "model", replace(CANARY, phase="initializing"), AT)
    assert read_routing(ledger, "model").targets == (Target("v2", "digest 2", 0, "canary"),)


def test_without_a_verdict_nothing_may_serve(ledger):
    assert not may_serve(ledger, "model", "digest 1")
    override(ledger, verdict=0)
    assert not may_serve(ledger, "model", "digest 1")


@pytest.mark.parametrize(
    ("outcomes", "serves"),
    [
        (["passed"], True),
        (["failed"], False),
        (["inconclusive"], False),
        (["passed", "failed"], False),
        (["passed", "inconclusive"], False),
        (["failed", "passed"], True),
    ],
)
def test_the_latest_verdict_says_whether_a_digest_may_serve(ledger, outcomes, serves):
    for outcome in outcomes:
        verdict(ledger, outcome)
    assert may_serve(ledger, "model", "digest 1") is serves


def test_a_verdict_counts_for_its_digest_and_model_alone(ledger):
    verdict(ledger, "passed")
    verdict(ledger, "failed", digest="digest 2")
    assert may_serve(ledger, "model", "digest 1")
    assert not may_serve(ledger, "model", "digest 2")
    assert not may_serve(ledger, "model", "digest")
    assert not may_serve(ledger, "other", "digest 1")


@pytest.mark.parametrize("outcome", ["failed", "inconclusive"])
def test_given_a_person_overrides_the_latest_verdict_then_its_digest_may_serve(ledger, outcome):
    override(ledger, verdict=verdict(ledger, outcome).sequence)
    assert may_serve(ledger, "model", "digest 1")
    assert not may_serve(ledger, "model", "digest 2")


def test_an_override_that_has_expired_takes_no_traffic_away(ledger):
    seen = verdict(ledger, "failed").sequence
    override(ledger, verdict=seen, expires="2000-01-01T00:00:00+00:00")
    assert may_serve(ledger, "model", "digest 1")


def test_a_verdict_after_an_override_voids_it_until_that_is_overridden_too(ledger):
    override(ledger, verdict=verdict(ledger, "failed").sequence)
    again = verdict(ledger, "inconclusive").sequence
    assert not may_serve(ledger, "model", "digest 1")
    override(ledger, verdict=again)
    assert may_serve(ledger, "model", "digest 1")


def test_an_override_of_a_verdict_that_is_not_there_yet_lets_nothing_serve(ledger):
    verdict(ledger, "failed")
    override(ledger, verdict=2)
    assert not may_serve(ledger, "model", "digest 1")


def test_the_latest_override_of_a_digest_comes_back_as_it_was_written(ledger):
    assert read_override(ledger, "model", "digest 1") is None
    override(ledger, verdict=1)
    latest = override(ledger, verdict=2)
    assert read_override(ledger, "model", "digest 1") == latest
    assert read_override(ledger, "model", "digest 2") is None
    assert read_override(ledger, "other", "digest 1") is None


def test_an_override_is_shown_while_it_speaks_of_the_latest_verdict_and_no_longer(ledger):
    # given a verdict that failed, and a person who answers for it
    assert find_live_override(ledger, "model", "digest 1") is None
    made = override(ledger, verdict=verdict(ledger, "failed").sequence)
    assert find_live_override(ledger, "model", "digest 1") == made

    # when it is judged again, then the override is void, also where the model now passes
    again = verdict(ledger, "inconclusive").sequence
    assert find_live_override(ledger, "model", "digest 1") is None
    made = override(ledger, verdict=again)
    assert find_live_override(ledger, "model", "digest 1") == made
    verdict(ledger, "passed")
    assert find_live_override(ledger, "model", "digest 1") is None
