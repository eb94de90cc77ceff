"""The calendar of a model: which partition a date falls in, and which come before and after."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

if TYPE_CHECKING:
    import polars as pl

Cadence = Literal["daily", "weekly", "monthly"]


@dataclass(frozen=True)
class Calendar:
    """Partitions of equal cadence from ``start`` up to, not including, ``end``.

    A partition's key is its first date (YYYY-MM-DD). Weeks begin on Monday. Days begin at
    midnight in ``timezone``.
    """

    start: date
    end: date
    cadence: Cadence = "weekly"
    timezone: str = "UTC"

    def __post_init__(self) -> None:
        if self.end <= self.start:
            raise ValueError(f"end must be after start, got {self.start} to {self.end}")
        for name in ("start", "end"):
            day: date = getattr(self, name)
            first = self._first_date(day)
            if day != first:
                raise ValueError(
                    f"{name} must be the first date of a {self.cadence} partition, "
                    f"got {day}; use {first}"
                )
        try:
            ZoneInfo(self.timezone)
        except (ZoneInfoNotFoundError, ValueError, OSError) as error:  # OSError: names a folder
            raise ValueError(
                f"unknown timezone '{self.timezone}', use a name like Europe/Berlin or UTC"
            ) from error

    @cached_property
    def keys(self) -> tuple[str, ...]:
        """All partition keys, in order."""
        keys, day = [], self.start
        while day < self.end:
            keys.append(day.isoformat())
            day = self._next_date(day)
        return tuple(keys)

    def begin(self, key: str) -> datetime:
        """The first moment of a partition, in UTC."""
        day = date.fromisoformat(key)
        local = datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(self.timezone))
        return local.astimezone(UTC)

    def finish(self, key: str) -> datetime:
        """The first moment after a partition, in UTC."""
        return self.begin(self._next_date(date.fromisoformat(key)).isoformat())

    def next(self, key: str) -> str | None:
        """The key after, or None at the end."""
        after = self._next_date(date.fromisoformat(key))
        return after.isoformat() if after < self.end else None

    def before(self, key: str, count: int | None = None) -> tuple[str, ...]:
        """The ``count`` keys before ``key`` (fewer at the start), or all when None."""
        earlier = [other for other in self.keys if other < key]
        return tuple(
            earlier if count is None else earlier[len(earlier) - min(count, len(earlier)) :]
        )

    def with_lookback(self, keys: tuple[str, ...], count: int) -> tuple[str, ...]:
        """The keys and the ``count`` keys before the first of them."""
        first = min(keys)
        return (
            *self.before(first, count),
            *(key for key in self.keys if first <= key <= max(keys)),
        )

    def followers(self, key: str, count: int) -> tuple[str, ...]:
        """The key and the ``count`` keys after it (fewer at the end)."""
        later = [other for other in self.keys if other >= key]
        return tuple(later[: count + 1])

    def ended(self, now: datetime) -> tuple[str, ...]:
        """The partitions that have ended at ``now``."""
        return tuple(key for key in self.keys if self.finish(key) <= now)

    def latest_complete(self, now: datetime) -> str | None:
        """The last partition that has ended at ``now``, or None when none has."""
        ended = self.ended(now)
        return ended[-1] if ended else None

    def assign(self, day: pl.Expr) -> pl.Expr:
        """The partition key of each date; dates outside the calendar get a key all the same."""
        every = {"daily": "1d", "weekly": "1w", "monthly": "1mo"}[self.cadence]
        return day.dt.truncate(every).dt.strftime("%Y-%m-%d")

    def assign_moment(self, moment: pl.Expr) -> pl.Expr:
        """The partition key of each UTC moment."""
        return self.assign(moment.dt.convert_time_zone(self.timezone).dt.date())

    def _first_date(self, day: date) -> date:
        if self.cadence == "weekly":
            return day - timedelta(days=day.weekday())
        return day.replace(day=1) if self.cadence == "monthly" else day

    def _next_date(self, day: date) -> date:
        if self.cadence == "monthly":
            return (day.replace(day=28) + timedelta(days=4)).replace(day=1)
        return day + timedelta(days=7 if self.cadence == "weekly" else 1)
