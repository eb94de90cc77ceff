"""How much of what weekly retraining gains a policy reaches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mlops_assets.commands.replay_year.weeks import Week
from mlops_assets.lifecycle.errors import MlopsAssetsError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

RESAMPLES = 2_000
CONFIDENCE = 0.95


class ReplayError(MlopsAssetsError):
    """A year could not be replayed or compared; the message says why."""


@dataclass(frozen=True)
class Gain:
    """The share of the yardstick's gain that a policy reaches, 1 for all of it.

    ``low`` and ``high`` hold 95 % of resamples of the days within each week, the same days for
    every policy; None where the yardstick gains nothing in one of them.
    """

    value: float
    low: float | None
    high: float | None


def measure_gain(
    never: Sequence[Week],
    policy: Sequence[Week],
    yardstick: Sequence[Week],
    *,
    resamples: int = RESAMPLES,
    seed: int = 7,
) -> Gain:
    """(Brier never - Brier policy) / (Brier never - Brier yardstick), of means over weeks.

    Whole days are drawn, as the rows of a day depend on each other. Raises ``ReplayError`` when
    the three did not answer the same days, or the yardstick is no better than never.
    """
    import numpy as np

    generator = np.random.default_rng(seed)
    sums = [_paired(weeks) for weeks in zip(never, policy, yardstick, strict=True)]
    measured = _share(np.stack([_brier(days, np.ones((1, days.shape[1]))) for days in sums]))
    if not np.isfinite(measured[0]):
        raise ReplayError("replay-year: training every week gains nothing over never in this year")
    drawn = [
        _brier(days, generator.multinomial(days.shape[1], _even(days.shape[1]), resamples))
        for days in sums
    ]
    shares = _share(np.stack(drawn))
    if not np.isfinite(shares).all():
        return Gain(float(measured[0]), None, None)
    low, high = np.quantile(shares, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return Gain(float(measured[0]), float(low), float(high))


def _paired(weeks: tuple[Week, Week, Week]) -> npt.NDArray[np.float64]:
    """Squared errors and answers by policy and day, shape (3, days, 2)."""
    import numpy as np

    first = weeks[0].days
    if any(week.days.keys() != first.keys() for week in weeks):
        raise ReplayError(
            f"replay-year: the policies did not answer the same days of {weeks[0].week}; "
            "remove the build folder and replay again"
        )
    return np.array([[week.days[day] for day in sorted(first)] for week in weeks], dtype=float)


def _even(count: int) -> list[float]:
    return [1 / count] * count


def _brier(days: npt.NDArray[np.float64], weights: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """Brier scores of one week, shape (resamples, 3)."""
    totals = weights @ days[:, :, 0].T
    answers = weights @ days[:, :, 1].T
    result: npt.NDArray[np.float64] = totals / answers
    return result


def _share(briers: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Shares of the gain from weekly scores of shape (weeks, resamples, 3); NaN without a gain."""
    import numpy as np

    never, policy, yardstick = briers.mean(axis=0).T
    possible = never - yardstick
    shares = np.full(possible.shape, np.nan)
    np.divide(never - policy, possible, out=shares, where=possible > 0)
    return shares
