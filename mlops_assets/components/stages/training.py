"""From features to a fitted model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from mlops_assets.adapters.journal import write_once
from mlops_assets.adapters.ports import (
    Clock,
    Ledger,
    ModelFiles,
    Studies,
    TableStore,
    Tracking,
)
from mlops_assets.components.definition import ModelDefinition
from mlops_assets.lifecycle.digests import digest_value, fingerprint
from mlops_assets.lifecycle.errors import TrainingError
from mlops_assets.lifecycle.splits import (
    Rows,
    Split,
    TrainingSet,
    judge_split,
    plan_training_set,
    split_rows,
)
from mlops_assets.lifecycle.training import ModelSignature, fit_estimator
from mlops_assets.lifecycle.tuning import TrialScorer, TuningResult
from mlops_assets.lifecycle.verdicts import Verdict

if TYPE_CHECKING:
    import polars as pl


@dataclass(frozen=True)
class PlannedTrainingSet:
    """A training set with the rows in each part and the verdict on their order."""

    training_set: TrainingSet
    verdict: Verdict


@dataclass(frozen=True)
class TrainedModel:
    """One fitted model, as the ledger keeps it. ``digest`` names its files."""

    digest: str
    as_of: str
    training_set: str
    estimator: str
    parameters: Mapping[str, Any]
    fit_rows: int
    model_uri: str
    tracking_run: str
    tracking_url: str | None


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
    body = {**asdict(planned), "digest": planned.digest}
    write_once(ledger, "training_set", model.name, as_of, body, clock.now())
    return PlannedTrainingSet(planned, judge_split(split))


def study(
    model: ModelDefinition,
    as_of: str,
    tables: TableStore,
    ledger: Ledger,
    studies: Studies,
    clock: Clock,
    report: Callable[[str], None],
) -> TuningResult:
    """Search parameters on the training set's earlier rows, judged on its later ones."""
    tuning, training = model.spec.tuning, model.spec.training
    assert tuning is not None
    training_set, split = load_split(model, as_of, tables, ledger)
    scorer = TrialScorer(
        model.function(training.estimator),
        split,
        model.features,
        model.spec.label,
        training.seed,
        training.parameters,
    )
    identity = [training_set.digest, asdict(tuning), model.code_digest, asdict_plain(training)]
    name = f"{model.name}-{as_of}-{digest_value(identity)[:12]}"
    result = studies.optimise(name, tuning, scorer, report)
    write_once(ledger, "study", model.name, as_of, asdict(result), clock.now())
    return result


def train(
    model: ModelDefinition,
    as_of: str,
    estimator: str,
    tables: TableStore,
    ledger: Ledger,
    files: ModelFiles,
    tracking: Tracking,
    clock: Clock,
    tags: Mapping[str, str],
) -> TrainedModel:
    """Fit the estimator on the training set's rows and keep it under its digest."""
    training_set, split = load_split(model, as_of, tables, ledger)
    spec, found = model.spec, ledger.latest("study", model.name, as_of)
    tuned = dict(found.body["parameters"]) if spec.tuning and found else {}
    parameters = {**spec.training.parameters, **tuned}
    with tracking.run(experiment=model.name, name=f"{model.name} {as_of}", tags=tags) as run:
        fitted = fit_estimator(
            model.function(estimator),
            split.fit,
            model.features,
            spec.label,
            parameters=parameters,
            seed=spec.training.seed,
        )
        signature = ModelSignature(
            model=model.name,
            features=model.features,
            entity_key=spec.entities.key,
            time=spec.entities.time,
            label=spec.label,
            train_as_of=as_of,
            training_set=training_set.digest,
            estimator=estimator,
            parameters=parameters,
        )
        digest = files.save(fitted, signature)
        uri = run.log_model(fitted, signature)
        run.log_params(
            {
                "estimator": estimator,
                "train_as_of": as_of,
                "digest": digest,
                "training_set": training_set.digest,
                "rows": training_set.rows,
                "code": model.code_digest,
                **parameters,
            }
        )
        run.log_metrics({"fit_rows": split.fit.height, "test_rows": split.test.height})
    trained = TrainedModel(
        digest,
        as_of,
        training_set.digest,
        estimator,
        parameters,
        split.fit.height,
        uri,
        run.run_id,
        run.url,
    )
    write_once(ledger, "trained_model", model.name, as_of, asdict(trained), clock.now())
    return trained


def load_split(
    model: ModelDefinition, as_of: str, tables: TableStore, ledger: Ledger
) -> tuple[TrainingSet, Split]:
    """The recorded training set as of a partition and its rows, at the versions it names."""
    row = ledger.latest("training_set", model.name, as_of)
    if row is None:
        raise TrainingError(f"training set: none as of {as_of}; materialize training_set first")
    planned = read_training_set(row.body)
    features, labels = (
        tables.read(model.table(name), planned.partitions, version=planned.versions[name])
        for name in ("features", "labels")
    )
    return planned, _split(model, planned, features, labels)


def read_training_set(body: Mapping[str, Any]) -> TrainingSet:
    """A training set from its ledger row."""
    values: dict[str, Any] = {key: value for key, value in body.items() if key != "digest"}
    for part in ("fit", "validation", "test"):
        values[part] = tuple(values[part])
    return TrainingSet(**values)


def load_trained(model: ModelDefinition, as_of: str, ledger: Ledger) -> TrainedModel:
    """The latest model trained as of a partition."""
    row = ledger.latest("trained_model", model.name, as_of)
    if row is None:
        raise TrainingError(f"trained model: none as of {as_of}; materialize trained_model first")
    return TrainedModel(**row.body)


def asdict_plain(section: Any) -> dict[str, Any]:
    """A pydantic section as plain values."""
    return dict(section.model_dump(mode="json"))


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
