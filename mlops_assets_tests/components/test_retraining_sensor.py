"""A tick asks for a training once for what asks for it, and else says in words why not."""

from __future__ import annotations

from datetime import timedelta

import dagster as dg
import pytest

from mlops_assets.components.jobs import build_jobs
from mlops_assets.components.retraining_runs import (
    EPISODE,
    build_retraining_request,
    find_launched,
)
from mlops_assets.components.sensors import build_sensors
from mlops_assets.components.stages.retraining import record_retraining, request_retraining
from mlops_assets.lifecycle.retraining.history import Ask

POLICY = "  retraining: {mode: enabled, windows: 3, violated: 2, cooldown: 2}\n"


@pytest.fixture
def world(make_world, retraining_text):
    """A world whose policy asks by drift alone."""
    return make_world({retraining_text: POLICY})


@pytest.fixture
def instance():
    with dg.DagsterInstance.ephemeral() as made:
        yield made


@pytest.fixture
def tick(resources, instance):
    """One tick of a world's sensor, with the runs that the instance has."""

    def tick_once(world):
        sensors = build_sensors(world.model, build_jobs(world.model))
        (sensor,) = (s for s in sensors if s.name == "flight_delays__retrain_on_drift")
        wanted = {key: resources(world)[key] for key in sensor.required_resource_keys}
        found = sensor(dg.build_sensor_context(instance=instance, resources=wanted))
        return found[0] if isinstance(found, list) and len(found) == 1 else found

    return tick_once


@dg.op
def nothing() -> None:
    """Takes no time."""


@dg.op
def breaks() -> None:
    raise dg.Failure("there was no room")


def launch(instance, request: dg.RunRequest, *, fails: bool = False) -> None:
    """What the daemon does with a request."""

    @dg.job(name="flight_delays__train")
    def training() -> None:
        (breaks if fails else nothing)()

    tags = {
        **request.tags,
        "dagster/run_key": request.run_key,
        "dagster/partition": request.partition_key or "",
    }
    training.execute_in_process(instance=instance, tags=tags, raise_on_error=False)


def drifted(world, *partitions: str) -> None:
    world.crown("v1", "a" * 64, as_of="2013-03-04")
    for partition in partitions:
        world.drift(partition, "failed")


def skipped(said) -> str:
    assert isinstance(said, dg.SkipReason), said
    return said.skip_message


class TestWords:
    def test_given_no_champion_then_there_is_nothing_to_compare_with(self, world, tick):
        assert skipped(tick(world)) == "there is no champion to compare with"

    def test_given_no_report_then_the_tick_says_whose_is_missing(self, world, tick):
        world.crown("v1", "a" * 64)
        assert "no drift report against v1 yet" in skipped(tick(world))

    def test_given_one_drifted_window_then_the_tick_says_how_many_are_needed(self, world, tick):
        drifted(world, "2013-05-20")
        assert (
            "too few windows drifted; 1 of the last 1 windows drifted from v1 (2 of 3 are needed)"
        ) in skipped(tick(world))

    def test_given_a_young_champion_then_the_tick_names_the_cooldown(
        self, make_world, retraining_text, tick
    ):
        world = make_world({retraining_text: POLICY.replace("cooldown: 2", "cooldown: 3")})
        world.crown("v1", "a" * 64, as_of="2013-05-13")
        for partition in ("2013-05-13", "2013-05-20"):
            world.drift(partition, "failed")
        said = skipped(tick(world))
        assert said.startswith("trained or asked for 2 partition(s) ago, the cooldown is 3; 2 of")

    def test_given_drift_in_the_calendars_last_partition_then_nothing_comes_after(
        self, world, tick
    ):
        drifted(world, "2013-12-23", "2013-12-30")
        assert skipped(tick(world)).startswith("the calendar ends with this window")

    @pytest.mark.parametrize(
        ("mode", "said"),
        [
            ("disabled", "retraining is disabled"),
            ("dry_run", "dry run, would retrain as of 2013-05-27: 2 of the last 2 windows"),
        ],
    )
    def test_given_a_mode_that_does_not_act_then_nothing_is_asked_for(
        self, make_world, tick, mode, said
    ):
        world = make_world({"mode: enabled": f"mode: {mode}"})
        drifted(world, "2013-05-13", "2013-05-20")
        assert skipped(tick(world)).startswith(said)


