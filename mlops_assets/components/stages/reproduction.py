"""Making a model again from what was recorded about it, to see that the same comes out."""

from __future__ import annotations

from mlops_assets.adapters.ports import Ledger, ModelFiles, TableStore
from mlops_assets.components.definition import ModelDefinition
from mlops_assets.components.stages.candidates import fit, load_candidates, sign
from mlops_assets.components.stages.training import Recipe, load_trained, make
from mlops_assets.components.stages.training_sets import load_split
from mlops_assets.lifecycle.errors import TrainingError
from mlops_assets.lifecycle.verdicts import Verdict

NAME = "is_reproducible"


def newest_trained(model: ModelDefinition, ledger: Ledger) -> str:
    """The partition that the newest model was trained as of. Raises ``TrainingError`` without."""
    newest = ledger.latest("trained_model", model.name)
    if newest is None:
        said = "reproduction: nothing was trained yet; materialize trained_model first"
        raise TrainingError(said)
    return newest.subject


def reproduce(
    model: ModelDefinition, as_of: str, tables: TableStore, ledger: Ledger, files: ModelFiles
) -> Verdict:
    """Fit every candidate and the model as of a partition again, and compare the digests.

    The same table versions, code, parameters and seeds have to give the same files, byte for
    byte. Inconclusive when model.py is another than the one the model was trained with.
    """
    trained = load_trained(model, as_of, ledger)
    if trained.code != model.code_digest:
        said = "model.py was changed since; it can be reproduced with the code it was trained with"
        return Verdict(NAME, "inconclusive", said, {"trained_with": trained.code})
    training_set, split = load_split(model, as_of, tables, ledger)
    recipe = Recipe(**trained.recipe)
    expected, came = {"trained_model": trained.digest}, {}
    if recipe.members:
        for name, known in load_candidates(model, training_set, ledger).items():
            fitted = fit(model, model.candidates[name], known.parameters, split)
            expected[name] = known.digest
            signature = sign(model, known.estimator, training_set, known.parameters)
            came[name] = files.save(fitted, signature)
    fitted, _, _ = make(model, recipe, split, files)
    signature = sign(model, recipe.estimator, training_set, recipe.parameters)
    came["trained_model"] = files.save(fitted, signature)
    differing = [name for name, digest in expected.items() if came[name] != digest]
    evidence = {"expected": expected, "came": came}
    if differing:
        said = f"{', '.join(differing)} came out with other files from the same data, code and seed"
        return Verdict(NAME, "failed", said, evidence)
    said = f"{len(expected)} of {len(expected)} models came out byte for byte the same"
    return Verdict(NAME, "passed", said, evidence)
