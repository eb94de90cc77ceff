"""The schedules of a model: ingest what has ended, refresh online features, drill going back."""

import dagster as dg

from mlops_assets.components.assets.wiring import key_of
from mlops_assets.components.definition import ModelDefinition
from mlops_assets.components.jobs import Job, ModelJobs
from mlops_assets.components.partitions import range_tags

_DRILL_CRON = "0 5 * * 1"
"""Of a drill whose cron is not stated: each Monday at five."""

_REFRESH_CRON = "7 * * * *"
"""Of a refresh whose cron is not stated: each hour, beside those that begin on the hour."""


def build_schedules(model: ModelDefinition, jobs: ModelJobs) -> list[dg.ScheduleDefinition]:
    """``<model>__ingest_schedule``, ``<model>__drill_schedule``, and with online features
    ``<model>__refresh_schedule``.
    """
    refresh = [_refresh(model, jobs.refresh)] if jobs.refresh else []
    return [_ingest(model, jobs), _drill(model, jobs), *refresh]


def _ingest(model: ModelDefinition, jobs: ModelJobs) -> dg.ScheduleDefinition:
    spec = model.spec.schedules.ingest

    @dg.schedule(
        name=f"{model.name}__ingest_schedule",
        job=jobs.ingest,
        cron_schedule=spec.cron_for(model.calendar),
        execution_timezone=spec.timezone,
        default_status=dg.DefaultScheduleStatus(spec.default_status),
        description="Ingests, as one run, the partitions that have ended and are not there.",
    )
    def ingest(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        now = context.scheduled_execution_time
        there = context.instance.get_materialized_partitions(key_of(model, "features"))
        missing = model.calendar.missing(now, there)
        if not missing:
            last = model.calendar.latest_complete(now)
            return dg.SkipReason(
                f"partition {last}, the last that has ended, is there"
                if last
                else "no partition has ended yet"
            )
        return dg.RunRequest(
            run_key=f"{model.name}/ingest/{missing[0]}/{missing[-1]}", tags=range_tags(missing)
        )

    return ingest


def _drill(model: ModelDefinition, jobs: ModelJobs) -> dg.ScheduleDefinition:
    spec = model.spec.schedules.drill
    return dg.ScheduleDefinition(
        name=f"{model.name}__drill_schedule",
        job=jobs.drill,
        cron_schedule=spec.cron or _DRILL_CRON,
        execution_timezone=spec.timezone,
        default_status=dg.DefaultScheduleStatus(spec.default_status),
        description="Drills going back to the version before, on a server that serves nobody.",
    )


def _refresh(model: ModelDefinition, job: Job) -> dg.ScheduleDefinition:
    spec = model.spec.schedules.refresh
    return dg.ScheduleDefinition(
        name=f"{model.name}__refresh_schedule",
        job=job,
        cron_schedule=spec.cron or _REFRESH_CRON,
        execution_timezone=spec.timezone,
        default_status=dg.DefaultScheduleStatus(spec.default_status),
        description="Computes what the endpoint looks up for requests, as of now.",
    )
