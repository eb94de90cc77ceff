"""The component that tells people: one sensor, one rule for all there is to tell."""

from datetime import datetime
from functools import partial
from typing import Literal

import dagster as dg
from pydantic import Field

from mlops_assets.adapters.dagster_ui import DagsterUi
from mlops_assets.adapters.ports import Alerts, Clock, Ledger
from mlops_assets.components.alerts.freshness import find_stale_assets
from mlops_assets.components.alerts.runs import explain_run, find_failed_runs
from mlops_assets.components.alerts.ticks import find_failing_ticks
from mlops_assets.components.stages.alerts import LOOK_BACK, tell
from mlops_assets.components.stages.occurrences import Persistence, find_recorded_occurrences
from mlops_assets.lifecycle.alerting import KINDS, PAGES, AlertPolicy, Kind, Occurrence

NAME = "alert"


class DriftPersistence(dg.Model):
    """How many of the last drift reports have to fail before a drift is told."""

    windows: int = 3
    violated: int = 2


class AlertsComponent(dg.Component, dg.Model, dg.Resolvable):
    """A sensor that tells of failed runs, failing sensors, stale assets, broken data, drift,
    rollouts that failed and trainings asked for: grouped, and not repeated while it lasts.
    """

    default_status: Literal["RUNNING", "STOPPED"] = "STOPPED"
    interval_seconds: int = Field(30, ge=1)
    kinds: list[Kind] = Field(default_factory=lambda: list(KINDS))
    pages: list[Kind] = Field(default_factory=lambda: list(PAGES))
    remind_after: float = 24.0
    pause: float = 10.0
    drift: DriftPersistence = DriftPersistence()

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:  # noqa: ARG002
        policy = AlertPolicy(tuple(self.kinds), tuple(self.pages), self.remind_after, self.pause)
        persistence = Persistence(self.drift.windows, self.drift.violated)

        @dg.sensor(
            name=NAME,
            minimum_interval_seconds=self.interval_seconds,
            default_status=dg.DefaultSensorStatus(self.default_status),
            description="Tells people what went wrong, once while it lasts, all of a kind in one "
            "message.",
        )
        def alert(
            context: dg.SensorEvaluationContext,
            ledger: dg.ResourceParam[Ledger],
            alerts: dg.ResourceParam[Alerts],
            ui: dg.ResourceParam[DagsterUi],
            clock: dg.ResourceParam[Clock],
        ) -> dg.SkipReason:
            known = gather(context, ledger, ui, clock.now(), persistence)
            explain = partial(explain_run, context.instance)
            sent = tell(known, explain, ledger, alerts, clock, policy)
            return dg.SkipReason("told: " + "; ".join(sent) if sent else "there is no news")

        return dg.Definitions(sensors=[alert])


def gather(
    context: dg.SensorEvaluationContext,
    ledger: Ledger,
    ui: DagsterUi,
    now: datetime,
    persistence: Persistence,
) -> list[Occurrence]:
    """All there is to tell at the moment, told already or not, from Dagster and the ledger."""
    instance, repository = context.instance, context.repository_def
    origin = context.code_location_origin
    location = origin.location_name if origin else None
    since = now - LOOK_BACK
    found = find_failed_runs(instance, ui, since, location)
    if repository:
        # Its own failed ticks cannot be told by itself: they are seen in the UI.
        ticking = {sensor.name for sensor in repository.sensor_defs} - {NAME}
        ticking |= {schedule.name for schedule in repository.schedule_defs}
        found += find_failing_ticks(instance, ui, location, ticking)
        found += find_stale_assets(instance, repository.asset_graph, ui, now)
    for model in ledger.models():
        found += find_recorded_occurrences(ledger, model, ui, since, persistence)
    return found
