"""The rows an endpoint saw, compared with those its version was trained on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
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
"""When the Evidently page is drawn: where a verdict failed or the triage names a cause, each
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
    weights = _read_importance(model, champion.digest, ledger)
    asked = _keep_asked(model, weights, predictions, ledger)
    current = with_day(model, select_features(model, asked), "moment")
    now = clock.now()
    other = read_other_columns(model, key, champion, predictions, tables, ledger, files, now)
    report = _measure(model, weights, reference, current, other.columns)
    others = predictions.height - asked.height
    left_out = (*_say_left_out(model, champion.version, weights, others), *other.left_out)
    cause = triage(report, read_entry(model, key, champion.version, ledger))
    # Before the picture: what was found has to outlive a fault in drawing it.
    write_drift(ledger, model.name, key, champion.version, report, cause, now)
    measured = MeasuredDrift(report, champion.version, cause, left_out)
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
    outcomes = {report.verdict.outcome, report.intact.outcome}
    red = "failed" in outcomes or cause.cause != "nothing"
    return render == "always" or (render == "alarms" and red)


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
    weights = _read_importance(model, digest, ledger)
    return _measure(model, weights, reference, with_day(model, current, moment))


def _measure(
    model: ModelDefinition,
    weights: Mapping[str, float],
    reference: pl.DataFrame,
    current: pl.DataFrame,
    also: Sequence[OtherColumn] = (),
) -> DriftReport:
    policy = model.spec.monitoring
    # What a version does not know its callers need not send: nulls there are no fault.
    features = [f for f in model.features if not weights or f.name in weights]
    return measure_drift(reference, current, features, policy, day=DAY, weights=weights, also=also)


def _read_importance(model: ModelDefinition, digest: str, ledger: Ledger) -> Mapping[str, float]:
    """How much a version rests on each feature it knows; empty where that was never measured."""
    evaluation = ledger.latest("evaluation", model.name, digest)
    return evaluation.body["importance"] if evaluation else {}


def _keep_asked(
    model: ModelDefinition,
    weights: Mapping[str, float],
    predictions: pl.DataFrame,
    ledger: Ledger,
) -> pl.DataFrame:
    """The answers of versions that know all features to compare: others were not sent them all,
    as in the partition in which a version with one feature more came to serve."""
    import polars as pl

    compared = weights.keys() & {feature.name for feature in model.features}

    def knows(version: str) -> bool:
        row = ledger.latest("version", model.name, version)
        own = _read_importance(model, row.body["digest"], ledger).keys() if row else set()
        return not own or own >= compared

    versions = [version for version in predictions["version"].unique() if knows(version)]
    return predictions.filter(pl.col("version").is_in(versions))


def _say_left_out(
    model: ModelDefinition, version: str, weights: Mapping[str, float], others: int
) -> Iterator[str]:
    """Features of the champion or of today's model that the other has not, and the answers that
    were left out."""
    known, today = weights.keys(), {feature.name for feature in model.features}
    if new := sorted(today - known if known else ()):
        yield f"features: {version} does not know {', '.join(new)}"
    if gone := sorted(known - today):
        yield f"features: {version} rests on {', '.join(gone)}, gone from the model"
    if others:
        yield f"features: {others} answers of versions that do not know all of them"


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
