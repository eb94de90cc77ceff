"""Labelled units of both arms: who answered better, by inverse propensity scores."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlops_assets.lifecycle.rollout.decision import Outcomes
from mlops_assets.lifecycle.rollout.sequential import log_betting_evidence

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Numbers = npt.NDArray[np.float64]


def score_outcomes(outcomes: Outcomes) -> tuple[Numbers, Numbers, Numbers]:
    """Per labelled unit a score, and the most it can lie below and above 0.

    With share w of the canary, A = 1 for its units and L the loss, the score is
    (L - c) (A / w - (1 - A) / (1 - w)): its mean is the difference of the mean losses for any c
    that is known beforehand. c is the mean loss of the units before, which takes away most of the
    noise. Shares lie between 0 and 1, units are on the last axis.
    """
    import numpy as np

    loss, canary, share = outcomes.loss, outcomes.canary, outcomes.share
    seen = np.arange(loss.shape[-1])
    # A quarter is the loss of a coin; it stands in for the first few.
    centre = (loss.cumsum(axis=-1) - loss + 0.25 * 4) / (seen + 4)
    scores = (loss - centre) * np.where(canary, 1 / share, -1 / (1 - share))
    below = np.maximum(centre / share, (1 - centre) / (1 - share))
    above = np.maximum((1 - centre) / share, centre / (1 - share))
    return scores, below, above


def log_outcome_harm(outcomes: Outcomes | None) -> float:
    """Evidence against "the canary's mean loss is not above the baseline's"."""
    if outcomes is None:
        return 0.0
    scores, below, _ = score_outcomes(_comparable(outcomes))
    return float(log_betting_evidence(scores, below))


def log_outcome_proof(outcomes: Outcomes | None, margin: float) -> float:
    """Evidence against "its mean loss lies ``margin`` or more above the baseline's"."""
    if outcomes is None:
        return 0.0
    scores, _, above = score_outcomes(_comparable(outcomes))
    return float(log_betting_evidence(margin - scores, above - margin))


def count_labelled(outcomes: Outcomes | None) -> tuple[int, int]:
    """Labelled units of the canary and of the baseline."""
    if outcomes is None:
        return 0, 0
    canary = int(outcomes.canary.sum())
    return canary, int(outcomes.canary.size) - canary


def mean_difference(outcomes: Outcomes | None) -> float:
    """The estimated difference of the mean losses, canary less baseline; 0 without labels."""
    if outcomes is None:
        return 0.0
    scores, _, _ = score_outcomes(_comparable(outcomes))
    return float(scores.mean()) if scores.size else 0.0


def _comparable(outcomes: Outcomes) -> Outcomes:
    """Without the units of a time when all fell the same way: they compare nothing."""
    told = (outcomes.share > 0) & (outcomes.share < 1)
    return Outcomes(outcomes.loss[told], outcomes.canary[told], outcomes.share[told])
