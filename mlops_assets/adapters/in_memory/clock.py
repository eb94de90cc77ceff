"""A clock that stands still."""

from __future__ import annotations

from datetime import UTC, datetime


class FixedClock:
    """``Clock`` that stands still until told otherwise."""

    def __init__(self, at: datetime = datetime(2013, 6, 1, tzinfo=UTC)) -> None:
        self.at = at

    def now(self) -> datetime:
        return self.at
