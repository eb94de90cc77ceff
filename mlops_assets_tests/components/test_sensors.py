"""A tick either says in words why nothing is due, or asks for exactly the run that is."""

from __future__ import annotations

from datetime import timedelta

import dagster as dg
import pytest

from mlops_assets.adapters.journal import write_cut_off, write_rollout
from mlops_assets.components.jobs import build_jobs
from mlops_assets.components.sensors import build_sensors
from mlops_assets.components.stages.interventions import pause
from mlops_assets.components.stages.rollout_steps import step_rollout
from mlops_assets.lifecycle.rollout.state import CutOff, RolloutState

AUTOMATIC = "start: automatic"


@pytest.fixture
def tick(resources):
    """One tick of one of a world's sensors."""

    def tick_once(world, name: str):
        sensors = build_sensors(world.model, build_jobs(world.model))
        (sensor,) = (sensor for sensor in sensors if sensor.name == f"flight_delays__{name}")
        needed = resources(world)
        wanted = {key: needed[key] for key in sensor.required_resource_keys}
        return sensor(dg.build_sensor_context(resources=wanted))

    return tick_once


def step(world, version: str):
    return step_rollout(
        world.model,
        version,
        world.ledger,
        world.registry,
        world.serving,
        world.telemetry,
        world.tables,
        world.clock,
    )


def skipped(said) -> str:
    assert isinstance(said, dg.SkipReason)
    return said.skip_message


def in_canary(world) -> str:
    """A champion v1, and v2 at the first step of its rollout."""
    step(world, world.add_version("a" * 64))
    version = world.add_version("b" * 64, "2013-05-06")
    step(world, version)
    return version


