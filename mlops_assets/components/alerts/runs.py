"""Runs that failed, and why."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import dagster as dg

from mlops_assets.adapters.dagster_ui import DagsterUi
from mlops_assets.adapters.journal import NO_MODEL
from mlops_assets.lifecycle.alerting import Occurrence

if TYPE_CHECKING:
    from dagster_shared.error import SerializableErrorInfo

_FAILURES = {dg.DagsterEventType.STEP_FAILURE, dg.DagsterEventType.RUN_FAILURE}


def find_failed_runs(
    instance: dg.DagsterInstance, ui: DagsterUi, since: datetime, location: str | None
) -> list[Occurrence]:
    """The runs of a code location (all when None) that failed since then, without their causes.

    A run that Dagster is about to try again counts only once it has no more tries.
    """
    failed = dg.RunsFilter(statuses=[dg.DagsterRunStatus.FAILURE], updated_after=since)
    return [
        _occurrence(record, ui)
        for record in instance.get_run_records(failed)
        if _is_of(record.dagster_run, location)
        and record.dagster_run.tags.get("dagster/will_retry") != "true"
    ]


def explain_run(instance: dg.DagsterInstance, occurrence: Occurrence) -> Occurrence:
    """The occurrence with the cause of its run; any other as it is."""
    if occurrence.kind != "run_failed":
        return occurrence
    return replace(occurrence, detail=read_cause(instance, occurrence.subject))


def read_cause(instance: dg.DagsterInstance, run_id: str) -> str:
    """What the first step that failed said, or the run itself when its process is gone."""
    said = [entry.dagster_event for entry in instance.all_logs(run_id, of_type=_FAILURES)]
    for event in said:
        if event and event.is_step_failure:
            told = event.step_failure_data.user_failure_data
            error = event.step_failure_data.error
            if told and told.description:
                return told.description
            if error:
                return innermost(error)
    return next((event.message for event in said if event and event.message), "no cause was logged")


def innermost(error: SerializableErrorInfo) -> str:
    """What the error that all others came from says, its class without the module."""
    while error.cause:
        error = error.cause
    return re.sub(r"^(?:\w+\.)+(?=\w+: )", "", error.message).strip()


def _occurrence(record: dg.RunRecord, ui: DagsterUi) -> Occurrence:
    run = record.dagster_run
    name = _name(run)
    partition = run.tags.get("dagster/partition", "")
    ended = record.end_time or record.update_timestamp.timestamp()
    return Occurrence(
        kind="run_failed",
        model=_model(name),
        group=name,
        subject=run.run_id,
        title=f"{name} {partition} failed".replace("  ", " "),
        detail="",
        link=ui.run_url(run.run_id),
        at=datetime.fromtimestamp(ended, UTC),
    )


def _name(run: dg.DagsterRun) -> str:
    """The job, or the assets that were picked by hand."""
    if not run.job_name.startswith("__ASSET_JOB"):
        return run.job_name
    picked = sorted(key.to_user_string() for key in run.asset_selection or ())
    more = f" and {len(picked) - 1} more" if len(picked) > 1 else ""
    return f"{picked[0]}{more}" if picked else run.job_name


def _model(name: str) -> str:
    """The part before the name: all jobs and assets of a model begin with it."""
    for separator in ("__", "/"):
        model, separated, _ = name.partition(separator)
        if model and separated:
            return model
    return NO_MODEL


def _is_of(run: dg.DagsterRun, location: str | None) -> bool:
    """Runs that were started in process have no location: they are anybody's."""
    origin = run.remote_job_origin
    return location is None or origin is None or origin.location_name == location
