"""How good logged answers were: estimated at once, measured as far as labels have arrived."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from mlops_assets.adapters.journal import write_once
from mlops_assets.adapters.ports import Clock, Ledger, ModelFiles, TableStore
from mlops_assets.components.definition import ModelDefinition
from mlops_assets.components.stages.confidence import load_confidence
from mlops_assets.components.stages.predictions import ASKED_ROW, SHADOW, read_predictions
from mlops_assets.components.stages.rollout_evidence import decision_threshold
from mlops_assets.lifecycle.performance import (
    DAY,
    PREDICTION,
    SETTLED,
    PerformanceReport,
    judge_gap,
    measure_performance,
)
from mlops_assets.lifecycle.point_in_time import KNOWN_AT
from mlops_assets.lifecycle.verdicts import Verdict

if TYPE_CHECKING:
    import polars as pl

AS_SHADOW = " (shadow)"
"""The end of a performance entry of answers that nobody got."""
_ENTRY = "entry of performance"


def measure_versions(
    model: ModelDefinition,
    keys: Sequence[str],
    tables: TableStore,
    ledger: Ledger,
    files: ModelFiles,
    clock: Clock,
) -> dict[str, PerformanceReport]:
    """Performance per version, oldest first, as far as labels are known by now.

    What a version answered as a shadow is an entry of its own, ``v3 (shadow)``: labels compare it
    before it gets any traffic. A row that a version was asked about twice counts once.
    """
    answers = _join_labels(model, keys, tables, clock.now())
    by_entry = {
        str(entry): rows for (entry,), rows in answers.partition_by(_ENTRY, as_dict=True).items()
    }
    reports: dict[str, PerformanceReport] = {}
    for entry in sorted(by_entry, key=_age):
        version = entry.removesuffix(AS_SHADOW)
        confidence, note = load_confidence(model, version, tables, ledger, files, clock)
        reports[entry] = measure_performance(
            by_entry[entry],
            model.spec.label,
            confidence=confidence,
            threshold=decision_threshold(model),
            note=note,
            seed=model.spec.training.seed,
        )
    return reports


def find_newest(reports: Mapping[str, PerformanceReport]) -> PerformanceReport | None:
    """That of the newest version that callers got answers from."""
    served = _served(reports)
    return served[-1][1] if served else None


def judge_versions(reports: Mapping[str, PerformanceReport]) -> Verdict:
    """Whether the answers were as good as promised: those of the newest version, unless those of
    another beside it were not. Beside a canary's few rows the champion answers most."""
    served = _served(reports)
    if len(served) < 2:
        return judge_gap(find_newest(reports))
    judged = [(entry, judge_gap(report)) for entry, report in reversed(served)]
    entry, verdict = next((each for each in judged if each[1].outcome == "failed"), judged[0])
    return replace(verdict, reason=f"{entry}: {verdict.reason}")


def _served(reports: Mapping[str, PerformanceReport]) -> list[tuple[str, PerformanceReport]]:
    return [(entry, report) for entry, report in reports.items() if not entry.endswith(AS_SHADOW)]


def record_performance(
    model: ModelDefinition,
    key: str,
    reports: Mapping[str, PerformanceReport],
    ledger: Ledger,
    clock: Clock,
) -> None:
    """Keep what is known about each version in a partition: a revision, unless nothing changed."""
    body = {entry: asdict(report) for entry, report in reports.items()}
    write_once(ledger, "performance", model.name, key, body, clock.now())


def read_revisions(
    ledger: Ledger, model: str, key: str
) -> list[tuple[datetime, dict[str, PerformanceReport]]]:
    """All that was ever known about a partition by entry (``v3``, ``v3 (shadow)``), and since
    when, oldest first."""
    rows = ledger.history("performance", model, key)
    return [(row.at, _read_reports(row.body)) for row in rows]


def _read_reports(body: Mapping[str, Any]) -> dict[str, PerformanceReport]:
    return {entry: PerformanceReport(**body[entry]) for entry in sorted(body, key=_age)}


def _join_labels(
    model: ModelDefinition, keys: Sequence[str], tables: TableStore, now: datetime
) -> pl.DataFrame:
    """Each answered row once, with its label, its local day, and whether its label is settled."""
    import polars as pl

    predictions = read_predictions(model, keys, tables)
    copied = pl.col("arm").eq_missing(SHADOW)
    entry = pl.concat_str("version", pl.when(copied).then(pl.lit(AS_SHADOW)).otherwise(pl.lit("")))
    answers = predictions.with_columns(entry.alias(_ENTRY)).unique(
        [_ENTRY, *ASKED_ROW], keep="first", maintain_order=True
    )
    local = pl.col("moment").dt.convert_time_zone(model.calendar.timezone)
    return (
        answers.select(_ENTRY, "entity", PREDICTION, local.dt.date().alias(DAY))
        .join(
            _read_labels(model, keys, tables, now), on="entity", how="left", maintain_order="left"
        )
        # A row that cannot be told apart waits for no label.
        .with_columns(
            (pl.col(SETTLED).fill_null(value=False) | pl.col("entity").is_null()).alias(SETTLED)
        )
    )


def _read_labels(
    model: ModelDefinition, keys: Sequence[str], tables: TableStore, now: datetime
) -> pl.DataFrame:
    """Entity, label, and whether that is all there will be: no label is known before its time."""
    import polars as pl

    key, label, table = model.spec.entities.key, model.spec.label, model.table("labels")
    if tables.version(table) is None:
        return pl.DataFrame(schema={"entity": pl.String, label: pl.Boolean, SETTLED: pl.Boolean})
    rows = tables.read(table, keys).unique(key, keep="last", maintain_order=True)
    settled = pl.lit(value=True)
    if KNOWN_AT in rows.columns:
        settled = pl.col(KNOWN_AT).is_null() | (pl.col(KNOWN_AT) <= now)
    return rows.select(
        pl.col(key).cast(pl.String).alias("entity"),
        pl.when(settled).then(pl.col(label)).alias(label),
        settled.alias(SETTLED),
    )


def _age(entry: str) -> tuple[int, bool]:
    """What sorts entries of performance by version, a version's shadow after itself."""
    version = entry.removesuffix(AS_SHADOW)
    return int(version.removeprefix("v")), version != entry
