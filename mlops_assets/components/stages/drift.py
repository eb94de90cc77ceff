"""The rows an endpoint saw, compared with those its version was trained on."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mlops_assets.adapters.journal import read_champion, write_once
from mlops_assets.adapters.ports import Clock, Ledger, Reports, TableStore
from mlops_assets.components.definition import ModelDefinition
from mlops_assets.components.stages.predictions import read_predictions, select_features
from mlops_assets.lifecycle.drift.measure import measure_drift
from mlops_assets.lifecycle.drift.report import DriftReport
from mlops_assets.lifecycle.errors import RefusedError

if TYPE_CHECKING:
    import polars as pl

DAY = "day"


@dataclass(frozen=True)
class MeasuredDrift:
    """A drift report of one partition against the version that served, and its page if any."""

    report: DriftReport
    version: str
    page: Path | None


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


def _with_day(model: ModelDefinition, table: pl.DataFrame, moment: str) -> pl.DataFrame:
    import polars as pl

    local = pl.col(moment).dt.convert_time_zone(model.calendar.timezone)
    return table.with_columns(local.dt.date().alias(DAY))


def _time(model: ModelDefinition) -> str:
    return model.spec.entities.time
