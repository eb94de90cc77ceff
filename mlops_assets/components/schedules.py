"""The schedule of a model: ingest each partition once it has ended."""

import dagster as dg

from mlops_assets.components.assets.wiring import key_of
from mlops_assets.components.definition import ModelDefinition
from mlops_assets.components.jobs import ModelJobs
from mlops_assets.components.partitions import range_tags


def build_schedules(model: ModelDefinition, jobs: ModelJobs) -> list[dg.ScheduleDefinition]:
    """The schedule ``<model>__ingest_schedule``."""
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

    return [ingest]
