"""How old data, a model and its monitoring may become before somebody has to look."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

Part = Literal["data", "model", "monitoring"]

_LONGEST = 1_000_000
"""Hours, more than a century: what no clock can add would fail the load."""


@dataclass(frozen=True)
class FreshnessLimit:
    """Stale when nothing was materialized for ``hours``; the UI warns from ``warn_hours`` on."""

    hours: float
    warn_hours: float | None = None

    def __post_init__(self) -> None:
        for name in ("hours", "warn_hours"):
            value = getattr(self, name)
            if value is None:
                continue
            # Dagster looks about once a minute, and refuses what is shorter.
            if not value * 60 >= 1:
                raise ValueError(f"{name} must be at least a minute, got {value} hours")
            if value > _LONGEST:
                raise ValueError(f"{name} must be at most {_LONGEST}, got {value}; or leave it out")
        if self.warn_hours is not None and self.warn_hours >= self.hours:
            raise ValueError(
                f"warn_hours must be below hours, got {self.warn_hours} and {self.hours}"
            )


@dataclass(frozen=True)
class FreshnessPolicy:
    """The limits of a model. ``data``: labels and features. ``model``: registered versions.
    ``monitoring``: drift reports and performance. None sets no limit."""

    data: FreshnessLimit | None = None
    model: FreshnessLimit | None = None
    monitoring: FreshnessLimit | None = None


@dataclass(frozen=True)
class Staleness:
    """That something is overdue: since when, and how long ago it was last made."""

    since: datetime
    age: timedelta
    limit: timedelta

    def describe(self) -> str:
        """The two durations in words, rounded to hours."""
        return f"last made {_hours(self.age)} ago, at most {_hours(self.limit)} are expected"


def find_staleness(made: datetime | None, limit: timedelta, now: datetime) -> Staleness | None:
    """Whether what was last ``made`` then is overdue; None while it is not.

    What was never made has no age: it is not stale, as in Dagster.
    """
    if made is None or now - made < limit:
        return None
    return Staleness(made + limit, now - made, limit)


def _hours(duration: timedelta) -> str:
    hours = duration.total_seconds() / 3600
    return f"{hours:.0f} hours" if hours >= 2 else f"{hours * 60:.0f} minutes"
