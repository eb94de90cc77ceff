"""The schedules of a model: ingest what has ended, refresh online features, drill going back."""

from datetime import datetime

import dagster as dg

from mlops_assets.adapters.ports import SourceFiles, TableStore
from mlops_assets.components.assets.wiring import key_of
from mlops_assets.components.definition import ModelDefinition
from mlops_assets.components.jobs import Job, ModelJobs
from mlops_assets.components.partitions import range_tags
from mlops_assets.components.stages.deliveries import plan_deliveries
from mlops_assets.lifecycle.digests import digest_value
from mlops_assets.lifecycle.ingestion import IngestionPlan

_DRILL_CRON = "0 5 * * 1"
"""Of a drill whose cron is not stated: each Monday at five."""

_REFRESH_CRON = "7 * * * *"
"""Of a refresh whose cron is not stated: each hour, beside those that begin on the hour."""

_REMEMBERED = 50
"""How many makings of a partition are looked at to tell since when its rows are what they are."""


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
        description="Ingests the partitions that have ended and are not there, and builds those "
        "anew that look back on what came late.",
    )
    def ingest(
        context: dg.ScheduleEvaluationContext,
        files: dg.ResourceParam[SourceFiles],
        tables: dg.ResourceParam[TableStore],
    ) -> list[dg.RunRequest] | dg.SkipReason:
        now = context.scheduled_execution_time
        built, inputs = _made(model, context.instance)
        plan = plan_deliveries(model, now, built, inputs, files, tables)
        for key, complaint in plan.refused.items():
            context.log.warning(f"{key} is left out: {complaint}")
        requests = [*_requests(model, plan, now), *_refused(model, plan)]
        return requests or dg.SkipReason(_up_to_date(model, now))

    return ingest


def _requests(model: ModelDefinition, plan: IngestionPlan, now: datetime) -> list[dg.RunRequest]:
    """One run per range. A range may be due again, so its key holds the moment of the tick."""
    return [
        dg.RunRequest(
            run_key=f"{model.name}/ingest/{first}/{last}/{now:%Y-%m-%dT%H:%M}",
            tags=range_tags((first, last)),
        )
        for first, last in plan.ranges
    ]


def _refused(model: ModelDefinition, plan: IngestionPlan) -> list[dg.RunRequest]:
    """A run for each partition that cannot be ingested: it fails with the complaint, for people
    to see. As the key holds the complaint, Dagster launches it once and not at each tick.
    """
    return [
        dg.RunRequest(
            run_key=f"{model.name}/ingest/{key}/refused/{digest_value(complaint)[:12]}",
            tags=range_tags((key, key)),
        )
        for key, complaint in plan.refused.items()
    ]


def _made(
    model: ModelDefinition, instance: dg.DagsterInstance
) -> tuple[dict[str, int], dict[str, int]]:
    """When each partition's features were made last, and when what they are built from became
    what it is: numbers in the order of Dagster's event log.
    """
    built = _numbers(model, instance, "features")
    sources = [f"validated_{s.name}" for s in model.feature_sources if s.partitioned_by]
    inputs: dict[str, int] = {}
    for name in ("labels", *sources):
        for key, made in _numbers(model, instance, name).items():
            followers = model.calendar.followers(key, model.spec.entities.lookback)
            suspect = any(built.get(other, made) < made for other in followers)
            number = _changed(model, instance, name, key) if suspect else made
            inputs[key] = max(number, inputs.get(key, -1))
    return built, inputs


def _numbers(model: ModelDefinition, instance: dg.DagsterInstance, name: str) -> dict[str, int]:
    event = dg.DagsterEventType.ASSET_MATERIALIZATION
    return dict(instance.get_latest_storage_id_by_partition(key_of(model, name), event))


def _changed(model: ModelDefinition, instance: dg.DagsterInstance, name: str, key: str) -> int:
    """Since when a partition is what it is: made again to the same rows it is as old as before."""
    wanted = dg.AssetRecordsFilter(key_of(model, name), asset_partitions=[key])
    records = instance.fetch_materializations(wanted, limit=_REMEMBERED).records
    latest, *before = records
    since = latest.storage_id
    for record in before:
        if _fingerprint(record) is None or _fingerprint(record) != _fingerprint(latest):
            break
        since = record.storage_id
    return since


def _fingerprint(record: dg.EventLogRecord) -> object:
    made = record.asset_materialization
    known = made.metadata.get("fingerprint") if made else None
    return known.value if known else None


def _up_to_date(model: ModelDefinition, now: datetime) -> str:
    last = model.calendar.latest_complete(now)
    return (
        f"partition {last}, the last that has ended, is there"
        if last
        else "no partition has ended yet"
    )


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
