"""Which partitions to ingest: those that are not there, and those that look back on what is new."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from mlops_assets.lifecycle.calendar import Calendar


@dataclass(frozen=True)
class IngestionPlan:
    """``ranges``: first and last partition of each run, independent of each other, so that they
    may run at once. ``refused``: what is wrong with partitions that cannot be ingested; each costs
    itself alone. ``later``: partitions whose turn comes once those before them are there.
    """

    ranges: tuple[tuple[str, str], ...] = ()
    refused: Mapping[str, str] = field(default_factory=dict)
    later: tuple[str, ...] = ()


def find_due(
    calendar: Calendar,
    now: datetime,
    lookback: int,
    built: Mapping[str, int],
    inputs: Mapping[str, int],
) -> tuple[str, ...]:
    """The partitions that have ended at ``now`` and have no features, or features that looked
    back on something that has come, or was mended, since.

    ``built`` numbers the latest making of each partition's features, ``inputs`` the moment since
    which what features are built from is what it is, in the same order of time.
    """
    due = []
    for key in calendar.ended(now):
        seen = calendar.with_lookback((key,), lookback)
        newest = max((inputs[other] for other in seen if other in inputs), default=-1)
        if key not in built or newest > built[key]:
            due.append(key)
    return tuple(due)


def plan_ingestion(
    calendar: Calendar,
    now: datetime,
    lookback: int,
    due: Sequence[str],
    changing: Collection[str],
    refused: Mapping[str, str],
) -> IngestionPlan:
    """One range from the first due partition to the last, or to the last that looks back on one
    that is ``changing``: whose rows are not there yet, or have grown.

    A refused partition ends a range: what comes behind it waits where it looks back on that
    range, as two runs at once would build features on rows that are being replaced.
    """
    keys = calendar.ended(now)
    places = {key: place for place, key in enumerate(keys)}
    good = [places[key] for key in due if key not in refused]
    closed = {places[key] for key in refused if key in places}
    ranges: list[tuple[str, str]] = []
    later: list[str] = []
    last = -lookback - 1
    for stretch in _stretches(good, closed, lookback):
        if ranges and stretch[0] - last <= lookback:
            later += [keys[place] for place in stretch]
            continue
        moved = [place for place in stretch if keys[place] in changing]
        far = _reach(moved[-1], lookback, closed, len(keys)) if moved else 0
        last = max(far, stretch[-1])
        ranges.append((keys[stretch[0]], keys[last]))
    return IngestionPlan(tuple(ranges), dict(refused), tuple(later))


def _stretches(good: Sequence[int], closed: Collection[int], lookback: int) -> Iterator[list[int]]:
    """Places near each other, with nothing between them that is closed."""
    stretch: list[int] = []
    for place in good:
        apart = stretch and place - stretch[-1] > lookback
        if stretch and (apart or any(stretch[-1] < wall < place for wall in closed)):
            yield stretch
            stretch = []
        stretch.append(place)
    if stretch:
        yield stretch


def _reach(place: int, lookback: int, closed: Collection[int], count: int) -> int:
    """The last place that looks back on this one, before anything that is closed."""
    far = min(place + lookback, count - 1)
    return min([far, *(wall - 1 for wall in closed if wall > place)])
