"""The four answers a strategy can give, and what of the evidence they rest on."""

from __future__ import annotations

from collections.abc import Sequence

from mlops_assets.lifecycle.rollout.decision import RolloutDecision, RolloutEvidence
from mlops_assets.lifecycle.rollout.state import RolloutState
from mlops_assets.lifecycle.rollout.window import Window
from mlops_assets.lifecycle.verdicts import Verdict

Verdicts = Sequence[Verdict]


def hold(
    state: RolloutState, reason: str, verdict: Verdict | None = None, verdicts: Verdicts = ()
) -> RolloutDecision:
    """Leave the version where it is."""
    return RolloutDecision("hold", state.weight, reason, verdict, verdicts, state.mirror)


def advance(
    weight: int,
    reason: str,
    verdict: Verdict | None = None,
    verdicts: Verdicts = (),
    mirror: int = 0,
) -> RolloutDecision:
    """Give it ``weight`` percent of the units, and copies of ``mirror`` percent of the requests."""
    return RolloutDecision("advance", weight, reason, verdict, verdicts, mirror)


def promote(
    reason: str, verdict: Verdict | None = None, verdicts: Verdicts = ()
) -> RolloutDecision:
    """Make it the champion."""
    return RolloutDecision("promote", 100, reason, verdict, verdicts)


def roll_back(
    reason: str, verdict: Verdict | None = None, verdicts: Verdicts = ()
) -> RolloutDecision:
    """Take its traffic away and end the rollout."""
    return RolloutDecision("roll_back", 0, reason, verdict, verdicts)


def first_with(outcome: str, verdicts: Verdicts) -> Verdict | None:
    """The first of the verdicts that came out so, if any did."""
    return next((verdict for verdict in verdicts if verdict.outcome == outcome), None)


def current_window(state: RolloutState, evidence: RolloutEvidence) -> Window | None:
    """What both arms did at the weight the version has now."""
    found = (window for window in evidence.windows if window.weight == state.weight)
    return next(found, None)


def canary_units(evidence: RolloutEvidence) -> int:
    """How many units the version answered first in the whole rollout."""
    return sum(window.canary.units for window in evidence.windows)
