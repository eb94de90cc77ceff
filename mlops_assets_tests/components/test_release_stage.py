"""A version reaches the endpoint step by step; each step is whole, however often it is taken."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from mlops_assets.adapters.in_memory import InMemoryLedger, InMemoryTelemetry
from mlops_assets.adapters.journal import (
    read_champion,
    read_rollout,
    read_rollout_history,
    read_routing,
    write_once,
)
from mlops_assets.components.stages.clearance import approve
from mlops_assets.components.stages.release import (
    NextStep,
    describe_clearance,
    find_next_step,
)
from mlops_assets.components.stages.rollout_steps import step_rollout
from mlops_assets.lifecycle.errors import LedgerConflict, RefusedError

A, B, C = ("a" * 64, "b" * 64, "c" * 64)
APPROVAL = {"    start: automatic\n": "    start: automatic\n    approval: true\n"}


class Killed(BaseException):
    """The process ended here."""


class LedgerThatDies(InMemoryLedger):
    """Dies right before or right after the write of a given number, counted from now on."""

    def __init__(self, rows: InMemoryLedger, write: int, *, after: bool) -> None:
        super().__init__()
        self._rows, self.left, self.after = rows._rows, write, after

    def append(self, *records):
        self.left -= 1
        if self.left == 0 and not self.after:
            raise Killed
        written = super().append(*records)
        if self.left == 0:
            raise Killed
        return written


class TelemetryWithAnother(InMemoryTelemetry):
    """Somebody else acts right after the window that this one decides on was read."""

    def __init__(self, seen, act) -> None:
        super().__init__()
        self.seen, self.act = seen, act

    def windows(self, model, canary, since, **kept):
        seen = super().windows(model, canary, since, **kept)
        if self.act:
            act, self.act = self.act, None
            act()
        return seen


def step(world, version: str, ledger=None):
    world.clock.at += timedelta(minutes=1)
    return step_rollout(
        world.model,
        version,
        ledger or world.ledger,
        world.registry,
        world.serving,
        world.telemetry,
        world.tables,
        world.clock,
    )


def next_step(world) -> NextStep | str:
    """What the sensor would ask for now."""
    return find_next_step(world.model, world.ledger, world.telemetry, world.tables, world.clock)


def approve_now(world, version: str) -> str:
    """A person lets a version be released."""
    reason = "looked at the report"
    return approve(world.model, version, "the flight desk", reason, world.ledger, world.clock)


def weights(world) -> dict[str, int]:
    """The share of the requests that each version answers."""
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


def test_given_no_champion_then_the_first_version_is_promoted_at_once(world):
    done = step(world, world.add_version(A))
    assert (done.decision.action, done.state.phase, done.state.weight) == (
        "promote",
        "succeeded",
        100,
    )
    assert done.decision.reason == "the first version: nothing to compare with"
    assert done.endpoint.url == world.serving.endpoint.url
    assert weights(world) == {"v1": 100}
    assert world.aliases() == {"champion": "v1"}
    champion = read_champion(world.ledger, world.name)
    assert (champion.version, champion.digest, champion.train_as_of) == ("v1", A, "2013-04-01")


def test_given_a_champion_then_the_next_version_begins_at_the_first_weight(first):
    done = step(first, first.add_version(B))
    assert (done.decision.action, done.state.weight, done.state.baseline) == ("advance", 10, "v1")
    assert weights(first) == {"v1": 90, "v2": 10}
    assert first.aliases() == {"champion": "v1", "challenger": "v2"}


def test_given_good_windows_then_the_canary_climbs_and_becomes_champion(canary):
    canary.observe("v2", "v1")
    actions = [step(canary, "v2").decision.action for _ in range(2)]
    assert actions == ["advance", "promote"]
    assert phases(canary, "v2") == [
        ("initializing", 0),
        ("progressing", 10),
        ("progressing", 50),
        ("succeeded", 100),
    ]
    assert weights(canary) == {"v2": 100}
    assert canary.aliases() == {"champion": "v2"}


def test_given_too_few_requests_then_a_step_holds_and_writes_nothing(canary):
    before = canary.ledger.position()
    canary.observe("v2", "v1", units=99)
    assert step(canary, "v2").decision.action == "hold"
    assert canary.ledger.position() == before
    assert weights(canary) == {"v1": 90, "v2": 10}


def test_given_more_errors_then_the_canary_is_rolled_back_to_the_champion(canary):
    canary.observe("v2", "v1", errors=50, weights=(10,))
    done = step(canary, "v2")
    assert (done.decision.action, done.state.phase) == ("roll_back", "failed")
    assert "v2 failed 50 of 500 units" in done.state.reason
    errors = done.state.evidence["canary_errors_are_not_higher"]
    assert (errors["outcome"], errors["canary"], errors["canary_units"]) == ("failed", 50, 500)
    assert weights(canary) == {"v1": 100}
    assert canary.aliases() == {"champion": "v1"}
    assert [row["version"] for row in canary.rows("promotion")] == ["v1"]


def test_given_a_roll_back_then_the_same_version_stays_out(canary):
    canary.observe("v2", "v1", errors=50)
    step(canary, "v2")
    canary.observe("v2", "v1")
    assert step(canary, "v2").decision.reason == "the rollout has failed"
    assert weights(canary) == {"v1": 100}


def test_given_a_version_the_endpoint_cannot_load_then_it_never_answers(first):
    done = step(first, first.add_version(B, loads=False))
    assert done.decision.reason == "the endpoint did not load v2 within 60 s"
    assert phases(first, "v2") == [("initializing", 0), ("failed", 0)]
    assert weights(first) == {"v1": 100}
    assert first.aliases() == {"champion": "v1"}


def test_given_strategy_recreate_then_a_loaded_version_takes_over_at_once(make_world):
    world = make_world(
        {
            "strategy: canary": "strategy: recreate",
            "    steps: [10, 50]     # percent of the requests; 100 follows by itself\n": "",
        }
    )
    step(world, world.add_version(A))
    assert step(world, world.add_version(B)).decision.action == "promote"
    assert weights(world) == {"v2": 100}


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_given_a_rollout_that_has_ended_when_stepped_again_then_nothing_is_written(canary, version):
    canary.observe("v2", "v1")
    for _ in range(2):
        step(canary, "v2")
    before = canary.ledger.position()
    assert step(canary, version).decision.action == "hold"
    assert canary.ledger.position() == before
    assert canary.aliases() == {"champion": "v2"}


def test_given_a_step_taken_twice_then_the_second_finds_a_new_window_and_adds_no_row(canary):
    canary.observe("v2", "v1")
    rows = len(canary.rows("rollout"))
    step(canary, "v2")
    canary.telemetry.seen.clear()  # the window of the new step is empty
    assert step(canary, "v2").decision.action == "hold"
    assert len(canary.rows("rollout")) == rows + 1


def test_given_aliases_moved_by_hand_then_the_next_step_sets_them_right(first):
    first.registry.set_alias(first.name, "champion", None)
    step(first, "v1")
    assert first.aliases() == {"champion": "v1"}


class TestRefusals:
    def refusal(self, world, version: str) -> str:
        before = world.ledger.position()
        with pytest.raises(RefusedError) as refused:
            step(world, version)
        assert world.ledger.position() == before
        return str(refused.value)

    def test_given_no_verdict_then_refused(self, world):
        world.registry.register(world.name, A, "uri", {})
        body = world.recorded(A)
        write_once(world.ledger, "version", world.name, "v1", body, world.clock.now())
        assert self.refusal(world, "v1") == (
            f"flight_delays: model {A[:12]} has no verdict; materialize its evaluation first"
        )

    @pytest.mark.parametrize("outcome", ["failed", "inconclusive"])
    def test_given_a_verdict_that_did_not_pass_then_refused_with_its_reason(self, world, outcome):
        version = world.add_version(A)
        world.judge(A, outcome=outcome, reason="auc 0.5")
        assert self.refusal(world, version) == (
            f"flight_delays: model {A[:12]} was judged {outcome}: auc 0.5"
        )

    def test_given_a_verdict_under_other_gates_then_refused(self, world):
        version = world.add_version(A)
        world.judge(A, policy="f" * 64)
        assert self.refusal(world, version) == (
            f"flight_delays: model {A[:12]} was judged by other gates than defs.yaml states now; "
            "materialize its evaluation again"
        )

    @pytest.mark.parametrize(
        ("key", "said"),
        [
            ("model", "on another model; materialize its evaluation again"),
            ("training_set", "on another training set; materialize its evaluation again"),
            ("code", "with another model.py than it was trained with; train and evaluate it again"),
        ],
    )
    def test_given_a_verdict_about_something_else_then_refused(self, world, key, said):
        version = world.add_version(A)
        world.judge(A, **{key: "f" * 64})
        assert self.refusal(world, version) == f"flight_delays: model {A[:12]} was judged {said}"

    def test_given_an_override_that_has_expired_then_refused_and_nothing_is_due(self, world):
        version = world.add_version(A)
        world.judge(A, outcome="failed", reason="auc 0.5")
        world.override(A, world.clock.now() - timedelta(hours=1))
        assert self.refusal(world, version) == (
            f"flight_delays: model {A[:12]} was judged failed and its override by the flight desk "
            "expired 2013-06-05T11:30: auc 0.5"
        )
        assert next_step(world) == "no rollout in progress and no new version"

    def test_given_a_verdict_after_the_override_then_the_override_is_void(self, world):
        version = world.add_version(A)
        world.judge(A, outcome="failed", reason="auc 0.5")
        world.override(A, world.clock.now() + timedelta(days=9))
        world.judge(A, outcome="failed", reason="auc 0.4")
        assert self.refusal(world, version).endswith("was judged failed: auc 0.4")

    def test_given_approval_is_asked_for_then_refused_until_a_person_has_approved(self, make_world):
        world = make_world(APPROVAL)
        version = world.add_version(A)
        waits = "v1 waits for approval; launch flight_delays__approve"
        assert self.refusal(world, version) == f"flight_delays: {waits}"
        assert next_step(world) == waits
        approve_now(world, version)
        assert next_step(world) == NextStep("v1", "v1/begin", "v1 passed its gates")
        assert step(world, version).state.phase == "succeeded"

    def test_given_an_approval_without_a_verdict_that_passed_then_still_refused(self, make_world):
        world = make_world(APPROVAL)
        version = world.add_version(A)
        approve_now(world, version)
        world.judge(A, outcome="failed", reason="auc 0.5")
        assert self.refusal(world, version).endswith("was judged failed: auc 0.5")

    def test_given_a_version_the_ledger_does_not_know_then_refused(self, world):
        world.judge(A)
        version = world.registry.register(world.name, A, "uri", {}).version
        assert "the registry's digest is not the recorded one" in self.refusal(world, version)

    def test_given_a_digest_the_registry_changed_then_refused(self, world):
        version = world.add_version(A)
        world.judge(B)
        registered = world.registry._versions[world.name]
        registered[0] = replace(registered[0], digest=B)
        assert self.refusal(world, version) == (
            "flight_delays v1: the registry's digest is not the recorded one; it was registered "
            "or edited by other hands, train and register it again"
        )

    def test_given_another_rollout_in_progress_then_refused_until_it_has_ended(self, canary):
        version = canary.add_version(C)
        assert self.refusal(canary, version) == (
            "flight_delays: v2 is being rolled out (10 %); v3 has to wait until that has ended"
        )
        canary.observe("v2", "v1", errors=50)
        step(canary, "v2")
        assert step(canary, version).state.weight == 10

    def test_given_a_version_nobody_registered_then_its_name_is_said(self, world):
        assert self.refusal(world, "v9") == ("flight_delays v9: the registry has no such version")


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("write", [1, 2])
def test_given_killed_at_a_write_of_the_first_rollout_when_called_again_then_it_ends_whole(
    world, write, after
):
    version = world.add_version(A)
    with pytest.raises(Killed):
        step(world, version, LedgerThatDies(world.ledger, write, after=after))
    step(world, version)
    assert weights(world) == {"v1": 100}
    assert phases(world, version) == [("initializing", 0), ("succeeded", 100)]
    assert len(world.rows("promotion")) == 1
    assert world.aliases() == {"champion": "v1"}


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_given_killed_at_the_write_of_a_promotion_when_called_again_then_it_ends_whole(
    canary, after
):
    canary.observe("v2", "v1")
    step(canary, "v2")
    with pytest.raises(Killed):
        step(canary, "v2", LedgerThatDies(canary.ledger, 1, after=after))
    assert sum(weights(canary).values()) == 100
    step(canary, "v2")
    assert weights(canary) == {"v2": 100}
    assert phases(canary, "v2")[-1] == ("succeeded", 100)
    assert [row["version"] for row in canary.rows("promotion")] == ["v1", "v2"]
    assert canary.aliases() == {"champion": "v2"}


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_given_killed_at_a_roll_back_when_called_again_then_it_ends_whole(canary, after):
    canary.observe("v2", "v1", errors=50)
    with pytest.raises(Killed):
        step(canary, "v2", LedgerThatDies(canary.ledger, 1, after=after))
    step(canary, "v2")
    assert phases(canary, "v2") == [("initializing", 0), ("progressing", 10), ("failed", 0)]
    assert weights(canary) == {"v1": 100}
    assert canary.aliases() == {"champion": "v1"}


def test_given_killed_right_after_a_promotion_then_the_rollout_has_ended_with_it(canary):
    canary.observe("v2", "v1")
    step(canary, "v2")
    with pytest.raises(Killed):
        step(canary, "v2", LedgerThatDies(canary.ledger, 1, after=True))
    assert read_champion(canary.ledger, canary.name).version == "v2"
    assert phases(canary, "v2")[-1] == ("succeeded", 100)


def meanwhile(world, errors: int) -> None:
    """Somebody else takes the step of v2 while the next one here decides on the window it saw."""
    seen = world.telemetry

    def act() -> None:
        world.telemetry = seen
        world.observe("v2", "v1", errors)
        step(world, "v2")

    world.telemetry = TelemetryWithAnother(dict(seen.seen), act)


def test_given_a_roll_back_in_between_then_the_later_writer_conflicts(canary):
    canary.observe("v2", "v1")
    meanwhile(canary, errors=50)
    with pytest.raises(LedgerConflict):
        step(canary, "v2")
    assert phases(canary, "v2")[-1] == ("failed", 0)
    assert weights(canary) == {"v1": 100}


def test_given_the_same_step_in_between_then_it_is_recorded_once(canary):
    canary.observe("v2", "v1")
    meanwhile(canary, errors=0)
    step(canary, "v2")
    assert phases(canary, "v2") == [("initializing", 0), ("progressing", 10), ("progressing", 50)]


def test_given_a_roll_back_while_another_promotes_then_the_champion_stays(canary):
    canary.observe("v2", "v1")
    step(canary, "v2")
    meanwhile(canary, errors=50)
    with pytest.raises(LedgerConflict):
        step(canary, "v2")
    assert phases(canary, "v2")[-1] == ("failed", 0)
    assert read_champion(canary.ledger, canary.name).version == "v1"


def test_given_other_gates_since_the_canary_began_then_a_bad_one_is_still_rolled_back(canary):
    canary.judge(B, policy="f" * 64)
    canary.observe("v2", "v1", errors=50)
    assert step(canary, "v2").decision.action == "roll_back"


def test_given_the_registry_was_edited_since_then_a_bad_canary_is_still_rolled_back(canary):
    canary.observe("v2", "v1", errors=50)
    registered = canary.registry._versions[canary.name]
    registered[1] = replace(registered[1], digest=C)
    assert step(canary, "v2").decision.action == "roll_back"


class LedgerWithAnother(InMemoryLedger):
    """Somebody else acts right before the first row of a rollout is written here."""

    def __init__(self, rows: InMemoryLedger, act) -> None:
        super().__init__()
        self._rows, self.act = rows._rows, act

    def append(self, *records):
        if self.act and records[0].kind == "rollout":
            act, self.act = self.act, None
            act()
        return super().append(*records)


def test_given_another_version_begins_in_between_then_only_one_rollout_is_begun(first):
    first.add_version(B)
    first.add_version(C)
    with pytest.raises((LedgerConflict, RefusedError)):
        step(first, "v2", LedgerWithAnother(first.ledger, lambda: step(first, "v3")))


def test_given_nothing_due_then_the_reason_is_in_words_and_else_the_step_is_named(first):
    said = next_step(first)
    assert said == "no rollout in progress and no new version"
    first.add_version(B)
    due = next_step(first)
    assert due == NextStep("v2", "v2/begin", "v2 passed its gates")


def test_given_an_override_that_holds_then_the_step_that_is_due_names_who_answers_for_it(first):
    first.add_version(B)
    first.judge(B, outcome="failed", reason="auc 0.5")
    first.override(B, first.clock.now() + timedelta(days=1))
    said = (
        "v2 was overridden by the flight desk until 2013-06-06T12:31: the drop is known and "
        "accepted"
    )
    assert next_step(first) == NextStep("v2", "v2/begin", said)
    assert step(first, "v2").state.weight == 10


def test_given_an_override_expires_under_way_then_the_canary_climbs_no_further(canary):
    canary.judge(B, outcome="failed", reason="auc 0.5")
    canary.override(B, canary.clock.now() + timedelta(minutes=2))
    canary.observe("v2", "v1")
    step(canary, "v2")
    assert weights(canary) == {"v1": 50, "v2": 50}
    with pytest.raises(RefusedError, match="its override by the flight desk expired"):
        step(canary, "v2")
    assert weights(canary) == {"v1": 50, "v2": 50}
    canary.observe("v2", "v1", errors=50)
    assert step(canary, "v2").decision.action == "roll_back"


def test_given_approval_is_asked_for_then_each_version_needs_its_own(make_world):
    world = make_world(APPROVAL)
    approve_now(world, world.add_version(A))
    step(world, "v1")
    world.add_version(B)
    assert next_step(world) == "v2 waits for approval; launch flight_delays__approve"


@pytest.mark.parametrize(
    ("judged", "said"),
    [
        ({}, "passed its gates"),
        ({"outcome": "failed"}, f"refused: flight_delays: model {A[:12]} was judged failed: 3 of "),
    ],
)
def test_what_lets_a_version_out_is_said_in_one_line(world, judged, said):
    version = world.add_version(A)
    world.judge(A, **judged)
    described = describe_clearance(world.model, version, world.ledger, world.clock)
    assert described.startswith(said)
    assert "\n" not in described
    assert describe_clearance(world.model, "v9", world.ledger, world.clock) == "never registered"


def test_the_history_of_a_rollout_is_its_states_oldest_first(canary):
    history = read_rollout_history(canary.ledger, canary.name, "v2")
    assert [state.step for state in history] == [-1, 0]
    assert history[-1] == read_rollout(canary.ledger, canary.name, "v2")
    assert read_rollout_history(canary.ledger, canary.name, "v9") == []


def test_given_a_champion_trained_later_then_an_earlier_version_is_not_begun_by_itself(first):
    first.add_version(B, "2013-02-04")
    due = next_step(first)
    assert due == "no rollout in progress and no new version"
