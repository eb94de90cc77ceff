"""A decision to train again rests on what the ledger says, and is recorded once."""

from __future__ import annotations

from dataclasses import asdict
from datetime import timedelta

import pytest

from mlops_assets.adapters.journal import write_once, write_rollout
from mlops_assets.components.assets.retraining import describe_decision
from mlops_assets.components.stages import retraining as stage
from mlops_assets.components.stages.retraining_fates import find_fate
from mlops_assets.lifecycle.errors import RefusedError
from mlops_assets.lifecycle.retraining.decision import RetrainingDecision
from mlops_assets.lifecycle.rollout.state import RolloutState

BEFORE, WEEK, NEXT = "2013-05-13", "2013-05-20", "2013-05-27"
PLAIN = "{mode: enabled, windows: 3, violated: 2, cooldown: 2}"
WATCHING = (
    "{mode: enabled, windows: 3, violated: 2, cooldown: 2, triggers: {drift: false, "
    "performance: {metric: brier, worse_by: 0.1, minimum_labelled: 100}, new_rows: 100000}}"
)
OTHER = "b" * 64


@pytest.fixture
def world(make_world, retraining_text):
    """A world whose policy asks by drift alone."""
    return make_world({retraining_text: f"  retraining: {PLAIN}\n"})


@pytest.fixture
def watching(make_world, retraining_text):
    """A world whose policy asks by performance and new rows."""
    return make_world({retraining_text: f"  retraining: {WATCHING}\n"})


def drifted(world, *weeks: str) -> None:
    world.crown("v1", "a" * 64, as_of="2013-03-04")
    for partition in weeks or (BEFORE, WEEK):
        world.drift(partition, "failed")


def open_asks(world):
    history = stage.read_history(world.model, world.ledger)
    return stage.find_open_asks(world.model, history, consider(world), world.ledger)


def record(world, key: str) -> RetrainingDecision:
    world.clock.at += timedelta(minutes=1)
    return stage.record_retraining(world.model, key, world.ledger, world.clock)


def consider(world) -> RetrainingDecision:
    return stage.consider_retraining(world.model, world.ledger)


def perform(world, partition: str, **entries: dict) -> None:
    """What labels said about each version in a partition; ``shadow`` is v1's as a shadow."""
    body = {
        ("v1 (shadow)" if entry == "shadow" else entry): {"predictions": 900, **report}
        for entry, report in entries.items()
    }
    write_once(world.ledger, "performance", world.name, partition, body, world.clock.now())


def tested(world, **metrics: float) -> None:
    body = {"metrics": metrics}
    write_once(world.ledger, "evaluation", world.name, "a" * 64, body, world.clock.now())


class TestDecision:
    def test_given_drift_then_the_decision_is_recorded_under_its_newest_window(self, world):
        drifted(world)
        decision = record(world, WEEK)
        assert (decision.action, decision.as_of) == ("retrain", NEXT)
        (row,) = world.rows("retraining", WEEK)
        assert row == {**asdict(decision), "considered": list(decision.considered)}
        assert (row["trigger"], row["episode"], row["version"]) == ("drift", f"v1/{BEFORE}", "v1")

    def test_given_the_same_drift_then_it_is_recorded_once_whoever_asks_and_when(self, world):
        drifted(world)
        decisions = [record(world, key) for key in (WEEK, WEEK, NEXT)]
        assert decisions[0] == decisions[1] == decisions[2]
        assert len(world.rows("retraining")) == 1

    def test_given_it_was_asked_for_then_the_episode_is_answered(self, world):
        drifted(world)
        record(world, WEEK)
        for week in (NEXT, "2013-06-03"):
            world.drift(week, "failed")
            decision = record(world, week)
            assert decision.action == "skip"
            assert f"asked for already in {WEEK} by drift, as of {NEXT}" in decision.reason

    def test_given_a_window_that_is_fine_in_between_then_it_asks_again(self, world):
        drifted(world)
        record(world, WEEK)
        world.drift(NEXT, "passed")
        for week in ("2013-06-03", "2013-06-10"):
            world.drift(week, "failed")
        assert record(world, "2013-06-10").action == "retrain"

    def test_given_no_champion_then_the_skip_is_recorded_under_the_partition(self, world):
        assert record(world, WEEK).reason == "there is no champion to compare with"
        assert [row["action"] for row in world.rows("retraining", WEEK)] == ["skip"]

    def test_considering_reads_only(self, world):
        drifted(world)
        before = world.ledger.position()
        assert consider(world).action == "retrain"
        assert world.ledger.position() == before

    def test_given_a_report_measured_again_then_the_newest_of_it_counts(self, world):
        drifted(world)
        world.drift(WEEK, "passed")
        assert consider(world).action == "skip"

    def test_given_its_window_was_measured_again_before_anything_was_launched_then_it_is_withdrawn(
        self, world
    ):
        drifted(world)
        record(world, WEEK)
        world.drift(WEEK, "passed")
        record(world, WEEK)
        world.drift(NEXT, "passed")
        assert open_asks(world) == []

    @pytest.mark.parametrize("trained", [True, False])
    def test_given_it_was_withdrawn_then_the_episode_is_answered_only_if_it_was_trained(
        self, world, trained
    ):
        drifted(world)
        record(world, WEEK)
        if trained:
            body = {"digest": OTHER}
            write_once(world.ledger, "trained_model", world.name, NEXT, body, world.clock.now())
        world.drift(WEEK, "inconclusive")
        record(world, WEEK)
        world.drift(NEXT, "failed")
        record(world, NEXT)  # the cooldown
        world.drift("2013-06-03", "failed")
        decision = record(world, "2013-06-03")
        assert decision.action == ("skip" if trained else "retrain")
        assert ("asked for already in" in decision.reason) is trained

    def test_given_nothing_was_launched_in_time_then_it_is_still_asked_for(self, world):
        drifted(world)
        record(world, WEEK)
        world.drift(NEXT, "passed")
        assert [ask.as_of for ask in open_asks(world)] == [NEXT]

    def test_given_a_bug_in_the_data_then_the_window_is_paged_and_not_retrained(self, world):
        drifted(world)
        body = world.ledger.latest("drift", world.name, WEEK).body
        bug = {**body, "triage": {"cause": "data_bug", "reason": "the unit changed"}}
        write_once(world.ledger, "drift", world.name, WEEK, bug, world.clock.now())
        decision = consider(world)
        assert decision.action == "skip"
        assert f"{WEEK} has a bug in its data: paged, not retrained" in decision.reason

    def test_rows_that_earlier_releases_wrote_still_start_the_cooldown(self, world):
        drifted(world)
        old = {"action": "retrain", "reason": "drift", "window": BEFORE, "as_of": WEEK}
        write_once(world.ledger, "retraining", world.name, BEFORE, old, world.clock.now())
        (ask,) = stage.read_history(world.model, world.ledger).asked
        assert (ask.trigger, ask.version, ask.episode) == ("drift", "v1", "")
        assert consider(world).action == "skip"
        assert open_asks(world) == []


