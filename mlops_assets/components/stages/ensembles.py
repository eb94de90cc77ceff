"""Weighing the candidates against each other, on rows that none of them was fitted on."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from mlops_assets.adapters.journal import write_once
from mlops_assets.adapters.ports import Clock, Ledger, ModelFiles, TableStore
from mlops_assets.components.definition import ModelDefinition
from mlops_assets.components.stages.candidates import load_candidates
from mlops_assets.components.stages.training_sets import days_of, load_split
from mlops_assets.lifecycle.ensembles import EnsembleChoice, choose
from mlops_assets.lifecycle.errors import TrainingError
from mlops_assets.lifecycle.training import predict_probability

ENSEMBLE = "ensemble"
"""The kind of ledger rows about ensembles."""


def weigh(
    model: ModelDefinition,
    as_of: str,
    tables: TableStore,
    ledger: Ledger,
    files: ModelFiles,
    clock: Clock,
) -> EnsembleChoice:
    """Fit the ensemble on the calibration rows and record whether it beats its best member."""
    policy = model.spec.ensemble
    assert policy is not None
    training_set, split = load_split(model, as_of, tables, ledger)
    candidates = load_candidates(model, training_set, ledger)
    later = split.calibration
    choice = choose(
        later[model.spec.label].cast(int).to_numpy(),
        {
            name: predict_probability(files.load(of.digest)[0], later, model.features)
            for name, of in candidates.items()
        },
        days_of(model, later),
        policy,
        seed=model.spec.training.seed,
    )
    body = {
        "training_set": training_set.digest,
        "members": {name: of.digest for name, of in candidates.items()},
        **asdict(choice),
    }
    write_once(ledger, ENSEMBLE, model.name, as_of, body, clock.now())
    return choice


def read_weighed(
    ledger: Ledger, model: ModelDefinition, as_of: str, members: dict[str, str]
) -> dict[str, Any]:
    """What was recorded about exactly these members (digests by name).

    Raises ``TrainingError`` when they were never weighed against each other.
    """
    row = ledger.latest(ENSEMBLE, model.name, as_of)
    if row is None or row.body["members"] != members:
        raise TrainingError(
            f"ensemble: the candidates as of {as_of} were not weighed; materialize ensemble first"
        )
    return dict(row.body)