class TestRequests:
    def test_given_drift_then_a_training_as_of_the_next_partition_is_asked_for(self, world, tick):
        drifted(world, "2013-05-13", "2013-05-20")
        request = tick(world)
        assert request.partition_key == "2013-05-27"
        assert request.run_key.startswith("flight_delays/retrain/drift/v1/2013-05-13/")
        assert request.tags["mlops_assets/trigger"] == "drift"
        assert request.tags["mlops_assets/window"] == "2013-05-20"
        assert request.tags[EPISODE] == "flight_delays/v1/2013-05-13"

    def test_a_tick_writes_nothing(self, world, tick):
        drifted(world, "2013-05-13", "2013-05-20")
        before = world.ledger.position()
        tick(world)
        assert world.ledger.position() == before

    def test_given_the_same_episode_then_each_tick_asks_with_the_same_run_key(self, world, tick):
        drifted(world, "2013-05-13", "2013-05-20")
        keys = {tick(world).run_key}
        world.drift("2013-05-27", "failed")  # nobody has recorded a decision yet
        keys.add(tick(world).run_key)
        world.clock.at += timedelta(days=3)
        record_retraining(world.model, "2013-05-27", world.ledger, world.clock)
        keys.add(tick(world).run_key)
        assert len(keys) == 1

    def test_given_it_was_launched_then_the_tick_says_what_became_of_the_run(
        self, world, tick, instance
    ):
        drifted(world, "2013-05-13", "2013-05-20")
        launch(instance, tick(world))
        said = skipped(tick(world))
        assert said.startswith("asked for already: run ")
        assert " as of 2013-05-27 is SUCCESS; 2 of the last 2 windows drifted" in said

    def test_given_the_run_failed_then_it_is_not_launched_again_and_a_person_is_told_how(
        self, world, tick, instance
    ):
        drifted(world, "2013-05-13", "2013-05-20")
        launch(instance, tick(world), fails=True)
        record_retraining(world.model, "2013-05-20", world.ledger, world.clock)
        for week in ("2013-05-27", "2013-06-03", "2013-06-10"):
            world.drift(week, "failed")
            said = skipped(tick(world))
            assert "is FAILURE, launch it again from its page or ask by" in said
            assert "asked for already in 2013-05-20 by drift, as of 2013-05-27" in said

    def test_given_no_sensor_ticked_in_time_then_what_was_decided_is_launched_all_the_same(
        self, world, tick, instance
    ):
        drifted(world, "2013-05-13", "2013-05-20")
        record_retraining(world.model, "2013-05-20", world.ledger, world.clock)
        world.drift("2013-05-27", "passed")
        request = tick(world)
        assert request.partition_key == "2013-05-27"
        launch(instance, request)
        assert "is SUCCESS" in skipped(tick(world))

    def test_given_another_policy_then_the_key_is_another_and_nothing_is_launched_twice(
        self, world, make_world, tick, instance
    ):
        other = make_world({"cooldown: 2": "cooldown: 1"})
        for each in (world, other):
            drifted(each, "2013-05-13", "2013-05-20")
        first, second = tick(world), tick(other)
        assert first.partition_key == second.partition_key
        assert first.run_key != second.run_key
        launch(instance, first)
        assert skipped(tick(other)).startswith("asked for already")

    @pytest.mark.parametrize(
        ("partition", "outcome"), [("2013-05-06", "failed"), ("2013-05-13", "passed")]
    )
    def test_given_a_report_that_comes_late_or_is_revised_then_the_episode_is_still_answered(
        self, world, tick, instance, partition, outcome
    ):
        drifted(world, "2013-05-06", "2013-05-13", "2013-05-20")
        world.drift("2013-05-06", "passed" if outcome == "failed" else "failed")
        launch(instance, tick(world))
        record_retraining(world.model, "2013-05-20", world.ledger, world.clock)
        world.drift(partition, outcome)
        assert skipped(tick(world)).startswith("asked for already: run ")

    def test_given_reports_that_come_late_before_the_decision_is_recorded_then_one_run_answers(
        self, world, tick, instance
    ):
        drifted(world, "2013-05-13", "2013-05-20")
        launch(instance, tick(world))
        world.drift("2013-05-06", "failed")
        record_retraining(world.model, "2013-05-06", world.ledger, world.clock)
        assert skipped(tick(world)).startswith("asked for already: run ")

    def test_given_another_window_asks_then_the_tick_says_what_the_first_run_was_trained_as_of(
        self, world, tick, instance
    ):
        drifted(world, "2013-05-13", "2013-05-20")
        launch(instance, tick(world))
        world.drift("2013-05-27", "failed")  # nobody has recorded a decision yet
        assert " as of 2013-05-27 is SUCCESS" in skipped(tick(world))

    def test_given_a_new_champion_then_the_drift_it_answered_asks_no_more(self, world, tick):
        drifted(world, "2013-05-13", "2013-05-20")
        record_retraining(world.model, "2013-05-20", world.ledger, world.clock)
        world.crown("v2", "b" * 64, as_of="2013-05-27")
        assert "no drift report against v2 yet" in skipped(tick(world))


