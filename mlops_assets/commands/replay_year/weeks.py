"""What is kept of each partition of a replayed year."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Week:
    """One partition under one policy.

    ``days``: per local date the sum of squared errors of what callers were answered, and the
    number of answers that have a label. ``late_rate`` is the share of those labels that are true;
    ``estimated`` the Brier score that was told before labels came, None where there was none.
    ``alarm``: drift was found, with ``cause`` as triage says. ``asked``: as of which partition a
    training was asked for after it, and ``refused`` why its model was not registered.
    ``promoted`` and ``rolled_back``: versions whose rollout ended in this partition.
    """

    week: str
    champion: str
    rows: int
    late_rate: float
    days: Mapping[str, tuple[float, int]]
    estimated: float | None = None
    alarm: bool = False
    cause: str = "nothing"
    asked: str | None = None
    refused: str | None = None
    promoted: tuple[str, ...] = ()
    rolled_back: tuple[str, ...] = ()
    failed_requests: int = 0

    @property
    def brier(self) -> float:
        """The realised Brier score: over answers, not over days."""
        return sum(total for total, _ in self.days.values()) / sum(n for _, n in self.days.values())


@dataclass(frozen=True)
class Course:
    """A year under one policy; ``seconds`` it took to replay."""

    policy: str
    weeks: Sequence[Week]
    seconds: float = 0.0

    @property
    def fits(self) -> int:
        """Models trained after the first: the first is the same for every policy."""
        return sum(week.asked is not None for week in self.weeks)

    @property
    def mean_brier(self) -> float:
        """The mean of the weekly Brier scores, each week counting the same."""
        return sum(week.brier for week in self.weeks) / len(self.weeks)


def write_course(course: Course, path: Path) -> None:
    """Keep a course as JSON; the file is there as a whole or not at all."""
    written = path.with_suffix(".writing")
    written.write_text(json.dumps(asdict(course), indent=2) + "\n")
    written.replace(path)


def read_course(path: Path) -> Course:
    """A course as it was written."""
    said = json.loads(path.read_text())
    weeks = [_read_week(week) for week in said.pop("weeks")]
    return Course(**said, weeks=weeks)


def _read_week(said: dict[str, Any]) -> Week:
    """JSON knows lists alone."""
    days = {day: (total, count) for day, (total, count) in said["days"].items()}
    ended = {name: tuple(said[name]) for name in ("promoted", "rolled_back")}
    return Week(**{**said, **ended, "days": days})
