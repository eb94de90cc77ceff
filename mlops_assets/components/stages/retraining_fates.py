"""What became of a retraining that was asked for, read from the ledger."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from mlops_assets.adapters.journal import may_serve, read_champion, read_rollout
from mlops_assets.adapters.ports import Ledger
from mlops_assets.components.definition import ModelDefinition

Stand = Literal["waiting", "ended", "serves"]


@dataclass(frozen=True)
class Fate:
    """``stand``: whether more may come of it; ``said``: in words; ``version``: once registered."""

    stand: Stand
    said: str
    trained: bool = True
    version: str = ""


def find_fate(model: ModelDefinition, as_of: str, ledger: Ledger) -> Fate:
    """How far the training as of a partition came on its way to serving."""
    trained = ledger.latest("trained_model", model.name, as_of)
    if trained is None:
        return Fate("waiting", "not trained yet", trained=False)
    digest = trained.body["digest"]
    verdict = ledger.latest("verdict", model.name, digest)
    if verdict is None:
        return Fate("waiting", "trained, and not judged yet")
    if not may_serve(ledger, model.name, digest):
        return Fate("ended", f"refused by its gates: {verdict.body.get('reason', '')}")
    version = _find_version(model, digest, ledger)
    if version is None:
        return Fate("waiting", "passed its gates, and not registered yet")
    champion = read_champion(ledger, model.name)
    if champion and champion.digest == digest:
        return Fate("serves", f"{version} serves", version=version)
    return _find_rollout_fate(model, version, ledger)


def _find_version(model: ModelDefinition, digest: str, ledger: Ledger) -> str | None:
    rows = ledger.history("version", model.name)
    return next((row.subject for row in reversed(rows) if row.body["digest"] == digest), None)


def _find_rollout_fate(model: ModelDefinition, version: str, ledger: Ledger) -> Fate:
    state = read_rollout(ledger, model.name, version)
    if state is None:
        return Fate("waiting", f"{version} waits for its rollout", version=version)
    if state.active:
        return Fate("waiting", f"{version} is in rollout at {state.weight} %", version=version)
    if state.phase == "succeeded":
        return Fate("serves", f"{version} has served", version=version)
    return Fate("ended", f"{version} was taken back: {state.reason}", version=version)