class TestAdvanceRollout:
    def test_given_nothing_registered_then_there_is_nothing_to_roll_out(self, world, tick):
        assert (
            skipped(tick(world, "advance_rollout")) == "no rollout in progress and no new version"
        )

    def test_given_a_version_that_passed_its_gates_then_its_rollout_is_asked_for(self, world, tick):
        world.add_version("a" * 64)
        request = tick(world, "advance_rollout")
        assert request.partition_key == "v1"
        assert request.run_key == "flight_delays/rollout/v1/begin/20130605T12"
        assert request.tags["mlops_assets/trigger"] == "rollout"

    @pytest.mark.parametrize("outcome", ["failed", "inconclusive"])
    def test_given_a_version_judged_otherwise_then_nothing_is_asked_for(self, world, tick, outcome):
        world.add_version("a" * 64)
        world.judge("a" * 64, outcome=outcome)
        assert skipped(tick(world, "advance_rollout")).endswith("no new version")

    def test_given_other_gates_since_the_verdict_then_nothing_is_asked_for(self, make_world, tick):
        world = make_world({"{auc: 0.62}": "{auc: 0.9}"})
        world.add_version("a" * 64)
        world.judge("a" * 64, policy="another")
        assert skipped(tick(world, "advance_rollout")).endswith("no new version")

    def test_given_the_first_version_serves_then_nothing_more_is_due(self, world, tick):
        step(world, world.add_version("a" * 64))
        assert (
            skipped(tick(world, "advance_rollout")) == "no rollout in progress and no new version"
        )

    def test_given_too_few_requests_then_the_tick_says_how_many_are_missing(self, world, tick):
        version = in_canary(world)
        world.observe(version, "v1", units=40)
        assert skipped(tick(world, "advance_rollout")) == (
            "v2 stays at 10 %: 40 of 100 units seen at 10 %"
        )

    def test_given_a_good_window_then_the_next_step_is_asked_for(self, world, tick):
        version = in_canary(world)
        world.observe(version, "v1")
        request = tick(world, "advance_rollout")
        assert (request.partition_key, request.run_key) == (
            "v2",
            "flight_delays/rollout/v2/progressing/0/advance/20130605T12",
        )

    def test_given_a_bad_window_then_the_roll_back_is_asked_for(self, world, tick):
        version = in_canary(world)
        world.observe(version, "v1", errors=100)
        request = tick(world, "advance_rollout")
        assert request.run_key == "flight_delays/rollout/v2/progressing/0/roll_back/20130605T12"

    def test_given_the_same_state_then_each_tick_asks_with_the_same_run_key(self, world, tick):
        version = in_canary(world)
        world.observe(version, "v1")
        first = tick(world, "advance_rollout")
        world.observe(version, "v1", units=700)
        world.clock.at += timedelta(minutes=29)
        assert tick(world, "advance_rollout").run_key == first.run_key

    def test_given_a_step_that_was_not_taken_for_an_hour_then_it_is_asked_for_anew(
        self, world, tick
    ):
        world.observe(in_canary(world), "v1")
        first = tick(world, "advance_rollout")
        world.clock.at += timedelta(hours=1)
        assert tick(world, "advance_rollout").run_key != first.run_key

    def test_given_each_step_is_taken_then_no_run_key_is_used_twice(self, world, tick):
        world.add_version("a" * 64)
        keys = [tick(world, "advance_rollout").run_key]
        step(world, "v1")
        world.add_version("b" * 64)
        world.observe("v2", "v1")
        while isinstance(due := tick(world, "advance_rollout"), dg.RunRequest):
            keys.append(due.run_key)
            step(world, due.partition_key)
        assert [key.split("/rollout/")[1].rsplit("/", 1)[0] for key in keys] == [
            "v1/begin",
            "v2/begin",
            "v2/progressing/0/advance",
            "v2/progressing/1/promote",
        ]
        assert world.aliases() == {"champion": "v2"}

    def test_given_start_by_hand_then_a_tick_never_begins_a_rollout(self, make_world, tick):
        world = make_world({AUTOMATIC: "start: manual"})
        world.add_version("a" * 64)
        expected = "rollouts begin by hand (rollout.start is manual)"
        assert skipped(tick(world, "advance_rollout")) == expected

    def test_given_start_by_hand_then_a_rollout_begun_by_a_person_is_still_taken_on(
        self, make_world, tick
    ):
        world = make_world({AUTOMATIC: "start: manual"})
        world.observe(in_canary(world), "v1")
        assert tick(world, "advance_rollout").partition_key == "v2"

    def test_given_a_rollout_that_failed_then_its_version_is_not_asked_for_again(self, world, tick):
        version = in_canary(world)
        world.observe(version, "v1", errors=100)
        step(world, version)
        assert skipped(tick(world, "advance_rollout")).endswith("no new version")

    def test_given_a_new_version_while_another_is_rolled_out_then_the_running_one_goes_first(
        self, world, tick
    ):
        world.observe(in_canary(world), "v1")
        world.add_version("c" * 64)
        assert tick(world, "advance_rollout").partition_key == "v2"

    def test_a_tick_writes_nothing(self, world, tick):
        world.observe(in_canary(world), "v1")
        before = world.ledger.position()
        tick(world, "advance_rollout")
        assert world.ledger.position() == before

    def test_given_a_version_that_never_loads_then_its_first_step_is_asked_for(self, world, tick):
        at = world.clock.now().isoformat()
        loading = RolloutState("v2", "b" * 64, "2013-05-06", "initializing", -1, 0, at, "", "v1")
        write_rollout(world.ledger, world.name, loading, world.clock.now())
        assert "v2/initializing/-1/advance" in tick(world, "advance_rollout").run_key

    def test_given_the_endpoint_cut_the_version_off_then_the_roll_back_is_asked_for_at_once(
        self, world, tick
    ):
        version = in_canary(world)
        cut = CutOff(version, "b" * 64, "it raised 5 times in a row")
        write_cut_off(world.ledger, world.name, cut, world.clock.now())
        request = tick(world, "advance_rollout")
        assert request.run_key == "flight_delays/rollout/v2/progressing/0/roll_back/20130605T12"
        step(world, version)
        assert skipped(tick(world, "advance_rollout")).endswith("no new version")

    def test_given_a_rollout_that_is_held_then_the_tick_says_by_whom_and_harm_still_ends_it(
        self, world, tick
    ):
        version = in_canary(world)
        world.observe(version, "v1")
        why = "odd answers reported"
        pause(world.model, "the desk", why, world.ledger, world.clock, request="launch 1")
        said = skipped(tick(world, "advance_rollout"))
        assert "the desk" in said
        assert why in said
        world.observe(version, "v1", errors=100)
        assert "/roll_back/" in tick(world, "advance_rollout").run_key

    def test_a_tick_reads_no_predictions_unless_the_strategy_asks_for_them(self, world, tick):
        version = in_canary(world)
        world.observe(version, "v1")
        world.telemetry.predictions = None
        assert tick(world, "advance_rollout").partition_key == "v2"


@pytest.mark.parametrize("status", ["RUNNING", "STOPPED"])
def test_sensors_tick_from_the_start_as_defs_yaml_says(make_model, status):
    old = "advance_rollout: {default_status: RUNNING, interval_seconds: 15}"
    model = make_model({old: f"advance_rollout: {{default_status: {status}, interval_seconds: 9}}"})
    sensors = {sensor.name: sensor for sensor in build_sensors(model, build_jobs(model))}
    advance = sensors["flight_delays__advance_rollout"]
    assert advance.default_status.value == status
    assert advance.minimum_interval_seconds == 9
    assert sensors["flight_delays__retrain_on_drift"].minimum_interval_seconds == 30
