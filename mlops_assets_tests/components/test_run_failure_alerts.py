"""When a run fails, one message says which and why."""

from __future__ import annotations

import dagster as dg
import pytest

from mlops_assets.adapters.in_memory import InMemoryAlerts
from mlops_assets.components import RunFailureAlertsComponent


@dg.job(name="breaks")
def breaks():
    @dg.op(name="step")
    def step():
        raise ValueError("no such file")

    step()


def sensor_of(**attributes) -> dg.SensorDefinition:
    made = RunFailureAlertsComponent(**attributes).build_defs(
        dg.ComponentTree.for_test().load_context
    )
    (sensor,) = made.sensors
    return sensor


@pytest.mark.parametrize(
    ("tags", "title"),
    [({}, "breaks failed"), ({"dagster/partition": "2013-06-03"}, "breaks 2013-06-03 failed")],
)
def test_given_a_run_that_failed_then_one_message_names_job_partition_run_and_cause(tags, title):
    alerts = InMemoryAlerts()
    with dg.DagsterInstance.ephemeral() as instance:
        failed = breaks.execute_in_process(instance=instance, raise_on_error=False, tags=tags)
        context = dg.build_run_status_sensor_context(
            sensor_name="alert_on_run_failure",
            dagster_instance=instance,
            dagster_run=failed.dagster_run,
            dagster_event=failed.get_run_failure_event(),
            resources={"alerts": alerts},
        ).for_run_failure()
        sensor_of()(context)
    ((said, body),) = alerts.sent
    assert said == title
    assert body.startswith(f"run {failed.run_id}: ")
    assert "step" in body


@pytest.mark.parametrize("status", ["RUNNING", "STOPPED"])
def test_it_watches_from_the_start_as_defs_yaml_says(status):
    assert sensor_of(default_status=status).default_status.value == status


def test_unless_told_otherwise_it_waits_to_be_started():
    assert sensor_of().default_status is dg.DefaultSensorStatus.STOPPED


def test_given_another_status_then_it_is_refused():
    with pytest.raises(ValueError, match="'RUNNING' or 'STOPPED'"):
        RunFailureAlertsComponent(default_status="running")
