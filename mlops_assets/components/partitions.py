"""Dagster's partitions from a model's calendar."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import date, datetime
from zoneinfo import ZoneInfo

import dagster as dg

from mlops_assets.components.definition import ModelDefinition
from mlops_assets.lifecycle.calendar import Calendar
from mlops_assets.lifecycle.sources import UNPARTITIONED, Source


def build_partitions(
    calendar: Calendar, *, begun: bool = False
) -> dg.TimeWindowPartitionsDefinition:
    """The calendar as time windows; keys are the same on both sides.

    Dagster offers what has ended; with ``begun`` also the partition that now lies in.
    """
    schedule = {"daily": "0 0 * * *", "weekly": "0 0 * * 1", "monthly": "0 0 1 * *"}
    zone = ZoneInfo(calendar.timezone)
    return dg.TimeWindowPartitionsDefinition(
        start=datetime(calendar.start.year, calendar.start.month, calendar.start.day, tzinfo=zone),
        end=datetime(calendar.end.year, calendar.end.month, calendar.end.day, tzinfo=zone),
        cron_schedule=schedule[calendar.cadence],
        fmt="%Y-%m-%d",
        timezone=calendar.timezone,
        end_offset=int(begun),
    )


def build_training_partitions(model: ModelDefinition) -> dg.TimeWindowPartitionsDefinition:
    """The partitions a model can be trained as of: those with enough history before them.

    Only what lies before a partition is trained on, so one that has begun is not waited for.
    """
    needed = model.spec.training.split.needed
    keys = model.calendar.keys
    first = keys[min(needed, len(keys) - 1)]
    calendar = replace(model.calendar, start=date.fromisoformat(first))
    return build_partitions(calendar, begun=True)


def build_version_partitions(model: ModelDefinition) -> dg.DynamicPartitionsDefinition:
    """One partition per registered model version, added when it is registered."""
    return dg.DynamicPartitionsDefinition(name=f"{model.name}__versions")


def source_partitions(
    model: ModelDefinition, source: Source
) -> dg.TimeWindowPartitionsDefinition | None:
    """The partitions of a source, None when it has none."""
    return build_partitions(model.calendar) if source.partitioned_by else None


def keys_of(context: dg.AssetExecutionContext, source: Source | None = None) -> tuple[str, ...]:
    """The partitions a step is to materialize: a range runs as one step.

    In one run with partitioned assets, a ``source`` without partitions has the one it always has.
    """
    if source is not None and not source.partitioned_by:
        return (UNPARTITIONED,)
    return tuple(context.partition_keys)


def range_tags(keys: Sequence[str]) -> dict[str, str]:
    """The run tags by which one run materializes all partitions from the first to the last."""
    return {
        "dagster/asset_partition_range_start": keys[0],
        "dagster/asset_partition_range_end": keys[-1],
    }


def earlier(first: int, last: int) -> dg.TimeWindowPartitionMapping:
    """A mapping to the partitions from ``first`` to ``last`` away, as far as they exist."""
    return dg.TimeWindowPartitionMapping(
        start_offset=first, end_offset=last, allow_nonexistent_upstream_partitions=True
    )
