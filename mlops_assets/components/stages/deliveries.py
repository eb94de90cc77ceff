"""What raw files hold at the moment, looked at without writing anything."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from mlops_assets.adapters.ports import SourceFiles, TableStore
from mlops_assets.components.definition import ModelDefinition
from mlops_assets.components.stages.data import count_rows, parse_partitions
from mlops_assets.lifecycle.ingestion import (
    IngestionPlan,
    find_due,
    plan_ingestion,
)
from mlops_assets.lifecycle.sources import Source
from mlops_assets.lifecycle.validation import (
    USUAL,
    find_thin,
    judge_quarantine,
    split_quarantine,
)


@dataclass(frozen=True)
class Deliveries:
    """Per source and partition: how many rows can be read; and why others cannot."""

    rows: Mapping[str, Mapping[str, int]]
    refused: Mapping[str, str]


def look_at_deliveries(
    model: ModelDefinition, keys: Sequence[str], files: SourceFiles, tables: TableStore
) -> Deliveries:
    """Read and validate the raw files of some partitions as an ingestion would."""
    rows: dict[str, dict[str, int]] = {}
    refused: dict[str, str] = {}
    for source in _partitioned(model):
        parsed = parse_partitions(model, source, keys, files, tables)
        refused |= {key: str(error) for key, error in parsed.errors.items()}
        for key, frame in parsed.partitions.items():
            aside = split_quarantine(frame, source).quarantined.height
            verdict = judge_quarantine(frame.height, aside, model.spec.validation)
            if not verdict.passed:
                refused[key] = f"{source.path}: {verdict.reason}"
            rows.setdefault(source.name, {})[key] = frame.height
    return Deliveries(rows, refused)


def find_grown(
    model: ModelDefinition, keys: Sequence[str], files: SourceFiles, tables: TableStore
) -> tuple[str, ...]:
    """Partitions that have fewer rows of a source than usual, and whose files hold more by now."""
    there = {source.name: _count_raw(model, source, keys, tables) for source in _partitioned(model)}
    thin = {name: find_thin(counts, keys, model.spec.validation) for name, counts in there.items()}
    wanted = sorted({key for found in thin.values() for key in found})
    if not wanted:
        return ()
    now = look_at_deliveries(model, wanted, files, tables)
    grown = {
        key
        for name, found in thin.items()
        for key in found
        if now.rows.get(name, {}).get(key, 0) > there[name].get(key, 0)
    }
    return tuple(sorted(grown - now.refused.keys()))


def _count_raw(
    model: ModelDefinition, source: Source, keys: Sequence[str], tables: TableStore
) -> dict[str, int]:
    table = model.table(f"raw_{source.name}")
    return {} if tables.version(table) is None else count_rows(tables, table, model.calendar, keys)


def _partitioned(model: ModelDefinition) -> list[Source]:
    return [source for source in model.sources.values() if source.partitioned_by]


def plan_deliveries(
    model: ModelDefinition,
    now: datetime,
    built: Mapping[str, int],
    inputs: Mapping[str, int],
    files: SourceFiles,
    tables: TableStore,
) -> IngestionPlan:
    """What to ingest at ``now``: what is due, and those of the last partitions that have grown.

    Of several that are due each is looked at first: one that is broken must not stop the others.
    """
    lookback = model.spec.entities.lookback
    due = find_due(model.calendar, now, lookback, built, inputs)
    recent = [key for key in model.calendar.ended(now)[-USUAL:] if key in built]
    grown = find_grown(model, recent, files, tables)
    ordered = sorted({*due, *grown})
    changing = {*grown, *(key for key in due if key not in built)}
    several = len(ordered) > 1
    refused = look_at_deliveries(model, ordered, files, tables).refused if several else {}
    return plan_ingestion(model.calendar, now, lookback, ordered, changing, refused)