class TestPerformance:
    def report(self, brier: float, labelled: int = 900) -> dict:
        return {"labelled": labelled, "metrics": {"brier": brier}}

    def test_given_answers_worse_than_the_test_then_performance_asks(self, watching):
        drifted(watching)
        tested(watching, brier=0.15)
        for week in (BEFORE, WEEK):
            perform(watching, week, v1=self.report(0.18))
        decision = consider(watching)
        assert (decision.action, decision.trigger) == ("retrain", "performance")
        assert "brier 0.1800 on 900 labelled rows, 0.1500 in its test" in decision.reason

    def test_only_the_champions_own_answers_to_callers_are_judged(self, watching):
        drifted(watching)
        tested(watching, brier=0.15)
        for week in (BEFORE, WEEK):
            perform(watching, week, v1=self.report(0.15), v2=self.report(0.3))
        assert consider(watching).action == "skip"

    @pytest.mark.parametrize("brier", [0.15, None])
    def test_given_few_labels_or_no_test_then_nothing_is_concluded(self, watching, brier):
        drifted(watching)
        if brier:
            tested(watching, brier=brier)
        for week in (BEFORE, WEEK):
            perform(watching, week, v1=self.report(0.9, labelled=99 if brier else 900))
        assert "no window with enough labels against v1 yet" in consider(watching).reason

    def test_labelled_rows_are_counted_since_the_training_but_for_copies(self, watching):
        drifted(watching)
        perform(watching, "2013-02-25", v1={"labelled": 10**6})
        perform(watching, "2013-03-04", v1={"labelled": 60_000}, shadow={"labelled": 50_000})
        assert "new data: 60,000 labelled rows since the training as" in consider(watching).reason
        perform(watching, WEEK, v1={"labelled": 20_000}, v2={"labelled": 20_000})
        assert consider(watching).trigger == "new_data"


class TestRequests:
    def request(self, world, as_of: str | None = None, name: str = "r1") -> str:
        said = {"by": "the desk", "reason": "three new airlines fly", "request": name}
        return stage.request_retraining(
            world.model, as_of=as_of, ledger=world.ledger, clock=world.clock, **said
        )

    def test_a_person_passes_the_cooldown_and_the_decision_is_recorded(self, world):
        drifted(world)
        record(world, WEEK)
        world.drift(NEXT, "passed")
        assert self.request(world).endswith("a training as of 2013-06-03 is asked for by hand")
        (row,) = world.rows("retraining", NEXT)
        assert (row["action"], row["trigger"], row["as_of"]) == ("retrain", "by_hand", "2013-06-03")
        assert row["reason"] == "the desk asked: three new airlines fly"

    def test_it_is_counted_once_though_it_is_both_a_request_and_a_decision(self, world):
        drifted(world)
        self.request(world)
        assert len(stage.read_history(world.model, world.ledger).asked) == 1

    @pytest.mark.parametrize("mode", ["disabled", "dry_run"])
    def test_given_nothing_would_follow_then_it_is_refused_saying_what_to_launch(
        self, make_world, mode
    ):
        world = make_world({"mode: enabled": f"mode: {mode}"})
        with pytest.raises(RefusedError, match=f"mode is {mode} .*; launch flight_delays__train"):
            self.request(world, NEXT)
        assert world.rows("retraining_request") == []

    def test_given_a_partition_that_has_not_begun_then_the_last_that_has_is_named(self, world):
        assert "2013-06-03 is asked for" in self.request(world, "2013-06-03")
        with pytest.raises(RefusedError, match="to 2013-06-03, the last that has begun"):
            self.request(world, "2013-06-10", name="r2")

    def test_given_a_partition_too_early_to_train_as_of_then_the_first_is_named(self, world):
        first = world.model.calendar.keys[world.model.spec.training.split.needed]
        with pytest.raises(RefusedError, match=f"give a partition from {first} to"):
            self.request(world, world.model.calendar.keys[0])


