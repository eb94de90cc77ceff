"""What decisions by a probability cost, and the threshold that costs least."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mlops_assets.lifecycle.resampling import measure_mean

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

_CURVE_POINTS = 60


@dataclass(frozen=True)
class CostPolicy:
    """What an error costs, in a unit of the reader's choice; a right decision costs nothing.

    ``false_alarm``: a negative row that was flagged. ``miss``: a positive row that was not.
    ``threshold``: rows of at least this probability are flagged; None stands for the one that is
    best for a calibrated model, false_alarm / (false_alarm + miss) (Elkan, "The Foundations of
    Cost-Sensitive Learning", 2001, equation 2).
    """

    false_alarm: float = 1.0
    miss: float = 1.0
    threshold: float | None = None

    def __post_init__(self) -> None:
        for name in ("false_alarm", "miss"):
            cost = getattr(self, name)
            if not (cost > 0 and math.isfinite(cost)):
                raise ValueError(f"{name} must be a number above 0, got {cost}")
        if self.threshold is not None and not 0 < self.threshold < 1:
            raise ValueError(f"threshold must lie between 0 and 1, got {self.threshold}")

    @property
    def decision_threshold(self) -> float:
        """The probability from which a row is flagged."""
        best = self.false_alarm / (self.false_alarm + self.miss)
        return best if self.threshold is None else self.threshold


def measure_costs(
    truth: npt.NDArray[Any],
    probability: npt.NDArray[Any],
    policy: CostPolicy,
    *,
    days: npt.NDArray[Any] | None = None,
    confidence: float = 0.95,
    seed: int,
) -> dict[str, Any]:
    """Cost per row at the threshold and along a curve of thresholds, as plain values.

    ``cost_never`` and ``cost_always``: of flagging no row, and every row. ``precision`` is None
    where no row is flagged, ``recall`` where none is positive. With ``days`` there is an
    ``interval`` of the cost at the threshold, whole days resampled.
    """
    import numpy as np

    positive, threshold = np.asarray(truth) == 1, policy.decision_threshold
    flagged = np.asarray(probability) >= threshold
    cost = policy.false_alarm * (flagged & ~positive) + policy.miss * (~flagged & positive)
    hits = int((flagged & positive).sum())
    thresholds = np.linspace(0, max(float(np.max(probability)), threshold), _CURVE_POINTS)
    measured = {
        "false_alarm": policy.false_alarm,
        "miss": policy.miss,
        "thresholds": thresholds.tolist(),
        "cost_per_row": _cost_curve(positive, probability, thresholds, policy).tolist(),
        "threshold": threshold,
        "cost": float(cost.mean()),
        "flagged_share": float(flagged.mean()),
        "precision": hits / int(flagged.sum()) if flagged.any() else None,
        "recall": hits / int(positive.sum()) if positive.any() else None,
        "cost_never": policy.miss * float(positive.mean()),
        "cost_always": policy.false_alarm * float(1 - positive.mean()),
    }
    if days is not None:
        interval = measure_mean(cost, days, confidence=confidence, seed=seed)
        measured["interval"] = interval.plain
    return measured


def _cost_curve(
    positive: npt.NDArray[np.bool_],
    probability: npt.NDArray[Any],
    thresholds: npt.NDArray[np.float64],
    policy: CostPolicy,
) -> npt.NDArray[np.float64]:
    import numpy as np

    misses = np.searchsorted(np.sort(probability[positive]), thresholds, "left")
    passed_over = np.searchsorted(np.sort(probability[~positive]), thresholds, "left")
    false_alarms = (~positive).sum() - passed_over
    costs: npt.NDArray[np.float64] = policy.miss * misses + policy.false_alarm * false_alarms
    return costs / len(positive)
