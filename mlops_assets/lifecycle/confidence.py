"""How good answers are by the model's own confidence, before any label is there.

A probability that holds what it promises says how often it is wrong: a row answered 0.8 and taken
as positive is wrong one time in five. The mean over rows is the accuracy to expect (confidence-
based performance estimation, CBPE; Bialek, Kuberski, Perrakis and Bifet, "Estimating Model
Performance Under Covariate Shift Without Labels", 2024, section 3). It follows rows that have
become harder, and is blind to rows that have come to mean something else: measured later, the
difference tells one from the other.

Answers seldom hold what they promise, so they are mapped first, by a logistic regression on their
log-odds fitted to rows the model was not fitted on (Cox, "Two Further Applications of a Model for
Binary Regression", Biometrika 45, 1958). The days of a test are few, and the next ones are others:
what chance alone may have done to the map is taken back.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from mlops_assets.lifecycle.metrics import log_losses

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

_NEAREST = 1e-6
"""A probability nearer to 0 or 1 counts as this near: its log-odds are finite."""

_STRENGTH = 1.0
"""How strongly the map is held to changing nothing: as much as about one row."""

_CHANCE = 5.99
"""How far chance alone leads a map, squared and in units of what is unsure about it, but for one in
twenty: chi-square of two numbers."""

_FEWEST_DAYS = 3
"""Fewer say nothing about how far two numbers differ from day to day."""

_STEPS = 100


@dataclass(frozen=True)
class ConfidenceMap:
    """Answered probabilities to those the rows speak for: log-odds, stretched and shifted.

    ``moves`` says of each day it was fitted on by how much intercept and slope, as they were
    fitted, change when that day counts twice: what is known about how sure they are.
    """

    intercept: float
    slope: float
    rows: int
    moves: tuple[tuple[float, float], ...] = ()

    def apply(self, probability: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
        """The probabilities to go by, shape (rows,)."""
        return _share(self.intercept + self.slope * _log_odds(probability))


def fit_confidence(
    probability: npt.NDArray[Any], truth: npt.NDArray[Any], days: npt.NDArray[Any]
) -> ConfidenceMap:
    """The map fitted on rows the model was not fitted on; ``days`` says which day each belongs to.

    A weak pull to changing nothing keeps it defined where rows are few or of one class. Raises
    ``ValueError`` without rows, or when the three do not belong together.
    """
    import numpy as np

    truth = np.asarray(truth, dtype=float)
    inputs = np.column_stack([np.ones(len(truth)), _log_odds(probability)])
    if not len(truth) or len(days) != len(truth):
        raise ValueError(
            f"confidence: a map needs rows, each with its day, got {len(truth)} row(s) "
            f"and {len(days)} day(s)"
        )
    found = _descend(inputs, truth)
    errors = (truth - _share(inputs @ found))[:, None] * inputs
    names, day = np.unique(np.asarray(days), return_inverse=True)
    sums = np.column_stack(
        [np.bincount(day, weights=column, minlength=len(names)) for column in errors.T]
    )
    moves = np.linalg.solve(_curvature(inputs, found), sums.T).T
    return ConfidenceMap(
        float(found[0]), float(found[1]), len(truth), tuple((float(a), float(b)) for a, b in moves)
    )


def hold_back(confidence: ConfidenceMap) -> ConfidenceMap:
    """The map as far as it lies beyond chance: nearly all of it where answers are clearly off,
    none where days that differ explain it.

    Shrunk as by the positive-part estimator of James and Stein (1961), with the bound of chance in
    the place of theirs, which for two numbers is 0.
    """
    import numpy as np

    moves = np.array(confidence.moves).reshape(-1, 2)
    if len(moves) < _FEWEST_DAYS:
        return confidence
    change = np.array([confidence.intercept, confidence.slope - 1])
    far = float(change @ np.linalg.pinv(moves.T @ moves, hermitian=True) @ change)
    kept = max(0.0, 1 - _CHANCE / far) if far > 0 else 0.0
    intercept, slope = (float(part) for part in kept * change)
    return replace(confidence, intercept=intercept, slope=1 + slope)


def estimate_metrics(
    confidence: ConfidenceMap, probability: npt.NDArray[Any], threshold: float
) -> dict[str, float]:
    """What to expect of the answers once their labels are there; nothing without rows, and no
    ``auc`` where no two rows can be ranked.

    ``threshold``: rows answered at least that are taken as positive, for the ``accuracy``. With
    p mapped and s answered, a row has Brier score p(1-s)^2 + (1-p)s^2 on average, and log loss
    -p log s - (1-p) log(1-s). The AUC is a ratio of such means, and so good only on many rows.
    """
    import numpy as np

    answered = np.asarray(probability, dtype=float)
    if not len(answered):
        return {}
    p = confidence.apply(answered)
    estimated = {
        "accuracy": float(np.where(answered >= threshold, p, 1 - p).mean()),
        "brier": float(expected_squares(confidence, answered).mean()),
        "log_loss": float((p * log_losses(_of(1, p), answered)).mean())
        + float(((1 - p) * log_losses(_of(0, p), answered)).mean()),
        "positive_rate": float(p.mean()),
    }
    auc = _expected_auc(p, answered)
    return estimated if auc is None else {**estimated, "auc": auc}


def expected_squares(
    confidence: ConfidenceMap, probability: npt.NDArray[Any]
) -> npt.NDArray[np.float64]:
    """The squared error to expect of each answer, shape (rows,)."""
    p = confidence.apply(probability)
    squares: npt.NDArray[np.float64] = p * (1 - probability) ** 2 + (1 - p) * probability**2
    return squares


def move_expected_squares(
    confidence: ConfidenceMap, probability: npt.NDArray[Any]
) -> npt.NDArray[np.float64]:
    """By how much the mean squared error to expect changes per day of the map's, shape (days,),
    when that day counts twice; to first order."""
    import numpy as np

    p = confidence.apply(probability)
    steepness = p * (1 - p) * (1 - 2 * np.asarray(probability))
    towards = np.array([steepness.mean(), (steepness * _log_odds(probability)).mean()])
    moved: npt.NDArray[np.float64] = np.array(confidence.moves).reshape(-1, 2) @ towards
    return moved


def _descend(
    inputs: npt.NDArray[np.float64], truth: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Intercept and slope of least penalised log loss, by Newton's method with shorter steps where
    a whole one would lead uphill; the loss is convex, so there is one."""
    import numpy as np

    found = np.array([0.0, 1.0])
    loss = _loss(found, inputs, truth)
    for _ in range(_STEPS):
        slopes = inputs.T @ (_share(inputs @ found) - truth) + _STRENGTH * (found - [0.0, 1.0])
        step = np.linalg.solve(_curvature(inputs, found), slopes)
        while (ahead := _loss(found - step, inputs, truth)) > loss and np.abs(step).max() > 1e-12:
            step = step / 2
        found, gained, loss = found - step, loss - ahead, ahead
        if gained <= 1e-10 * (1 + abs(loss)):
            break
    return found


