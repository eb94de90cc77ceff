"""When a run is over whose process could not end its tracking runs, somebody else does."""

from __future__ import annotations

import contextlib

import dagster as dg
import pytest

from mlops_assets.adapters.in_memory import InMemoryTracking
from mlops_assets.components import TrackingEndsComponent
from mlops_assets.components.tracking_ends import ENDS

SENSORS = {
    "end_tracking_on_failure": (dg.DagsterRunStatus.FAILURE, "FAILED"),
    "end_tracking_on_canceled": (dg.DagsterRunStatus.CANCELED, "KILLED"),
}


@dg.job(name="trains")
def trains():
    @dg.op(name="fit")
    def fit():
        raise ValueError("out of memory")

    fit()


@pytest.fixture
def tracking() -> InMemoryTracking:
    return InMemoryTracking()


def leave_open(tracking: InMemoryTracking, run_id: str, *assets: str) -> None:
    """Tracking runs as a process leaves them that was killed before it could end them."""
    for asset in assets:
        tags = {
            "dagster_run_id": run_id,
            "dagster_asset": asset,
            "dagster_partition": "2013-06-03",
        }
        killed = contextlib.suppress(KeyboardInterrupt)
        with killed, tracking.run(experiment="e", name=asset, tags=tags):
            raise KeyboardInterrupt
        tracking.runs[-1].status = "RUNNING"


def sensors_of(**attributes) -> dict[str, dg.SensorDefinition]:
    made = TrackingEndsComponent(**attributes).build_defs(dg.ComponentTree.for_test().load_context)
    return {sensor.name: sensor for sensor in made.sensors}


def tick(name: str, tracking: InMemoryTracking, run_id: str | None = None) -> str:
    """What the sensor does once it hears of a run; the id of that run."""
    status, _ = SENSORS[name]
    with dg.DagsterInstance.ephemeral() as instance:
        ended = trains.execute_in_process(instance=instance, raise_on_error=False)
        run = ended.dagster_run.with_status(status)
        leave_open(tracking, run.run_id, "candidate_tree", "trained_model")
        context = dg.build_run_status_sensor_context(
            sensor_name=name,
            dagster_instance=instance,
            dagster_run=run,
            dagster_event=ended.get_run_failure_event(),
            resources={"tracking": tracking},
        )
        sensors_of()[name](context)
    return run.run_id


@pytest.mark.parametrize("name", SENSORS)
def test_given_a_run_that_is_gone_then_what_it_left_open_has_ended_as_it_did(name, tracking):
    tick(name, tracking)
    assert [run.status for run in tracking.runs] == [SENSORS[name][1]] * 2


@pytest.mark.parametrize("name", SENSORS)
def test_given_runs_of_others_then_they_stay_as_they_are(name, tracking):
    leave_open(tracking, "another run", "study")
    tick(name, tracking)
    assert tracking.runs[0].status == "RUNNING"


def test_given_a_tracking_run_that_had_ended_then_its_end_stays(tracking):
    leave_open(tracking, "one", "study")
    tracking.runs[0].status = "FINISHED"
    tracking.runs[0].tags["dagster_run_id"] = tick("end_tracking_on_failure", tracking)
    assert tracking.end_unfinished(tracking.runs[0].tags["dagster_run_id"], "KILLED") == []
    assert tracking.runs[0].status == "FINISHED"


def test_each_end_of_a_run_without_its_process_has_a_sensor():
    assert {name: (status, ENDS[status]) for name, (status, _) in SENSORS.items()} == SENSORS
    assert set(sensors_of()) == set(SENSORS)


@pytest.mark.parametrize("status", ["RUNNING", "STOPPED"])
def test_they_watch_from_the_start_as_defs_yaml_says(status):
    found = {sensor.default_status.value for sensor in sensors_of(default_status=status).values()}
    assert found == {status}


def test_unless_told_otherwise_they_wait_to_be_started():
    found = {sensor.default_status for sensor in sensors_of().values()}
    assert found == {dg.DefaultSensorStatus.STOPPED}


def test_given_another_status_then_it_is_refused():
    with pytest.raises(ValueError, match="'RUNNING' or 'STOPPED'"):
        TrackingEndsComponent(default_status="running")
