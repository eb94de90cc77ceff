"""Recreate: the new version takes over at once, and nobody looks further."""

from __future__ import annotations

from mlops_assets.lifecycle.rollout.decision import RolloutDecision, RolloutEvidence
from mlops_assets.lifecycle.rollout.moves import promote
from mlops_assets.lifecycle.rollout.policy import RolloutPolicy
from mlops_assets.lifecycle.rollout.state import RolloutState


def decide_recreate(state: RolloutState, _: RolloutEvidence, __: RolloutPolicy) -> RolloutDecision:
    """Promote it as soon as it is ready."""
    return promote(f"{state.version} is loaded and ready")
