"""How much a version's answers are to be believed: fitted once on the rows it was tested on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from mlops_assets.adapters.journal import write_once
from mlops_assets.adapters.ports import Clock, Ledger, ModelFiles, TableStore
from mlops_assets.components.definition import ModelDefinition
from mlops_assets.components.stages.training_sets import days_of, find_training_set
from mlops_assets.lifecycle.confidence import ConfidenceMap, fit_confidence, hold_back
from mlops_assets.lifecycle.errors import ArtifactError, FeatureError, TrainingError
from mlops_assets.lifecycle.splits import TrainingSet, split_rows
from mlops_assets.lifecycle.training import predict_probability

if TYPE_CHECKING:
    import polars as pl


def load_confidence(
    model: ModelDefinition,
    version: str,
    tables: TableStore,
    ledger: Ledger,
    files: ModelFiles,
    clock: Clock,
) -> tuple[ConfidenceMap | None, str]:
    """The map of a registered version, or None and why there is none.

    It is fitted once, on the rows the version was tested on and as its files answer them, and kept
    in the ledger under the digest of the model.
    """
    registered = ledger.latest("version", model.name, version)
    if registered is None:
        return None, f"no estimate: {version} is not in the ledger"
    digest, training_set = registered.body["digest"], registered.body["training_set"]
    kept = ledger.latest("confidence", model.name, digest)
    if kept and kept.body["training_set"] == training_set:
        return read_confidence(kept.body), ""
    try:
        found = _fit(model, digest, _require_planned(model, registered.body, ledger), tables, files)
    except (TrainingError, ArtifactError, FeatureError) as error:
        return None, f"no estimate: {error}"
    body = {"training_set": training_set, **asdict(found)}
    write_once(ledger, "confidence", model.name, digest, body, clock.now())
    return found, ""


def read_confidence(body: Mapping[str, Any]) -> ConfidenceMap:
    """A map from its ledger row."""
    moves = tuple((float(a), float(b)) for a, b in body["moves"])
    return ConfidenceMap(body["intercept"], body["slope"], body["rows"], moves)


def _require_planned(
    model: ModelDefinition, registered: Mapping[str, Any], ledger: Ledger
) -> TrainingSet:
    planned = find_training_set(model, registered, ledger)
    if planned is None:
        as_of, digest = registered["train_as_of"], registered["training_set"]
        raise TrainingError(f"the training set {digest[:12]} as of {as_of} is not in the ledger")
    return planned


def _fit(
    model: ModelDefinition, digest: str, planned: TrainingSet, tables: TableStore, files: ModelFiles
) -> ConfidenceMap:
    fitted, signature = files.load(digest)
    rows = _read_test_rows(model, planned, tables)
    if rows.is_empty():
        raise TrainingError(f"{', '.join(planned.test)} hold no labelled row to test on")
    probability = predict_probability(fitted, rows, signature.features)
    truth = rows[model.spec.label].cast(int).to_numpy()
    return hold_back(fit_confidence(probability, truth, days_of(model, rows)))


def _read_test_rows(
    model: ModelDefinition, planned: TrainingSet, tables: TableStore
) -> pl.DataFrame:
    """The rows an evaluation measures, read without those that were fitted on."""
    features, labels = (
        tables.read(model.table(name), planned.test, version=planned.versions[name])
        for name in ("features", "labels")
    )
    key, label = model.spec.entities.key, model.spec.label
    return split_rows(planned, features, labels, key, label).test
