"""The component that ends the tracking runs of Dagster runs whose process is gone."""

from typing import Literal

import dagster as dg

from mlops_assets.adapters.ports import RunStatus, Tracking

ENDS: dict[dg.DagsterRunStatus, RunStatus] = {
    dg.DagsterRunStatus.FAILURE: "FAILED",
    dg.DagsterRunStatus.CANCELED: "KILLED",
}


class TrackingEndsComponent(dg.Component, dg.Model, dg.Resolvable):
    """Sensors that end what a killed process left open: a step ends its own tracking run, but
    one that was killed cannot.
    """

    default_status: Literal["RUNNING", "STOPPED"] = "STOPPED"

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:  # noqa: ARG002
        status = dg.DefaultSensorStatus(self.default_status)
        return dg.Definitions(sensors=[_build_sensor(ended, status) for ended in ENDS])


def _build_sensor(
    ended: dg.DagsterRunStatus, default_status: dg.DefaultSensorStatus
) -> dg.SensorDefinition:
    word = ended.value.lower()

    @dg.run_status_sensor(
        name=f"end_tracking_on_{word}",
        run_status=ended,
        default_status=default_status,
        description=f"Ends the tracking runs that a run with status {word} left open.",
    )
    def end_tracking(
        context: dg.RunStatusSensorContext, tracking: dg.ResourceParam[Tracking]
    ) -> None:
        ids = tracking.end_unfinished(context.dagster_run.run_id, ENDS[ended])
        if ids:
            context.log.info(f"ended {', '.join(ids)} as {ENDS[ended]}")

    return end_tracking
