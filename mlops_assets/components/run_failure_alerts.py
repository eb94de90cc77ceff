"""The component that tells people when a run fails."""

from typing import Literal

import dagster as dg

from mlops_assets.adapters.ports import Alerts


class RunFailureAlertsComponent(dg.Component, dg.Model, dg.Resolvable):
    """A sensor that sends one alert for each failed run of this code location."""

    default_status: Literal["RUNNING", "STOPPED"] = "STOPPED"

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:  # noqa: ARG002
        @dg.run_failure_sensor(
            name="alert_on_run_failure",
            default_status=dg.DefaultSensorStatus(self.default_status),
            description="Sends an alert for each run that failed, naming run, job and cause.",
        )
        def alert_on_run_failure(
            context: dg.RunFailureSensorContext, alerts: dg.ResourceParam[Alerts]
        ) -> None:
            run = context.dagster_run
            partition = run.tags.get("dagster/partition", "")
            alerts.send(
                f"{run.job_name} {partition} failed".replace("  ", " "),
                f"run {run.run_id}: {context.failure_event.message}",
            )

        return dg.Definitions(sensors=[alert_on_run_failure])