class TestByHand:
    def ask(self, world, name: str, as_of: str = "2013-05-27") -> None:
        why = "three new airlines fly"
        request_retraining(
            world.model, "the desk", why, as_of, world.ledger, world.clock, request=name
        )

    def test_given_a_person_asks_then_the_next_tick_launches_it_once(self, world, tick, instance):
        world.crown("v1", "a" * 64, as_of="2013-05-20")
        self.ask(world, "run 1")
        request = tick(world)
        assert request.partition_key == "2013-05-27"
        assert request.run_key.startswith("flight_delays/retrain/by_hand/by hand run 1/")
        launch(instance, request)
        assert "is SUCCESS; the desk asked: three new airlines fly" in skipped(tick(world))

    def test_given_two_ask_between_two_ticks_then_both_are_launched(self, world, tick, instance):
        self.ask(world, "run 1", as_of="2013-05-20")
        self.ask(world, "run 2")
        requests = tick(world)
        assert [each.partition_key for each in requests] == ["2013-05-20", "2013-05-27"]
        for request in requests:
            launch(instance, request)
        assert skipped(tick(world)).count("asked for already: run ") == 2

    def test_given_two_ask_for_the_same_then_one_run_answers_both(self, world, tick, instance):
        self.ask(world, "run 1")
        self.ask(world, "run 2")
        request = tick(world)
        assert "by hand run 2" in request.run_key
        launch(instance, request)
        assert skipped(tick(world)).count("asked for already: run ") == 1

    def test_given_one_was_launched_then_the_other_is_launched_alone(self, world, tick, instance):
        self.ask(world, "run 1", as_of="2013-05-20")
        launch(instance, tick(world))
        self.ask(world, "run 2")
        assert tick(world).partition_key == "2013-05-27"

    def test_given_it_failed_then_asking_again_is_another_run(self, world, tick, instance):
        self.ask(world, "run 1")
        launch(instance, tick(world), fails=True)
        self.ask(world, "run 2")
        assert "by hand run 2" in tick(world).run_key

    def test_given_a_launch_that_was_tried_again_then_it_is_one_request(self, world):
        for _ in range(2):
            self.ask(world, "run 1")
        assert len(world.rows("retraining_request")) == 1


def test_episodes_of_two_models_are_told_apart(world, instance):
    ask = Ask("2013-05-20", "2013-05-27", "drift", "v1", "v1/2013-05-13")
    request = build_retraining_request(world.model, ask)
    launch(instance, dg.RunRequest(run_key="other", tags={EPISODE: "rain/v1/2013-05-13"}))
    assert find_launched(instance, world.model, ask) is None
    launch(instance, request)
    assert find_launched(instance, world.model, ask).endswith("as of 2013-05-27 is SUCCESS")
