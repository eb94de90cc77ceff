"""From a verdict to a registered version: refused without one, whoever asks."""

from __future__ import annotations

from mlops_assets.adapters.journal import has_passed, read_champion, write_once
from mlops_assets.adapters.ports import Clock, Ledger, ModelVersion, Registry
from mlops_assets.components.definition import ModelDefinition
from mlops_assets.components.stages.training import TrainedModel, load_trained
from mlops_assets.lifecycle.errors import RefusedError


def register(
    model: ModelDefinition, as_of: str, ledger: Ledger, registry: Registry, clock: Clock
) -> tuple[ModelVersion, TrainedModel]:
    """Register the trained model as challenger. Raises ``RefusedError`` without a passed verdict.

    Whoever launched this, and whatever a check showed, the ledger alone decides.
    """
    trained = load_trained(model, as_of, ledger)
    require_verdict(model, trained.digest, ledger)
    tags = {"train_as_of": as_of, "training_set": trained.training_set, "verdict": "passed"}
    version = registry.register(model.name, trained.digest, trained.model_uri, tags)
    champion = read_champion(ledger, model.name)
    older = champion and champion.train_as_of > as_of
    if not older and not (champion and champion.digest == trained.digest):
        registry.set_alias(model.name, "challenger", version.version)
    body = {"digest": trained.digest, "train_as_of": as_of, "uri": version.uri}
    write_once(ledger, "version", model.name, version.version, body, clock.now())
    return registry.get(model.name, version.version), trained


def require_verdict(model: ModelDefinition, digest: str, ledger: Ledger) -> None:
    """Raise ``RefusedError`` unless the digest's latest verdict passed, under today's gates."""
    row = ledger.latest("verdict", model.name, digest)
    short = digest[:12]
    if row is None:
        raise RefusedError(
            f"{model.name}: model {short} has no verdict; materialize its evaluation first"
        )
    if not has_passed(ledger, model.name, digest):
        raise RefusedError(
            f"{model.name}: model {short} was judged {row.body['outcome']}: {row.body['reason']}"
        )
    if row.body["policy"] != model.policy_digest:
        raise RefusedError(
            f"{model.name}: model {short} was judged by other gates than defs.yaml states now; "
            "materialize its evaluation again"
        )