def _loss(
    found: npt.NDArray[np.float64],
    inputs: npt.NDArray[np.float64],
    truth: npt.NDArray[np.float64],
) -> float:
    import numpy as np

    odds = inputs @ found
    pull = _STRENGTH / 2 * float(((found - [0.0, 1.0]) ** 2).sum())
    return float((np.logaddexp(0, odds) - truth * odds).sum()) + pull


def _curvature(
    inputs: npt.NDArray[np.float64], found: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    import numpy as np

    p = _share(inputs @ found)
    curved: npt.NDArray[np.float64] = (inputs * (p * (1 - p))[:, None]).T @ inputs
    return curved + _STRENGTH * np.eye(2)


def _expected_auc(p: npt.NDArray[np.float64], answered: npt.NDArray[np.float64]) -> float | None:
    """Expected pairs of a positive above a negative row, ties counting half, over expected pairs;
    no row is paired with itself. None where no pair is expected."""
    import numpy as np

    _, group = np.unique(answered, return_inverse=True)
    positive, negative = np.bincount(group, weights=p), np.bincount(group, weights=1 - p)
    below = np.cumsum(negative) - negative
    with_itself = float((p * (1 - p)).sum())
    ranked = float((positive * (below + negative / 2)).sum()) - with_itself / 2
    pairs = float(positive.sum() * negative.sum()) - with_itself
    return ranked / pairs if pairs > 0 else None


def _log_odds(probability: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    import numpy as np

    inside = np.clip(np.asarray(probability, dtype=float), _NEAREST, 1 - _NEAREST)
    odds: npt.NDArray[np.float64] = np.log(inside / (1 - inside))
    return odds


def _share(odds: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    from scipy.special import expit

    share: npt.NDArray[np.float64] = expit(odds)
    return share


def _of(label: int, like: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    import numpy as np

    return np.full(len(like), label)
