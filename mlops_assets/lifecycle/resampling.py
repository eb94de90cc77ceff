"""How sure a measured number is, when rows of one day depend on each other.

Storms make the rows of one day alike, so rows cannot be resampled one by one: that would count
one storm a hundred times. Whole days are drawn with replacement instead (cluster bootstrap;
Davison and Hinkley, "Bootstrap Methods and their Application", 1997, section 3.8).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mlops_assets.lifecycle.errors import TrainingError, did_you_mean
from mlops_assets.lifecycle.metrics import HIGHER_IS_BETTER, METRICS, log_losses, share_bins

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


@dataclass(frozen=True)
class Interval:
    """A number measured on all rows, and the range it may lie in.

    Below two days nothing is known about how days differ: the range is then without ends
    (-inf, inf), so that nothing is ever shown by it.
    """

    value: float
    low: float
    high: float
    days: int

    @property
    def plain(self) -> dict[str, float | None]:
        """For JSON, which has no infinity: an end that is not there is None."""
        ends = {"low": self.low, "high": self.high}
        finite = {name: end if math.isfinite(end) else None for name, end in ends.items()}
        return {"value": self.value, **finite, "days": self.days}


def measure_intervals(
    truth: npt.NDArray[Any],
    probability: npt.NDArray[Any],
    days: npt.NDArray[Any],
    *,
    confidence: float = 0.95,
    resamples: int = 1000,
    seed: int,
) -> dict[str, Interval]:
    """Every metric with its interval.

    ``days`` says per row which day it belongs to. A resample that holds one class only has no
    AUC and is left out of that interval. The calibration error of a resample tends to lie above
    that of all rows (noise adds to an absolute value); its bins stay those of all rows. Raises
    ``TrainingError`` when one class is missing.
    """
    drawn = _Days.draw(days, resamples, seed)
    truth, probability = _as_pair(truth, probability, drawn)
    return {
        metric: _interval(*_RESAMPLED[metric](truth, probability, drawn), drawn, confidence)
        for metric in METRICS
    }


def compare_models(
    truth: npt.NDArray[Any],
    probability: npt.NDArray[Any],
    other: npt.NDArray[Any],
    days: npt.NDArray[Any],
    metric: str,
    *,
    confidence: float = 0.95,
    resamples: int = 1000,
    seed: int,
) -> Interval:
    """By how much ``probability`` is worse than ``other`` in ``metric`` on the same rows.

    Positive is worse, whichever way the metric counts. Both see the same resampled days, so what
    makes a day hard for both cancels. Raises ``TrainingError`` when one class is missing.
    """
    if metric not in METRICS:
        hint = did_you_mean(metric, METRICS)
        raise ValueError(f"unknown metric '{metric}', allowed are {', '.join(METRICS)}{hint}")
    drawn = _Days.draw(days, resamples, seed)
    truth, probability = _as_pair(truth, probability, drawn)
    _, other = _as_pair(truth, other, drawn)
    value, resampled = _RESAMPLED[metric](truth, probability, drawn)
    other_value, other_resampled = _RESAMPLED[metric](truth, other, drawn)
    sign = -1.0 if metric in HIGHER_IS_BETTER else 1.0
    difference = sign * (value - other_value), sign * (resampled - other_resampled)
    return _interval(*difference, drawn, confidence)


def measure_mean(
    values: npt.NDArray[Any],
    days: npt.NDArray[Any],
    *,
    confidence: float = 0.95,
    resamples: int = 1000,
    seed: int,
) -> Interval:
    """The mean over rows of any value, such as a cost or a squared error, with its interval."""
    drawn = _Days.draw(days, resamples, seed)
    return _interval(*_mean(drawn.aligned(values), drawn), drawn, confidence)


def draw_multiplicities(days: int, resamples: int, seed: int) -> npt.NDArray[np.int64]:
    """How often each resample holds each day, shape (resamples, days); each row sums to days."""
    import numpy as np

    return np.random.default_rng(seed).multinomial(days, np.full(days, 1 / days), size=resamples)


@dataclass(frozen=True)
class _Days:
    """The day of each row as a number, and what each resample holds of each day."""

    day: npt.NDArray[np.int64]
    count: int
    multiplicity: npt.NDArray[np.float64]

    @classmethod
    def draw(cls, days: npt.NDArray[Any], resamples: int, seed: int) -> _Days:
        import numpy as np

        if not len(days) or resamples < 1:
            raise ValueError(
                f"resampling needs rows and resamples, got {len(days)} row(s) and "
                f"{resamples} resample(s)"
            )
        names, day = np.unique(np.asarray(days), return_inverse=True)
        drawn = draw_multiplicities(len(names), resamples, seed)
        return cls(day, len(names), drawn.astype(float))

    def sums(self, values: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
        """The sum of the values of each day."""
        import numpy as np

        return np.bincount(self.day, weights=values, minlength=self.count).astype(float)

    def aligned(self, values: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
        import numpy as np

        array = np.asarray(values, dtype=float)
        if array.shape != self.day.shape:
            raise ValueError(
                f"resampling needs one value per row, got shape {array.shape} "
                f"for {len(self.day)} rows"
            )
        return array


_Resampled = tuple[float, "npt.NDArray[np.float64]"]
"""A metric on all rows, and on each resample; NaN where a resample has none."""


def _mean(values: npt.NDArray[np.float64], drawn: _Days) -> _Resampled:
    import numpy as np

    sums, rows = drawn.sums(values), drawn.sums(np.ones_like(values))
    return float(values.mean()), drawn.multiplicity @ sums / (drawn.multiplicity @ rows)


def _brier(truth: npt.NDArray[Any], probability: npt.NDArray[Any], drawn: _Days) -> _Resampled:
    return _mean((truth - probability) ** 2, drawn)


def _log_loss(truth: npt.NDArray[Any], probability: npt.NDArray[Any], drawn: _Days) -> _Resampled:
    return _mean(log_losses(truth, probability), drawn)


def _calibration_error(
    truth: npt.NDArray[Any], probability: npt.NDArray[Any], drawn: _Days
) -> _Resampled:
    """Sums over rows of (probability - truth) per day and bin; the error is their absolute sum."""
    import numpy as np

    gaps = share_bins(probability) * (probability - truth)[:, None]
    per_day = np.stack([drawn.sums(gap) for gap in gaps.T], axis=1)
    rows = drawn.sums(np.ones_like(probability))
    errors = np.abs(drawn.multiplicity @ per_day).sum(axis=1) / (drawn.multiplicity @ rows)
    return float(np.abs(per_day.sum(axis=0)).sum() / rows.sum()), errors


def _auc(truth: npt.NDArray[Any], probability: npt.NDArray[Any], drawn: _Days) -> _Resampled:
    """Pairs ranked right are counted once per pair of days; a resample weighs these counts."""
    import numpy as np

    positives, negatives = drawn.sums(truth == 1), drawn.sums(truth != 1)
    ranked = _count_ranked_pairs(truth, probability, drawn)
    right = np.einsum("rd,rd->r", drawn.multiplicity @ ranked, drawn.multiplicity)
    pairs = (drawn.multiplicity @ positives) * (drawn.multiplicity @ negatives)
    resampled = np.divide(right, pairs, out=np.full_like(pairs, np.nan), where=pairs > 0)
    return float(ranked.sum() / (positives.sum() * negatives.sum())), resampled


def _count_ranked_pairs(
    truth: npt.NDArray[Any], probability: npt.NDArray[Any], drawn: _Days
) -> npt.NDArray[np.float64]:
    """Cell (i, j): pairs of a positive of day i above a negative of day j, ties counting half."""
    import numpy as np

    order = np.argsort(probability, kind="stable")
    sorted_probability, day, positive = probability[order], drawn.day[order], truth[order] == 1
    highs, day_of_high = sorted_probability[positive], day[positive]
    counts = np.empty((drawn.count, drawn.count))
    for column in range(drawn.count):
        lows = sorted_probability[~positive & (day == column)]
        below = np.searchsorted(lows, highs, "left") + np.searchsorted(lows, highs, "right")
        counts[:, column] = np.bincount(day_of_high, weights=below / 2, minlength=drawn.count)
    return counts


_RESAMPLED = {
    "auc": _auc,
    "brier": _brier,
    "log_loss": _log_loss,
    "calibration_error": _calibration_error,
}


def _as_pair(
    truth: npt.NDArray[Any], probability: npt.NDArray[Any], drawn: _Days
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    truth, probability = drawn.aligned(truth), drawn.aligned(probability)
    if not 0 < truth.sum() < len(truth):
        raise TrainingError(
            f"resampling: metrics need both classes, {int(truth.sum())} of {len(truth)} rows are "
            "positive; measure on more rows"
        )
    return truth, probability


def _interval(
    value: float, resampled: npt.NDArray[np.float64], drawn: _Days, confidence: float
) -> Interval:
    """The expanded percentile interval, widened where needed to hold the value itself.

    Plain percentiles are too narrow for few clusters; the levels of Student's t with days - 1
    degrees of freedom repair that (Hesterberg, "What Teachers Should Know About the Bootstrap",
    The American Statistician 69, 2015, section 5.2).
    """
    import numpy as np
    from scipy.special import ndtr, stdtrit

    if not 0 < confidence < 1:
        raise ValueError(f"confidence must lie between 0 and 1, got {confidence}")
    known = resampled[~np.isnan(resampled)]
    if drawn.count < 2 or not len(known):
        return Interval(value, -math.inf, math.inf, drawn.count)
    widened = math.sqrt(drawn.count / (drawn.count - 1))
    level = float(ndtr(widened * stdtrit(drawn.count - 1, (1 - confidence) / 2)))
    low, high = np.quantile(known, [level, 1 - level])
    return Interval(value, min(float(low), value), max(float(high), value), drawn.count)
