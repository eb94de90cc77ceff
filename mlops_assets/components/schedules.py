"""The schedule of a model: ingest each partition once it has ended."""

import dagster as dg

from mlops_assets.components.assets.wiring import key_of
from mlops_assets.components.definition import ModelDefinition
from mlops_assets.components.jobs import ModelJobs


def build_schedules(model: ModelDefinition, jobs: ModelJobs) -> list[dg.ScheduleDefinition]:
    """The schedule ``<model>__ingest_schedule``."""
    spec = model.spec.schedules.ingest

    @dg.schedule(
        name=f"{model.name}__ingest_schedule",
        job=jobs.ingest,
        cron_schedule=spec.cron,
        execution_timezone=spec.timezone,
        default_status=dg.DefaultScheduleStatus(spec.default_status),
        description="Ingests the partition that ended last, unless it is there.",
    )
    def ingest(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        ended = model.calendar.latest_complete(context.scheduled_execution_time)
        if ended is None:
            return dg.SkipReason("no partition has ended yet")
        there = context.instance.get_materialized_partitions(key_of(model, "features"))
        if ended in there:
            return dg.SkipReason(f"partition {ended}, the last that has ended, is there")
        return dg.RunRequest(run_key=f"{model.name}/ingest/{ended}", partition_key=ended)

    return [ingest]
