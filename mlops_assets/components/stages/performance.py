"""How good logged answers were, as far as labels have arrived."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict

from mlops_assets.adapters.journal import write_once
from mlops_assets.adapters.ports import Clock, Ledger, TableStore
from mlops_assets.components.definition import ModelDefinition
from mlops_assets.components.stages.predictions import SHADOW, read_predictions
from mlops_assets.lifecycle.performance import PerformanceReport, measure_performance

AS_SHADOW = " (shadow)"
"""The end of a performance entry of answers that nobody got."""
_ENTRY = "entry of performance"


def join_labels(
    model: ModelDefinition, keys: Sequence[str], tables: TableStore
) -> dict[str, PerformanceReport]:
    """Performance per version, oldest first, as far as labels have arrived.

    What a version answered as a shadow is an entry of its own, ``v3 (shadow)``: labels compare it
    before it gets any traffic. A row that a version was asked about twice counts once.
    """
    import polars as pl

    predictions = read_predictions(model, keys, tables)
    copied = pl.col("arm").eq_missing(SHADOW)
    entry = pl.concat_str("version", pl.when(copied).then(pl.lit(AS_SHADOW)).otherwise(pl.lit("")))
    answers = predictions.with_columns(entry.alias(_ENTRY)).unique(
        [_ENTRY, "request_id", "row"], keep="first", maintain_order=True
    )
    key, label = model.spec.entities.key, model.spec.label
    labels = tables.read(model.table("labels"), keys, columns=[key, label])
    joined = answers.join(labels, left_on="entity", right_on=key, how="left")
    by_entry = {
        str(name): rows for (name,), rows in joined.partition_by(_ENTRY, as_dict=True).items()
    }
    return {name: measure_performance(by_entry[name], label) for name in sorted(by_entry, key=_age)}


def find_newest(reports: Mapping[str, PerformanceReport]) -> PerformanceReport | None:
    """That of the newest version that callers got answers from."""
    served = [report for entry, report in reports.items() if not entry.endswith(AS_SHADOW)]
    return served[-1] if served else None


def record_performance(
    model: ModelDefinition,
    key: str,
    reports: dict[str, PerformanceReport],
    ledger: Ledger,
    clock: Clock,
) -> None:
    """Keep what labels said about each version in a partition."""
    body = {version: asdict(report) for version, report in reports.items()}
    write_once(ledger, "performance", model.name, key, body, clock.now())


def _age(entry: str) -> tuple[int, bool]:
    """What sorts entries of performance by version, a version's shadow after itself."""
    version = entry.removesuffix(AS_SHADOW)
    return int(version.removeprefix("v")), version != entry
