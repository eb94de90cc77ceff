"""Fitting the candidates: each estimator on the same rows, kept under the digest of its files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from mlops_assets.adapters.journal import write_once
from mlops_assets.adapters.ports import Clock, Ledger, ModelFiles, TableStore, Tracking
from mlops_assets.components.definition import Candidate, ModelDefinition
from mlops_assets.components.stages.training_sets import describe_dataset, load_split
from mlops_assets.components.stages.tuning import read_tuned
from mlops_assets.lifecycle.digests import digest_value
from mlops_assets.lifecycle.errors import TrainingError
from mlops_assets.lifecycle.evaluation import measure_metrics
from mlops_assets.lifecycle.training import ModelSignature, fit_estimator, predict_probability

if TYPE_CHECKING:
    import polars as pl

    from mlops_assets.lifecycle.splits import Split, TrainingSet

CANDIDATE = "candidate"
"""The kind of ledger rows about fitted candidates."""


@dataclass(frozen=True)
class FittedCandidate:
    """One fitted estimator, as the ledger keeps it.

    ``identity`` is the digest of all that went in; ``digest`` names the files that came out;
    ``metrics`` were measured on the calibration rows, which are later than any it was fitted on.
    """

    name: str
    as_of: str
    identity: str
    digest: str
    training_set: str
    code: str
    estimator: str
    parameters: Mapping[str, Any]
    fit_rows: int
    metrics: Mapping[str, float]
    tracking_url: str | None = None


def fit_candidate(
    model: ModelDefinition,
    as_of: str,
    candidate: Candidate,
    tables: TableStore,
    ledger: Ledger,
    files: ModelFiles,
    tracking: Tracking,
    clock: Clock,
    tags: Mapping[str, str],
    *,
    again: bool = False,
) -> tuple[FittedCandidate, bool]:
    """Fit one candidate on the training set's rows; whether it was there already.

    With nothing changed since (data, code, parameters, seed) it is not fitted again, unless
    ``again`` says so.
    """
    training_set, split = load_split(model, as_of, tables, ledger)
    parameters = _parameters(model, candidate, training_set, ledger)
    identity = _identity(model, candidate, training_set, parameters)
    known = _known(model, as_of, candidate.name, ledger)
    if known and known.identity == identity and files.holds(known.digest) and not again:
        return known, True
    name = f"{candidate.name} {as_of}"
    with tracking.run(experiment=model.name, name=name, tags=tags) as run:
        fitted = fit(model, candidate, parameters, split)
        signature = sign(model, candidate.estimator, training_set, parameters)
        digest = files.save(fitted, signature)
        metrics = _measure(model, fitted, split.calibration)
        run.log_dataset(describe_dataset(model, training_set, split.fit.height, "training"))
        run.log_params({"estimator": candidate.estimator, "digest": digest, **parameters})
        run.log_metrics({"fit_rows": split.fit.height, **metrics})
    done = FittedCandidate(
        name=candidate.name,
        as_of=as_of,
        identity=identity,
        digest=digest,
        training_set=training_set.digest,
        code=model.code_digest,
        estimator=candidate.estimator,
        parameters=parameters,
        fit_rows=split.fit.height,
        metrics=metrics,
        tracking_url=run.url,
    )
    subject = f"{as_of}/{candidate.name}"
    write_once(ledger, CANDIDATE, model.name, subject, asdict(done), clock.now())
    return done, False


def fit(
    model: ModelDefinition, candidate: Candidate, parameters: Mapping[str, Any], split: Split
) -> Any:
    """The candidate's estimator fitted on the rows before the calibration rows.

    On a stated number of threads: a sum that is divided otherwise has other last bits, and the
    files another digest.
    """
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    with threadpool_limits(limits=model.spec.training.threads):
        return fit_estimator(
            model.function(candidate.estimator),
            split.fit,
            model.features,
            model.spec.label,
            parameters=parameters,
            seed=model.spec.training.seed,
        )


def sign(
    model: ModelDefinition,
    estimator: str,
    training_set: TrainingSet,
    parameters: Mapping[str, Any],
) -> ModelSignature:
    """What the files of a model fitted on a training set say about it."""
    return ModelSignature(
        model=model.name,
        features=model.features,
        entity_key=model.spec.entities.key,
        time=model.spec.entities.time,
        label=model.spec.label,
        train_as_of=training_set.as_of,
        training_set=training_set.digest,
        estimator=estimator,
        parameters=parameters,
    )


def load_candidates(
    model: ModelDefinition, training_set: TrainingSet, ledger: Ledger
) -> dict[str, FittedCandidate]:
    """All candidates fitted on exactly this training set.

    Raises ``TrainingError`` naming those that are missing or were fitted on another one.
    """
    found = {name: _known(model, training_set.as_of, name, ledger) for name in model.candidates}
    missing = [
        name
        for name, candidate in found.items()
        if candidate is None or candidate.training_set != training_set.digest
    ]
    if missing:
        raise TrainingError(
            f"ensemble: as of {training_set.as_of} candidate {', '.join(missing)} was not fitted "
            "on this training set; materialize it first"
        )
    return {name: candidate for name, candidate in found.items() if candidate}


def _known(model: ModelDefinition, as_of: str, name: str, ledger: Ledger) -> FittedCandidate | None:
    row = ledger.latest(CANDIDATE, model.name, f"{as_of}/{name}")
    return FittedCandidate(**row.body) if row else None


def _parameters(
    model: ModelDefinition, candidate: Candidate, training_set: TrainingSet, ledger: Ledger
) -> dict[str, Any]:
    tuned = read_tuned(ledger, model, training_set).get(candidate.name, {})
    return {**candidate.parameters, **tuned}


def _identity(
    model: ModelDefinition,
    candidate: Candidate,
    training_set: TrainingSet,
    parameters: Mapping[str, Any],
) -> str:
    """Digest of all that decides what a fit gives: data, code, estimator, parameters, seed."""
    signature = sign(model, candidate.estimator, training_set, parameters)
    training = model.spec.training
    return digest_value([asdict(signature), model.code_digest, training.seed, training.threads])


def _measure(model: ModelDefinition, fitted: Any, rows: pl.DataFrame) -> dict[str, float]:
    """Metrics on the calibration rows, none where there are none or only one class."""
    label = model.spec.label
    if rows[label].n_unique() < 2:
        return {}
    probability = predict_probability(fitted, rows, model.features)
    return measure_metrics(rows[label].cast(int).to_numpy(), probability)
