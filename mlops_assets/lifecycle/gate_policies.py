"""What a version has to show before it may become a challenger, as ``defs.yaml`` states it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from mlops_assets.lifecycle.errors import did_you_mean
from mlops_assets.lifecycle.leakage import LeakagePolicy
from mlops_assets.lifecycle.metrics import METRICS
from mlops_assets.lifecycle.staging import ServingPolicy


@dataclass(frozen=True)
class ChampionGate:
    """The challenger may be worse than the champion by at most ``margin`` in ``metric``.

    Both are measured on the same rows. ``confidence`` is that of the two-sided interval of "worse
    by", over resampled days: passed when it ends at the margin or below, failed when it begins
    above, inconclusive when the margin lies inside.
    """

    metric: str = "brier"
    margin: float = 0.0
    confidence: float = 0.95

    def __post_init__(self) -> None:
        _require_metrics([self.metric])
        _require_margin(self.margin)
        _require_confidence(self.confidence)


@dataclass(frozen=True)
class SliceGate:
    """No slice of at least ``minimum_rows`` rows may be surely bad.

    Surely worse than the champion by more than ``margin`` in ``metric``, or surely beyond
    ``limit``: at most that, or at least that where higher is better. ``confidence`` holds over all
    slices together, so that one of many is not blamed for chance.
    """

    metric: str = "brier"
    margin: float = 0.05
    limit: float | None = None
    minimum_rows: int = 300
    confidence: float = 0.95

    def __post_init__(self) -> None:
        _require_metrics([self.metric])
        _require_margin(self.margin)
        _require_rows(self.minimum_rows)
        _require_confidence(self.confidence)
        if self.limit is not None and not 0 <= self.limit < math.inf:
            raise ValueError(f"limit must not be negative, got {self.limit}")


@dataclass(frozen=True)
class GatePolicy:
    """``minimum`` and ``maximum`` bound metrics; ``champion`` compares on the same rows, and
    ``slices`` within parts of them.

    ``minimum_rows``: fewer test rows than this leave a gate inconclusive, which blocks too.
    ``leakage`` is always judged. ``serving``: what the version has to show in a model server.
    ``behaviour``: functions of ``model.py`` that each state how predictions have to move.
    """

    minimum: Mapping[str, float] = field(default_factory=dict)
    maximum: Mapping[str, float] = field(default_factory=dict)
    champion: ChampionGate | None = None
    minimum_rows: int = 500
    slices: SliceGate | None = None
    leakage: LeakagePolicy = field(default_factory=LeakagePolicy)
    serving: ServingPolicy | None = None
    behaviour: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        _require_metrics([*self.minimum, *self.maximum])
        _require_rows(self.minimum_rows)
        for name in self.behaviour:
            if self.names.count(name) > 1:
                raise ValueError(
                    f"behaviour must name each function once and none like another gate, "
                    f"got '{name}' again"
                )

    @property
    def names(self) -> list[str]:
        """The gates' names in order, known before anything is judged."""
        bounds = [f"{metric}_is_high_enough" for metric in self.minimum]
        bounds += [f"{metric}_is_low_enough" for metric in self.maximum]
        chosen = {
            "is_no_worse_than_champion": self.champion,
            "no_slice_is_worse": self.slices,
            "nothing_leaks": self.leakage,
        }
        return [*bounds, *_stated(chosen), *self._staged, *self.behaviour]

    @property
    def _staged(self) -> list[str]:
        if self.serving is None:
            return []
        budgets = {
            "answers_in_time": self.serving.p95_milliseconds,
            "is_small_enough": self.serving.megabytes,
        }
        return ["serves_what_was_tested", *_stated(budgets)]


def _stated(chosen: Mapping[str, object | None]) -> list[str]:
    return [name for name, policy in chosen.items() if policy is not None]


def _require_metrics(names: Iterable[str]) -> None:
    for name in names:
        if name not in METRICS:
            hint = did_you_mean(name, METRICS)
            raise ValueError(f"unknown metric '{name}', allowed are {', '.join(METRICS)}{hint}")


def _require_margin(margin: float) -> None:
    if not 0 <= margin < math.inf:
        raise ValueError(f"margin must not be negative, got {margin}")


def _require_confidence(confidence: float) -> None:
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must lie between 0 and 1, got {confidence}")


def _require_rows(rows: int) -> None:
    if rows < 1:
        raise ValueError(f"minimum_rows must be at least 1, got {rows}")
