"""What a partition is compared with: rows, answers and labels from before a version was trained."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING

from mlops_assets.adapters.ports import Ledger, ModelFiles, TableStore
from mlops_assets.components.definition import ModelDefinition
from mlops_assets.components.stages.predictions import ASKED_ROW, SHADOW
from mlops_assets.components.stages.training_sets import find_training_set
from mlops_assets.lifecycle.drift.columns import OtherColumn
from mlops_assets.lifecycle.errors import ArtifactError, FeatureError, RefusedError
from mlops_assets.lifecycle.performance import PREDICTION
from mlops_assets.lifecycle.point_in_time import KNOWN_AT, PREDICTED_AT
from mlops_assets.lifecycle.training import predict_probability

if TYPE_CHECKING:
    import polars as pl

    from mlops_assets.lifecycle.rollout.state import Champion

DAY = "day"
"""The local date of a row, added to whatever is compared."""


@dataclass(frozen=True)
class OtherColumns:
    """Predictions and labels to compare, and a sentence for each that cannot be."""

    columns: tuple[OtherColumn, ...]
    left_out: tuple[str, ...]


def read_reference(model: ModelDefinition, as_of: str, tables: TableStore) -> pl.DataFrame:
    """The feature rows before a training date that later ones are compared with."""
    rows = tables.read(model.table("features"), _reference_keys(model, as_of))
    return with_day(model, rows, model.spec.entities.time)


def read_other_columns(
    model: ModelDefinition,
    key: str,
    champion: Champion,
    predictions: pl.DataFrame,
    tables: TableStore,
    ledger: Ledger,
    files: ModelFiles,
    now: datetime,
) -> OtherColumns:
    """What the champion answered in a partition beside its answers to the rows it was tested on,
    which it was not fitted on; and the labels there, as far as they are known ``now``, beside
    those of the reference partitions.
    """
    columns: list[OtherColumn] = []
    left_out: list[str] = []
    builders: tuple[Callable[[], OtherColumn], ...] = (
        partial(_predicted, model, champion, predictions, tables, ledger, files),
        partial(_labelled, model, key, champion, tables, now),
    )
    for build in builders:
        try:
            columns.append(build())
        except (ArtifactError, FeatureError, RefusedError) as error:
            left_out.append(str(error))
    return OtherColumns(tuple(columns), tuple(left_out))


def with_day(model: ModelDefinition, table: pl.DataFrame, moment: str) -> pl.DataFrame:
    """The rows with the local date of their column ``moment``."""
    import polars as pl

    local = pl.col(moment).dt.convert_time_zone(model.calendar.timezone)
    return table.with_columns(local.dt.date().alias(DAY))


def _reference_keys(model: ModelDefinition, as_of: str) -> tuple[str, ...]:
    return model.calendar.before(as_of, model.spec.monitoring.reference)


def _predicted(
    model: ModelDefinition,
    champion: Champion,
    predictions: pl.DataFrame,
    tables: TableStore,
    ledger: Ledger,
    files: ModelFiles,
) -> OtherColumn:
    """Raises ``RefusedError`` where the champion has not answered, or what it was tested on is
    gone; ``ArtifactError`` and ``FeatureError`` where it cannot answer any more."""
    import polars as pl

    answered = predictions.filter(
        (pl.col("version") == champion.version) & pl.col("arm").ne_missing(SHADOW)
    ).unique(ASKED_ROW, keep="first", maintain_order=True)
    if answered.is_empty():
        raise RefusedError(f"predictions: {champion.version} answered nothing in this partition")
    tested = _read_tested(model, champion, tables, ledger)
    if not files.holds(champion.digest):
        raise RefusedError(f"predictions: the files of {champion.version} are not there")
    fitted, signature = files.load(champion.digest)
    expected = pl.Series(predict_probability(fitted, tested, signature.features))
    name = _free_name(model)
    return OtherColumn(
        column=name,
        kind="numeric",
        role="prediction",
        reference=tested.select(expected.alias(name), DAY),
        current=with_day(model, answered, "moment").select(pl.col(PREDICTION).alias(name), DAY),
    )


def _read_tested(
    model: ModelDefinition, champion: Champion, tables: TableStore, ledger: Ledger
) -> pl.DataFrame:
    """The feature rows of the partitions a champion was tested on, labelled or not: callers ask
    about all of them."""
    registered = ledger.latest("version", model.name, champion.version)
    planned = find_training_set(model, registered.body, ledger) if registered else None
    if planned is None:
        raise RefusedError(f"predictions: what {champion.version} was tested on is not recorded")
    rows = tables.read(model.table("features"), planned.test)
    if rows.is_empty():
        raise RefusedError(
            f"predictions: the rows {champion.version} was tested on "
            f"({', '.join(planned.test)}) are not there"
        )
    return with_day(model, rows, model.spec.entities.time)


def _labelled(
    model: ModelDefinition, key: str, champion: Champion, tables: TableStore, now: datetime
) -> OtherColumn:
    """Raises ``RefusedError`` while the partition has no label."""
    import polars as pl

    label, table = model.spec.label, model.table("labels")
    if tables.version(table) is None:
        raise RefusedError("labels: none was ever materialized")
    keys = _reference_keys(model, champion.train_as_of)
    rows = tables.read(table, [*keys, key], columns=[label, PREDICTED_AT, KNOWN_AT, "partition"])
    known = with_day(model, rows, PREDICTED_AT).filter(pl.col(KNOWN_AT) <= now).drop_nulls(label)
    # Two levels, told apart as such: a rate, and not a quantity with tails.
    named = known.with_columns(pl.col(label).cast(pl.Int8).cast(pl.String))
    current = named.filter(pl.col("partition") == key).select(label, DAY)
    if current.is_empty():
        raise RefusedError("labels: this partition has none yet")
    reference = named.filter(pl.col("partition") != key).select(label, DAY)
    return OtherColumn(label, "categorical", "label", reference, current)


def _free_name(model: ModelDefinition) -> str:
    """What predictions are called beside features, one of which may have their usual name."""
    taken = {feature.name for feature in model.features} | {model.spec.label}
    return f"predicted_{PREDICTION}" if PREDICTION in taken else PREDICTION
