"""From fitted candidates to the one model that is judged."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

from mlops_assets.adapters.journal import write_once
from mlops_assets.adapters.ports import Clock, Ledger, ModelFiles, TableStore, Tracking
from mlops_assets.components.definition import SOLE, ModelDefinition
from mlops_assets.components.stages.candidates import fit, load_candidates, sign
from mlops_assets.components.stages.ensembles import read_weighed
from mlops_assets.components.stages.training_sets import days_of, describe_dataset, load_split
from mlops_assets.components.stages.tuning import read_tuned
from mlops_assets.lifecycle.calibration import calibrate
from mlops_assets.lifecycle.digests import digest_value
from mlops_assets.lifecycle.ensembles import build_ensemble
from mlops_assets.lifecycle.errors import TrainingError
from mlops_assets.lifecycle.training import to_model_frame

if TYPE_CHECKING:
    from mlops_assets.lifecycle.splits import Split, TrainingSet


UNCHANGED = "nothing changed since it was made: data, code, parameters and seed are the same"
"""Why a materialization did no work."""


@dataclass(frozen=True)
class Recipe:
    """What a model is made of: one estimator, or an ensemble of ``members`` (digests by name).

    ``chosen`` is a candidate's name or ``ensemble``; ``reason`` says why it was.
    """

    chosen: str
    estimator: str
    reason: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    members: Mapping[str, str] = field(default_factory=dict)
    weights: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class TrainedModel:
    """One fitted model, as the ledger keeps it.

    ``digest`` names its files, ``identity`` all that went in. ``calibration`` is the method that
    was applied, ``none`` where it did not help; ``calibrated`` says why.
    """

    digest: str
    as_of: str
    identity: str
    training_set: str
    code: str
    recipe: Mapping[str, Any]
    calibration: str
    calibrated: str
    fit_rows: int
    calibration_rows: int
    model_uri: str
    tracking_run: str
    tracking_url: str | None

    @property
    def estimator(self) -> str:
        return str(self.recipe["estimator"])

    @property
    def parameters(self) -> Mapping[str, Any]:
        parameters: Mapping[str, Any] = self.recipe["parameters"]
        return parameters


def train(
    model: ModelDefinition,
    as_of: str,
    tables: TableStore,
    ledger: Ledger,
    files: ModelFiles,
    tracking: Tracking,
    clock: Clock,
    tags: Mapping[str, str],
    *,
    estimator: str | None = None,
    again: bool = False,
) -> tuple[TrainedModel, bool]:
    """Make the model that was chosen, calibrate it where that helps, keep it under its digest.

    ``estimator`` fits another function of model.py instead, as an experiment. Returns the model
    and whether it was there already: with nothing changed since it is not made again, unless
    ``again`` says so.
    """
    training_set, split = load_split(model, as_of, tables, ledger)
    recipe = choose_recipe(model, training_set, ledger, estimator)
    identity = _identity(model, training_set, recipe)
    row = ledger.latest("trained_model", model.name, as_of)
    if row and row.body["identity"] == identity and files.holds(row.body["digest"]) and not again:
        return TrainedModel(**row.body), True
    with tracking.run(experiment=model.name, name=f"{model.name} {as_of}", tags=tags) as run:
        fitted, calibration, calibrated = make(model, recipe, split, files)
        signature = sign(model, recipe.estimator, training_set, recipe.parameters)
        digest = files.save(fitted, signature)
        uri = run.log_model(fitted, signature)
        for rows, context in ((split.fit, "training"), (split.calibration, "calibration")):
            if rows.height:
                run.log_dataset(describe_dataset(model, training_set, rows.height, context))
        run.log_params(_parameters(model, training_set, recipe, digest))
        run.log_metrics({"fit_rows": split.fit.height, "test_rows": split.test.height})
    trained = TrainedModel(
        digest=digest,
        as_of=as_of,
        identity=identity,
        training_set=training_set.digest,
        code=model.code_digest,
        recipe=asdict(recipe),
        calibration=calibration,
        calibrated=calibrated,
        fit_rows=split.fit.height,
        calibration_rows=split.calibration.height,
        model_uri=uri,
        tracking_run=run.run_id,
        tracking_url=run.url,
    )
    write_once(ledger, "trained_model", model.name, as_of, asdict(trained), clock.now())
    return trained, False


def choose_recipe(
    model: ModelDefinition, training_set: TrainingSet, ledger: Ledger, estimator: str | None = None
) -> Recipe:
    """What the model as of the training set is made of, from what was recorded."""
    if estimator:
        return Recipe("experiment", estimator, f"the run asked for {estimator}")
    if not model.compares_candidates:
        only = model.candidates[SOLE]
        tuned = read_tuned(ledger, model, training_set).get(SOLE, {})
        return Recipe(
            SOLE, only.estimator, "the only candidate", parameters={**only.parameters, **tuned}
        )
    candidates = load_candidates(model, training_set, ledger)
    members = {name: candidate.digest for name, candidate in candidates.items()}
    if model.spec.ensemble:
        weighed = read_weighed(ledger, model, training_set.as_of, members)
        chosen, reason = weighed["chosen"], weighed["verdict"]["reason"]
        if chosen == "ensemble":
            return Recipe(chosen, chosen, reason, members=members, weights=weighed["weights"])
    else:
        losses = {name: of.metrics.get("log_loss", 0.0) for name, of in candidates.items()}
        chosen = min(losses, key=lambda name: losses[name])
        reason = f"lowest log loss on the calibration rows, {losses[chosen]:.4f}"
    best = candidates[chosen]
    return Recipe(
        chosen,
        best.estimator,
        reason,
        parameters=best.parameters,
        members={chosen: best.digest},
    )


def make(
    model: ModelDefinition, recipe: Recipe, split: Split, files: ModelFiles
) -> tuple[Any, str, str]:
    """The fitted model of a recipe, the calibration applied to it, and why."""
    later, seed = split.calibration, model.spec.training.seed
    if recipe.members:
        fitted = {name: files.load(digest)[0] for name, digest in recipe.members.items()}
        base = fitted.get(recipe.chosen)
    else:
        candidate = replace(
            next(iter(model.candidates.values())), name=recipe.chosen, estimator=recipe.estimator
        )
        fitted, base = {}, fit(model, candidate, recipe.parameters, split)
    if not later.height:
        return base, "none", "no rows are kept for calibration"
    frame = to_model_frame(later, model.features)
    truth = later[model.spec.label].cast(int).to_numpy()
    if base is None:
        assert model.spec.ensemble is not None
        base = build_ensemble(fitted, recipe.weights, model.spec.ensemble.method, frame, truth)
    method = model.spec.training.calibration
    choice = calibrate(base, frame, truth, days_of(model, later), method, seed=seed)
    return choice.model, choice.method_applied, choice.verdict.reason


def load_trained(model: ModelDefinition, as_of: str, ledger: Ledger) -> TrainedModel:
    """The latest model trained as of a partition."""
    row = ledger.latest("trained_model", model.name, as_of)
    if row is None:
        raise TrainingError(f"trained model: none as of {as_of}; materialize trained_model first")
    return TrainedModel(**row.body)


def _identity(model: ModelDefinition, training_set: TrainingSet, recipe: Recipe) -> str:
    """Digest of all that decides what training gives."""
    spec = model.spec
    signature = sign(model, recipe.estimator, training_set, recipe.parameters)
    method = spec.ensemble.method if spec.ensemble else None
    decided = [recipe.chosen, recipe.members, recipe.weights, method, spec.training.calibration]
    made = [model.code_digest, spec.training.seed, spec.training.threads]
    return digest_value([asdict(signature), *made, decided])


def _parameters(
    model: ModelDefinition, training_set: TrainingSet, recipe: Recipe, digest: str
) -> dict[str, Any]:
    return {
        "chosen": recipe.chosen,
        "estimator": recipe.estimator,
        "train_as_of": training_set.as_of,
        "digest": digest,
        "training_set": training_set.digest,
        "rows": training_set.rows,
        "code": model.code_digest,
        "seed": model.spec.training.seed,
        **{f"weight_{name}": weight for name, weight in recipe.weights.items()},
        **recipe.parameters,
    }
