"""From collected predictions to performance, drift, and the decision to train again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mlops_assets.adapters.journal import read_champion, write_once
from mlops_assets.adapters.ports import Clock, Ledger, Reports, TableStore
from mlops_assets.components.definition import ModelDefinition
from mlops_assets.components.stages.predictions import SHADOW, read_predictions, select_features
from mlops_assets.lifecycle.errors import RefusedError
from mlops_assets.lifecycle.monitoring import DriftReport, measure_drift
from mlops_assets.lifecycle.performance import PerformanceReport, measure_performance
from mlops_assets.lifecycle.retraining import (
    DriftWindow,
    RetrainingDecision,
    decide_retraining,
)

if TYPE_CHECKING:
    import polars as pl

DAY = "day"
AS_SHADOW = " (shadow)"
"""The end of a performance entry of answers that nobody got."""
_ENTRY = "entry of performance"


@dataclass(frozen=True)
class MeasuredDrift:
    """A drift report of one partition against the version that served, and its page if any."""

    report: DriftReport
    version: str
    page: Path | None


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


def compare_with_reference(
    model: ModelDefinition,
    key: str,
    tables: TableStore,
    ledger: Ledger,
    reports: Reports,
    clock: Clock,
    *,
    always_render: bool,
) -> MeasuredDrift:
    """Drift of a partition's predictions from the data the champion was trained on.

    Raises ``RefusedError`` before there is a champion: nothing to compare with.
    """
    champion = read_champion(ledger, model.name)
    if champion is None:
        raise RefusedError(f"{model.name}: no version serves yet; release one before monitoring it")
    reference = read_reference(model, champion.train_as_of, tables)
    asked = select_features(model, read_predictions(model, [key], tables))
    current = _with_day(model, asked, "moment")
    report = _measure(model, champion.digest, reference, current, ledger)
    body = {
        "version": champion.version,
        "outcome": report.verdict.outcome,
        "reason": report.verdict.reason,
        "share": report.share,
        "columns": [asdict(column) for column in report.columns],
    }
    # Before the picture: what was found has to outlive a fault in drawing it.
    write_once(ledger, "drift", model.name, key, body, clock.now())
    drifted = report.verdict.outcome == "failed"
    page = (
        reports.drift(f"{model.name}/drift-{key}-{champion.version}", reference, current, report)
        if report.columns and (drifted or always_render)
        else None
    )
    return MeasuredDrift(report, champion.version, page)


def read_reference(model: ModelDefinition, as_of: str, tables: TableStore) -> pl.DataFrame:
    """The rows before a training date that later ones are compared with."""
    before = model.calendar.before(as_of, model.spec.monitoring.reference)
    return _with_day(model, tables.read(model.table("features"), before), _time(model))


def measure_shift(
    model: ModelDefinition,
    as_of: str,
    digest: str,
    current: pl.DataFrame,
    moment: str,
    tables: TableStore,
    ledger: Ledger,
) -> DriftReport:
    """Drift of rows, asked about at the times in column ``moment``, from the data that the model
    with this digest was trained on as of a partition."""
    reference = read_reference(model, as_of, tables)
    return _measure(model, digest, reference, _with_day(model, current, moment), ledger)


def _measure(
    model: ModelDefinition,
    digest: str,
    reference: pl.DataFrame,
    current: pl.DataFrame,
    ledger: Ledger,
) -> DriftReport:
    evaluation = ledger.latest("evaluation", model.name, digest)
    weights = evaluation.body["importance"] if evaluation else None
    policy = model.spec.monitoring
    return measure_drift(reference, current, model.features, policy, day=DAY, weights=weights)


def consider_retraining(model: ModelDefinition, ledger: Ledger) -> RetrainingDecision:
    """What the policy says about the drift seen so far. Reads only."""
    latest = {row.subject: row.body for row in ledger.history("drift", model.name)}
    windows = [
        DriftWindow(key, body["version"], body["outcome"], body["reason"])
        for key, body in latest.items()
    ]
    asked = [
        (row.subject, row.body["as_of"])
        for row in ledger.history("retraining", model.name)
        if row.body["action"] == "retrain"
    ]
    return decide_retraining(
        windows,
        read_champion(ledger, model.name),
        model.calendar,
        model.spec.retraining,
        asked=asked,
    )


def record_retraining(
    model: ModelDefinition, key: str, ledger: Ledger, clock: Clock
) -> RetrainingDecision:
    """Decide and keep the decision under the newest window it rests on."""
    decision = consider_retraining(model, ledger)
    subject = decision.window or key
    write_once(ledger, "retraining", model.name, subject, asdict(decision), clock.now())
    return decision


def _age(entry: str) -> tuple[int, bool]:
    """What sorts entries of performance by version, a version's shadow after itself."""
    version = entry.removesuffix(AS_SHADOW)
    return int(version.removeprefix("v")), version != entry


def _with_day(model: ModelDefinition, table: pl.DataFrame, moment: str) -> pl.DataFrame:
    import polars as pl

    local = pl.col(moment).dt.convert_time_zone(model.calendar.timezone)
    return table.with_columns(local.dt.date().alias(DAY))


def _time(model: ModelDefinition) -> str:
    return model.spec.entities.time
