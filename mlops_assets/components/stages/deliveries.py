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
from mlops_assets.lifecycle.validation import (
    USUAL,
    find_thin,
    judge_quarantine,
    split_quarantine,
)


@dataclass(frozen=True)
class Deliveries:
    """Per partition: how many rows of the entities can be read, and why others cannot."""

    rows: Mapping[str, int]
    refused: Mapping[str, str]


def look_at_deliveries(
    model: ModelDefinition, keys: Sequence[str], files: SourceFiles
) -> Deliveries:
    """Read and validate the raw files of some partitions as an ingestion would."""
    rows: dict[str, int] = {}
    refused: dict[str, str] = {}
    for source in model.sources.values():
        if not source.partitioned_by:
            continue
        parsed = parse_partitions(model, source, keys, files)
        refused |= {key: str(error) for key, error in parsed.errors.items()}
        for key, frame in parsed.partitions.items():
            aside = split_quarantine(frame, source).quarantined.height
            verdict = judge_quarantine(frame.height, aside, model.spec.validation)
            if not verdict.passed:
                refused[key] = f"{source.path}: {verdict.reason}"
            if source.name == model.spec.entities.source:
                rows[key] = frame.height
    return Deliveries(rows, refused)


def find_grown(
    model: ModelDefinition, keys: Sequence[str], files: SourceFiles, tables: TableStore
) -> tuple[str, ...]:
    """Partitions that have fewer rows than usual, and whose files hold more by now."""
    table = model.table(f"raw_{model.spec.entities.source}")
    if tables.version(table) is None:
        return ()
    there = count_rows(tables, table, model.calendar, keys)
    thin = find_thin(there, keys, model.spec.validation)
    if not thin:
        return ()
    now = look_at_deliveries(model, list(thin), files)
    return tuple(
        key for key in thin if now.rows.get(key, 0) > there.get(key, 0) and key not in now.refused
    )


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
    refused = look_at_deliveries(model, ordered, files).refused if len(ordered) > 1 else {}
    return plan_ingestion(model.calendar, now, lookback, ordered, changing, refused)
