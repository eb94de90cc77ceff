"""From a verdict to a registered version: refused without one, whoever asks."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from mlops_assets.adapters.journal import read_champion, write_once
from mlops_assets.adapters.ports import Clock, Ledger, ModelVersion, Registry
from mlops_assets.components.definition import ModelDefinition
from mlops_assets.components.stages.clearance import bound_of, require_clearance
from mlops_assets.components.stages.training import TrainedModel, load_trained
from mlops_assets.lifecycle.clearance import Clearance


@dataclass(frozen=True)
class Registered:
    """A registered version, what it was trained as, and what let it pass."""

    version: ModelVersion
    trained: TrainedModel
    clearance: Clearance


def register(
    model: ModelDefinition, as_of: str, ledger: Ledger, registry: Registry, clock: Clock
) -> Registered:
    """Register the trained model as challenger. Raises ``RefusedError`` without a clearance."""
    trained = load_trained(model, as_of, ledger)
    clearance = require_clearance(model, bound_of(model, asdict(trained)), ledger, clock)
    tags = {
        "train_as_of": as_of,
        "training_set": trained.training_set,
        "verdict": "overridden" if clearance.override else "passed",
        "clearance": clearance.describe(),
    }
    version = registry.register(model.name, trained.digest, trained.model_uri, tags)
    champion = read_champion(ledger, model.name)
    older = champion and champion.train_as_of > as_of
    if not older and not (champion and champion.digest == trained.digest):
        registry.set_alias(model.name, "challenger", version.version)
    body = {
        "digest": trained.digest,
        "train_as_of": as_of,
        "uri": version.uri,
        "training_set": trained.training_set,
        "code": trained.code,
    }
    write_once(ledger, "version", model.name, version.version, body, clock.now())
    return Registered(registry.get(model.name, version.version), trained, clearance)
