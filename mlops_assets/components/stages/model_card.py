"""The model card of an evaluated model, from what was recorded about it."""

from __future__ import annotations

from collections.abc import Iterator

from mlops_assets.adapters.journal import find_live_override, read_champion
from mlops_assets.adapters.ports import Ledger
from mlops_assets.components.definition import ModelDefinition
from mlops_assets.components.stages.candidates import sign
from mlops_assets.components.stages.evaluation import Evaluated
from mlops_assets.components.stages.training import TrainedModel
from mlops_assets.components.stages.training_sets import read_recorded
from mlops_assets.lifecycle.model_card import (
    CardFacts,
    ChampionFacts,
    MakingFacts,
    RowsUsed,
    write_card,
)
from mlops_assets.lifecycle.splits import TrainingSet


def describe_model(model: ModelDefinition, done: Evaluated, ledger: Ledger) -> str:
    """The card as Markdown."""
    trained = done.trained
    training_set = read_recorded(model, trained.as_of, ledger)
    recipe = trained.recipe
    override = find_live_override(ledger, model.name, trained.digest)
    champion = read_champion(ledger, model.name)
    return write_card(
        CardFacts(
            signature=sign(model, trained.estimator, training_set, trained.parameters),
            digest=trained.digest,
            report=done.report,
            verdict=done.verdict,
            gates=done.gates,
            description=model.spec.description,
            owners=model.spec.owners,
            rows=list(_rows_used(trained, training_set, done.report.rows)),
            making=MakingFacts(
                recipe["chosen"],
                recipe["reason"],
                recipe["weights"],
                trained.calibration,
                trained.calibrated,
            ),
            champion=ChampionFacts(champion.version, done.champion)
            if champion and done.champion
            else None,
            override=override.describe() if override else None,
        )
    )


def _rows_used(
    trained: TrainedModel, training_set: TrainingSet, test_rows: int
) -> Iterator[RowsUsed]:
    for part, rows, keys in (
        ("fit", trained.fit_rows, (*training_set.fit, *training_set.validation)),
        ("calibration", trained.calibration_rows, training_set.calibration),
        ("test", test_rows, training_set.test),
    ):
        if keys:
            yield RowsUsed(part, rows, keys[0], keys[-1])
