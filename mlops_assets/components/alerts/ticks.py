"""Sensors and schedules whose ticks fail."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from datetime import UTC, datetime

import dagster as dg

# Dagster shows its ticks to nobody by a public name.
from dagster._core.definitions.run_request import InstigatorType
from dagster._core.scheduler.instigation import (
    InstigatorState,
    InstigatorStatus,
    InstigatorTick,
    TickStatus,
)

from mlops_assets.adapters.dagster_ui import DagsterUi
from mlops_assets.adapters.journal import NO_MODEL
from mlops_assets.components.alerts.runs import innermost
from mlops_assets.lifecycle.alerting import Occurrence

_WELL = [TickStatus.SUCCESS, TickStatus.SKIPPED]
_ENDED = [*_WELL, TickStatus.FAILURE]

_NEEDED = {InstigatorType.SENSOR: 2, InstigatorType.SCHEDULE: 1}
"""Ticks in a row that have to fail. One of a sensor may, the next comes in seconds; one of a
schedule is a day or a week lost."""


def find_failing_ticks(
    instance: dg.DagsterInstance, ui: DagsterUi, location: str | None, names: Collection[str]
) -> list[Occurrence]:
    """The sensors and schedules of those names that fail at the moment, since they last went well.

    One that a person has stopped does not count.
    """
    if instance.schedule_storage is None:
        return []
    watched = (
        state
        for state in instance.all_instigator_state()
        if state.instigator_type in _NEEDED
        and state.status is not InstigatorStatus.STOPPED
        and state.instigator_name in names
        and location in (None, state.origin.location_name)
    )
    return [found for state in watched for found in _find_failing(instance, ui, state)]


def _find_failing(
    instance: dg.DagsterInstance, ui: DagsterUi, state: InstigatorState
) -> Iterator[Occurrence]:
    newest = _newest(instance, state, _ENDED)
    if newest is None or newest.status is not TickStatus.FAILURE:
        return
    data = newest.tick_data
    in_a_row = data.consecutive_failure_count or data.failure_count
    if in_a_row < _NEEDED[state.instigator_type]:
        return
    well = _newest(instance, state, _WELL)
    name = state.instigator_name
    model = name.split("__")[0] if "__" in name else NO_MODEL
    sensor = state.instigator_type is InstigatorType.SENSOR
    kind = "sensor" if sensor else "schedule"
    yield Occurrence(
        kind="sensor_failed",
        model=model,
        group=model,
        subject=name,
        title=f"{kind} {name} fails",
        detail=innermost(data.error) if data.error else "no cause was logged",
        link=ui.automation_url(
            state.origin.location_name, "sensors" if sensor else "schedules", name
        ),
        at=datetime.fromtimestamp(well.timestamp if well else 0, UTC),
    )


def _newest(
    instance: dg.DagsterInstance, state: InstigatorState, statuses: list[TickStatus]
) -> InstigatorTick | None:
    ticks = instance.get_ticks(
        state.instigator_origin_id, state.selector_id, limit=1, statuses=statuses
    )
    return ticks[0] if ticks else None
