"""When columns, and when a window of rows, count as drifted."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class DriftPolicy:
    """What is flagged, and when flags make a window drift.

    ``false_discovery_rate``: the share of flagged columns that may be flagged by chance
    (Benjamini-Hochberg); without any drift at most this share of windows has a flag at all.
    ``minimum_effect``: the smallest shift of a column worth a flag, 0 to 1. ``missing``,
    ``unseen`` and ``tail``: the smallest share of the rows worth a flag, of missing values and of
    values the reference has not beyond its worst stretch as long as the window, and of numbers
    far out of its range. ``permutations``: at least so many; more with many columns.
    ``drift_share``: the share of columns, weighted by importance, that makes a window drift.
    ``minimum_rows`` and ``minimum_days``: less than this on either side is inconclusive, and so
    are too few days to ever fall below ``false_discovery_rate`` with one column among all.
    ``reference``: how many partitions before the training date are the reference.
    ``ignore``: features that are not looked at, such as seasons.
    """

    false_discovery_rate: float = 0.05
    minimum_effect: float = 0.05
    missing: float = 0.02
    unseen: float = 0.005
    tail: float = 0.005
    drift_share: float = 0.3
    minimum_rows: int = 300
    minimum_days: int = 3
    reference: int = 8
    permutations: int = 4999
    seed: int = 7
    ignore: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in (
            "false_discovery_rate",
            "minimum_effect",
            "missing",
            "unseen",
            "tail",
            "drift_share",
        ):
            value = getattr(self, name)
            if not 0 < value <= 1:
                raise ValueError(f"{name} must lie in (0, 1], got {value}")
        for name in ("minimum_rows", "minimum_days", "reference", "permutations"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
