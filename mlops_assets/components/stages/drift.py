"""The rows an endpoint saw, compared with those its version was trained on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from mlops_assets.adapters.drift_journal import write_drift
from mlops_assets.adapters.journal import read_champion
from mlops_assets.adapters.ports import (
    Clock,
    Ledger,
    ModelFiles,
    ReportPage,
    Reports,
    TableStore,
)
from mlops_assets.components.definition import ModelDefinition
from mlops_assets.components.stages.predictions import read_predictions, select_features
from mlops_assets.components.stages.reference import (
    DAY,
    read_other_columns,
    read_reference,
    with_day,
)
from mlops_assets.lifecycle.drift.columns import OtherColumn
from mlops_assets.lifecycle.drift.measure import measure_drift
from mlops_assets.lifecycle.drift.report import DriftReport
from mlops_assets.lifecycle.errors import RefusedError, ReportError
from mlops_assets.lifecycle.performance import PerformanceReport
from mlops_assets.lifecycle.triage import Triage, triage

if TYPE_CHECKING:
    import polars as pl

Render = Literal["alarms", "always", "never"]
"""When the Evidently page is drawn: where a verdict is not green or the triage names a cause, each
time, or not at all."""


@dataclass(frozen=True)
class MeasuredDrift:
    """A drift report of one partition against the version that serves, and what is behind it.

    ``left_out`` says which columns could not be compared, and why. ``page`` is the drawn page, if
    any was asked for; ``undrawn`` says why it could not be drawn.
    """

    report: DriftReport
    version: str
    triage: Triage
    left_out: tuple[str, ...] = ()
    page: ReportPage | None = None
    undrawn: str | None = None


def compare_with_reference(
    model: ModelDefinition,
    key: str,
    tables: TableStore,
    ledger: Ledger,
    files: ModelFiles,
    reports: Reports,
    clock: Clock,
    *,
    render: Render = "alarms",
) -> MeasuredDrift:
    """Drift of a partition's rows, answers and labels from what the champion was trained on.

    Raises ``RefusedError`` before there is a champion: nothing to compare with.
    """
    champion = read_champion(ledger, model.name)
    if champion is None:
        raise RefusedError(f"{model.name}: no version serves yet; release one before monitoring it")
    reference = read_reference(model, champion.train_as_of, tables)
    predictions = read_predictions(model, [key], tables)
    current = with_day(model, select_features(model, predictions), "moment")
    now = clock.now()
    other = read_other_columns(model, key, champion, predictions, tables, ledger, files, now)
    report = _measure(model, champion.digest, reference, current, ledger, other.columns)
    cause = triage(report, read_entry(model, key, champion.version, ledger))
    # Before the picture: what was found has to outlive a fault in drawing it.
    write_drift(ledger, model.name, key, champion.version, report, cause, now)
    measured = MeasuredDrift(report, champion.version, cause, other.left_out)
    if not (report.columns and _is_drawn(report, cause, render)):
        return measured
    name = f"{model.name}/drift-{key}-{champion.version}"
    beside = [
        _beside(table, [getattr(column, side) for column in other.columns])
        for side, table in (("reference", reference), ("current", current))
    ]
    return _draw(measured, name, beside[0], beside[1], reports)


def _is_drawn(report: DriftReport, cause: Triage, render: Render) -> bool:
    """A page takes many seconds; a column or two that moved with the season are worth none."""
    green = report.verdict.passed and report.intact.passed and cause.cause == "nothing"
    return render == "always" or (render == "alarms" and not green)


def read_entry(
    model: ModelDefinition, key: str, version: str, ledger: Ledger
) -> PerformanceReport | None:
    """How good a version's answers in a partition were, as last recorded; None if never."""
    row = ledger.latest("performance", model.name, key)
    entry = row.body.get(version) if row else None
    return PerformanceReport(**entry) if entry else None


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
    return _measure(model, digest, reference, with_day(model, current, moment), ledger)


def _measure(
    model: ModelDefinition,
    digest: str,
    reference: pl.DataFrame,
    current: pl.DataFrame,
    ledger: Ledger,
    also: Sequence[OtherColumn] = (),
) -> DriftReport:
    evaluation = ledger.latest("evaluation", model.name, digest)
    weights = evaluation.body["importance"] if evaluation else None
    policy = model.spec.monitoring
    return measure_drift(
        reference, current, model.features, policy, day=DAY, weights=weights, also=also
    )


def _beside(table: pl.DataFrame, others: Sequence[pl.DataFrame]) -> pl.DataFrame:
    """All columns of one side in one table, null where a column has fewer rows than another."""
    import polars as pl

    columns = [other.drop(DAY) for other in others]
    taken = {name for column in columns for name in column.columns}
    return pl.concat([table.drop(taken, strict=False), *columns], how="horizontal_extend")


def _draw(
    measured: MeasuredDrift,
    name: str,
    reference: pl.DataFrame,
    current: pl.DataFrame,
    reports: Reports,
) -> MeasuredDrift:
    try:
        page = reports.drift(name, reference, current, measured.report)
    except ReportError as error:
        return replace(measured, undrawn=str(error))
    return replace(measured, page=page)
