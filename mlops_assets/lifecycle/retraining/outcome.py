"""Did it help? The model before and the one after, asked about the same later rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from mlops_assets.lifecycle.resampling import compare_models

if TYPE_CHECKING:
    import numpy.typing as npt

MINIMUM_DAYS = 6
"""Of two equal models one is better on each of 2 days every second time, of 6 every 32nd."""

Help = Literal["helped", "hurt", "undecided", "did_not_serve"]


@dataclass(frozen=True)
class RetrainingOutcome:
    """What came of the retraining as of a partition.

    ``before`` and ``after`` are versions, ``partitions`` those both were asked about, ``labels``
    the digest of their labels. ``brier``: of both on these rows; ``difference``: the Brier score
    after minus before, below 0 is better, with the interval of resampled days (``value``, ``low``,
    ``high``, ``days``).
    """

    outcome: Help
    reason: str
    as_of: str
    trigger: str
    before: str = ""
    after: str = ""
    partitions: tuple[str, ...] = ()
    rows: int = 0
    brier: Mapping[str, float] = field(default_factory=dict)
    difference: Mapping[str, float | None] = field(default_factory=dict)
    labels: str = ""


@dataclass(frozen=True)
class Replacement:
    """Which version replaced which, by the retraining that ``trigger`` asked for."""

    as_of: str
    trigger: str
    before: str
    after: str


def judge_outcome(
    replaced: Replacement,
    partitions: Sequence[str],
    labels: str,
    truth: npt.NDArray[Any],
    before: npt.NDArray[Any],
    after: npt.NDArray[Any],
    days: npt.NDArray[Any],
    *,
    seed: int,
) -> RetrainingOutcome:
    """Helped or hurt when the interval of the difference in Brier score leaves 0 out, on days
    enough to tell that from luck.

    ``before`` and ``after``: the probabilities of both models for rows that both have never seen,
    shape (rows,). Raises ``TrainingError`` when the rows have one class only.
    """
    gap = compare_models(truth, after, before, days, "brier", seed=seed)
    outcome: Help = "undecided"
    told = gap.days >= MINIMUM_DAYS
    if told and (gap.high < 0 or gap.low > 0):
        outcome = "helped" if gap.high < 0 else "hurt"
    brier = {
        "before": float(((truth - before) ** 2).mean()),
        "after": float(((truth - after) ** 2).mean()),
    }
    reason = (
        f"Brier {brier['after']:.4f} by {replaced.after}, {brier['before']:.4f} by "
        f"{replaced.before} on the same {len(truth):,} rows of {len(partitions)} partition(s): "
        f"{gap.value:+.4f}, from {gap.low:+.4f} to {gap.high:+.4f} over {gap.days} resampled days"
    )
    if not told:
        reason += f"; below {MINIMUM_DAYS} days it may be luck, raise retraining.evaluate_after"
    return RetrainingOutcome(
        outcome,
        reason,
        replaced.as_of,
        replaced.trigger,
        replaced.before,
        replaced.after,
        tuple(partitions),
        len(truth),
        brier,
        gap.plain,
        labels,
    )
