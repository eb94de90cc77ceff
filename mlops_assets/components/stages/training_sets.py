"""Which rows a model is fitted, tuned, calibrated and tested on, and reading exactly these."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from mlops_assets.adapters.journal import write_once
from mlops_assets.adapters.ports import Clock, Dataset, Ledger, TableStore
from mlops_assets.components.definition import ModelDefinition
from mlops_assets.lifecycle.digests import digest_value, fingerprint
from mlops_assets.lifecycle.errors import TrainingError
from mlops_assets.lifecycle.point_in_time import PREDICTED_AT
from mlops_assets.lifecycle.splits import (
    Rows,
    Split,
    TrainingSet,
    judge_split,
    plan_training_set,
    split_rows,
)
from mlops_assets.lifecycle.verdicts import Verdict

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import polars as pl


@dataclass(frozen=True)
class PlannedTrainingSet:
    """A training set with the rows in each part and the verdict on their order."""

    training_set: TrainingSet
    verdict: Verdict


def plan(
    model: ModelDefinition, as_of: str, rows: Rows, tables: TableStore, ledger: Ledger, clock: Clock
) -> PlannedTrainingSet:
    """Decide which rows a model as of a partition is fitted and tested on, and record it."""
    versions = {name: tables.version(model.table(name)) for name in ("features", "labels")}
    missing = [name for name, version in versions.items() if version is None]
    if missing:
        raise TrainingError(f"training set: {', '.join(missing)} were never materialized")
    draft = plan_training_set(
        model.calendar, as_of, model.spec.training.split, rows=rows, versions={}, fingerprint=""
    )
    features = tables.read(model.table("features"), draft.partitions)
    labels = tables.read(model.table("labels"), draft.partitions)
    _require_partitions(draft, features)
    planned = plan_training_set(
        model.calendar,
        as_of,
        model.spec.training.split,
        rows=rows,
        versions={name: version for name, version in versions.items() if version is not None},
        fingerprint=digest_value([fingerprint(_ordered(features)), fingerprint(_ordered(labels))]),
    )
    split = _split(model, planned, features, labels)
    verdict = judge_split(split, calibrated=bool(planned.calibration))
    body = {**asdict(planned), "digest": planned.digest}
    write_once(ledger, "training_set", model.name, as_of, body, clock.now())
    return PlannedTrainingSet(planned, verdict)


def load_split(
    model: ModelDefinition, as_of: str, tables: TableStore, ledger: Ledger
) -> tuple[TrainingSet, Split]:
    """The recorded training set as of a partition and its rows, at the versions it names."""
    planned = read_recorded(model, as_of, ledger)
    features, labels = (
        tables.read(model.table(name), planned.partitions, version=planned.versions[name])
        for name in ("features", "labels")
    )
    return planned, _split(model, planned, features, labels)


def read_recorded(model: ModelDefinition, as_of: str, ledger: Ledger) -> TrainingSet:
    """The recorded training set as of a partition, without its rows."""
    row = ledger.latest("training_set", model.name, as_of)
    if row is None:
        raise TrainingError(f"training set: none as of {as_of}; materialize training_set first")
    return read_training_set(row.body)


def find_training_set(
    model: ModelDefinition, version: Mapping[str, Any], ledger: Ledger
) -> TrainingSet | None:
    """What a registered version was made from, None when it is not recorded; the training set as
    of that partition may be a newer one by now. ``version`` is the body of its row."""
    for row in reversed(ledger.history("training_set", model.name, version["train_as_of"])):
        if row.body["digest"] == version["training_set"]:
            return read_training_set(row.body)
    return None


def read_training_set(body: Mapping[str, Any]) -> TrainingSet:
    """A training set from its ledger row."""
    values: dict[str, Any] = {key: value for key, value in body.items() if key != "digest"}
    for part in ("fit", "validation", "calibration", "test", "fold_from"):
        values[part] = tuple(values[part])
    return TrainingSet(**values)


def describe_dataset(
    model: ModelDefinition, training_set: TrainingSet, rows: int, context: Any
) -> Dataset:
    """A training set as the input of a tracking run."""
    return Dataset(model.table("features"), training_set.digest, model.name, rows, context)


def days_of(model: ModelDefinition, rows: pl.DataFrame) -> npt.NDArray[np.datetime64]:
    """The local date each row was predicted on, shape (rows,)."""
    moments = rows[PREDICTED_AT].dt.convert_time_zone(model.calendar.timezone)
    return moments.dt.date().to_numpy()


def _split(
    model: ModelDefinition, planned: TrainingSet, features: pl.DataFrame, labels: pl.DataFrame
) -> Split:
    key, label = model.spec.entities.key, model.spec.label
    return split_rows(planned, _ordered(features), _ordered(labels), key, label)


def _ordered(table: pl.DataFrame) -> pl.DataFrame:
    """The same rows in one order, however the files of the table lie."""
    by = [name for name in ("partition", "predicted_at") if name in table.columns]
    return table.sort(*by, *[name for name in table.columns if name not in by][:1])


def _require_partitions(training_set: TrainingSet, features: pl.DataFrame) -> None:
    present = set(features["partition"].unique())
    missing = [key for key in training_set.partitions if key not in present]
    if missing:
        raise TrainingError(
            f"training set: as of {training_set.as_of} it needs features of "
            f"{len(missing)} partition(s) that hold no rows: {', '.join(missing[:5])}; "
            "materialize them first"
        )