class TestFates:
    def train(self, world) -> None:
        body = {"digest": OTHER}
        write_once(world.ledger, "trained_model", world.name, NEXT, body, world.clock.now())

    def said(self, world) -> tuple[str, str]:
        fate = find_fate(world.model, NEXT, world.ledger)
        return fate.stand, fate.said

    def roll(self, world, phase: str, reason: str = "") -> None:
        at = world.clock.now().isoformat()
        state = RolloutState("v1", OTHER, NEXT, phase, 0, 10, at, reason)
        write_rollout(world.ledger, world.name, state, world.clock.now())

    def test_it_is_followed_from_training_to_serving(self, world):
        assert self.said(world) == ("waiting", "not trained yet")
        self.train(world)
        assert self.said(world) == ("waiting", "trained, and not judged yet")
        world.judge(OTHER)
        assert self.said(world) == ("waiting", "passed its gates, and not registered yet")
        version = world.add_version(OTHER, NEXT)
        assert self.said(world) == ("waiting", f"{version} waits for its rollout")
        self.roll(world, "progressing")
        assert self.said(world) == ("waiting", "v1 is in rollout at 10 %")
        world.crown(version, OTHER, NEXT)
        assert self.said(world) == ("serves", "v1 serves")

    def test_given_its_gates_failed_then_why_is_said(self, world):
        self.train(world)
        world.judge(OTHER, outcome="failed", reason="auc 0.5 is below 0.6")
        assert self.said(world) == ("ended", "refused by its gates: auc 0.5 is below 0.6")

    @pytest.mark.parametrize(
        ("phase", "expected"),
        [
            ("failed", ("ended", "v1 was taken back: too many errors")),
            ("succeeded", ("serves", "v1 has served")),
        ],
    )
    def test_given_its_rollout_ended_then_how_is_said(self, world, phase, expected):
        self.train(world)
        world.add_version(OTHER, NEXT)
        self.roll(world, phase, "too many errors")
        assert self.said(world) == expected

    def test_given_it_was_refused_then_the_next_skip_says_so(self, world):
        drifted(world)
        record(world, WEEK)
        self.train(world)
        world.judge(OTHER, outcome="failed", reason="auc 0.5 is below 0.6")
        world.drift(NEXT, "failed")
        said = record(world, NEXT).reason
        assert f"as of {NEXT}: refused by its gates: auc 0.5 is below 0.6" in said
        history = stage.read_history(world.model, world.ledger)
        assert [ask.ended for ask in history.asked] == [True]
        assert open_asks(world) == []


class TestMetadata:
    def test_it_says_what_was_decided_why_on_which_windows_and_what_is_left(self, world):
        drifted(world)
        decision = record(world, WEEK)
        shown = describe_decision(world.model, decision, world.ledger)
        assert (shown["action"], shown["trigger"], shown["train_as_of"]) == (
            "retrain",
            "drift",
            NEXT,
        )
        assert len(shown["considered"].value.splitlines()) == 5
        table = shown["windows"].value
        assert table.splitlines()[0] == "| window | version | drift | cause | performance | why |"
        assert [line.split(" | ")[0] for line in table.splitlines()[2:]] == [
            f"| {BEFORE}",
            f"| {WEEK}",
        ]
        assert shown["budget_left"] == world.model.spec.retraining.budget.retrainings

    def test_the_budget_left_shrinks_with_what_was_asked_for(self, world):
        drifted(world)
        record(world, WEEK)
        world.drift(NEXT, "passed")
        shown = describe_decision(world.model, record(world, NEXT), world.ledger)
        assert shown["budget_left"] == world.model.spec.retraining.budget.retrainings - 1
        assert (shown["trigger"], shown["train_as_of"]) == ("none", "none")

    def test_at_the_calendars_end_the_budget_that_was_spent_is_not_left(self, world):
        drifted(world, "2013-12-16", "2013-12-23")
        record(world, "2013-12-23")
        world.drift("2013-12-30", "failed")
        history = stage.read_history(world.model, world.ledger)
        assert stage.count_left(world.model, history) == 11

    def test_before_anything_is_known_it_says_so(self, world):
        shown = describe_decision(world.model, record(world, WEEK), world.ledger)
        assert shown["windows"].value == "*none*"
        assert shown["considered"].value == "- by hand: nobody asked"
