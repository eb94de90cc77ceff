"""Looking up the features that a request leaves out."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable, Container, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from mlops_assets.adapters.serving_ports import OnlineTables
from mlops_assets.lifecycle.errors import ArtifactError, RequestError
from mlops_assets.lifecycle.online import Key, OnlineGroup, OnlineTable, Value

FOLLOW_SECONDS = 0.5
"""How often at most it is looked whether a table was replaced."""

ALONE_SECONDS = 2.0
"""After this long without ``follow`` a request looks by itself: nobody else does."""

Kind = Literal["categorical", "numeric"]

logger = logging.getLogger(__name__)


class Lookup:
    """One group, ready to be asked."""

    def __init__(self, group: OnlineGroup) -> None:
        self.by = group.by
        self.features = group.features
        self.names = frozenset(group.features)
        self.kinds = tuple(_kind(key[place] for key in group.rows) for place in range(len(self.by)))
        self._rows = group.rows
        self._absent: tuple[Value, ...] = (None,) * len(group.features)

    def find(self, key: Key) -> tuple[Value, ...]:
        """The values for a key; all missing when it is unknown.

        A number may come as text and the other way round: what the column holds decides.
        """
        row = self._rows.get(key)
        if row is None:
            typed = tuple(map(_coerced, key, self.kinds))
            row = self._rows.get(typed, self._absent)
        return row

    def require_nothing(
        self, key: str, columns: Container[str], wanted: Container[str] | None
    ) -> None:
        """Raise ``RequestError`` when a feature is wanted that came neither itself nor its key."""
        features = [
            name
            for name in self.features
            if name not in columns and (wanted is None or name in wanted)
        ]
        if features:
            raise RequestError(
                f"missing input {key}: {', '.join(features)} are looked up by it; send it, null "
                "where it is unknown, or send them"
            )


@dataclass(frozen=True)
class LoadedTable:
    """A table as requests use it, and what it was read from."""

    table: OnlineTable
    lookups: tuple[Lookup, ...]
    kinds: dict[str, Kind]
    inputs: frozenset[str]
    features: frozenset[str]
    moment: datetime


class OnlineLookups:
    """The latest online table of each model, followed while requests use it.

    A table that is damaged or gone leaves the last good one in place, and ``problem`` says so.
    ``follow`` belongs into a thread; where nothing calls it, a request does now and then.
    """

    def __init__(
        self, tables: OnlineTables, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._tables = tables
        self._monotonic = monotonic
        self._loaded: dict[str, LoadedTable | None] = {}
        self._problems: dict[str, str] = {}
        self._followed = monotonic()
        self._following = threading.Lock()

    def inputs(self, model: str) -> frozenset[str]:
        """What is looked up by: inputs a request may carry beside those of the model."""
        loaded = self._current(model)
        return loaded.inputs if loaded else frozenset()

    def kinds(self, model: str) -> dict[str, Kind]:
        """Of those inputs, which are text and which are numbers."""
        loaded = self._current(model)
        return loaded.kinds if loaded else {}

    def features(self, model: str) -> frozenset[str]:
        """What a request may leave out. The same object until another table is read."""
        loaded = self._current(model)
        return loaded.features if loaded else frozenset()

    def fill(
        self,
        model: str,
        columns: dict[str, list[Any]],
        height: int,
        wanted: Container[str] | None = None,
    ) -> str | None:
        """Add the features that are not in ``columns``, a list of ``height`` values each.

        What the caller sent stays. A key nobody has seen gives missing values. Returns the moment
        they are of (ISO 8601 in UTC), None when nothing was looked up. Raises ``RequestError``
        when the columns a missing feature is looked up by did not come either, and it is
        ``wanted`` (without it all are).
        """
        loaded = self._current(model)
        if loaded is None:
            return None
        asked = [lookup for lookup in loaded.lookups if not lookup.names <= columns.keys()]
        for lookup in asked:
            try:
                keys = [columns[name] for name in lookup.by]
            except KeyError as error:
                lookup.require_nothing(error.args[0], columns, wanted)
                continue
            if height == 1:
                row = lookup.find(tuple([values[0] for values in keys]))
                for name, value in zip(lookup.features, row, strict=True):
                    if name not in columns:
                        columns[name] = [value]
                continue
            rows = map(lookup.find, zip(*keys, strict=True) if keys else [()] * height)
            for name, values in zip(lookup.features, zip(*rows, strict=True), strict=True):
                columns.setdefault(name, list(values))
        return loaded.table.as_of if asked else None

    def as_of(self, model: str) -> str | None:
        """The moment of the table in use (ISO 8601 in UTC), None without one."""
        loaded = self._current(model)
        return loaded.table.as_of if loaded else None

    def age(self, model: str, now: datetime) -> float | None:
        """Seconds since the moment of the table in use, None without one."""
        loaded = self._current(model)
        return (now - loaded.moment).total_seconds() if loaded else None

    def problem(self, model: str) -> str | None:
        """Why the latest table is not the one in use, None when it is."""
        return self._problems.get(model)

    def follow(self, models: Iterable[str] = ()) -> None:
        """Read tables that were replaced; ``models`` are asked about from now on.

        Cheap to call often: it looks at most every ``FOLLOW_SECONDS``.
        """
        new = [model for model in models if model not in self._loaded]
        due = self._monotonic() - self._followed >= FOLLOW_SECONDS
        if not (new or due) or not self._following.acquire(blocking=False):
            return
        try:
            for model in [*self._loaded, *new] if due else new:
                self._read(model)
            if due:
                self._followed = self._monotonic()
        finally:
            self._following.release()

    def _current(self, model: str) -> LoadedTable | None:
        if model not in self._loaded:
            self._read(model)
        elif self._monotonic() - self._followed > ALONE_SECONDS:
            self.follow()
        return self._loaded[model]

    def _read(self, model: str) -> None:
        """Take the latest table, or keep the one there is and say why."""
        used = self._loaded.get(model)
        try:
            table = self._tables.read(model)
            if table is None and used is not None:
                raise ArtifactError(f"{model}: the online table is gone; refresh it")
            if table is not None and (used is None or used.table is not table):
                used = _load(table)
            self._problems.pop(model, None)
        except ArtifactError as error:
            self._say(model, f"{error}", used)
        self._loaded[model] = used

    def _say(self, model: str, problem: str, used: LoadedTable | None) -> None:
        if self._problems.get(model) != problem:
            instead = f"the one of {used.table.as_of} stays in use" if used else "there is none"
            logger.warning("online features: %s; %s", problem, instead)
        self._problems[model] = problem


def _load(table: OnlineTable) -> LoadedTable:
    lookups = tuple(Lookup(group) for group in table.groups)
    kinds = {
        name: kind or "categorical"
        for lookup in lookups
        for name, kind in zip(lookup.by, lookup.kinds, strict=True)
    }
    features = frozenset(name for group in table.groups for name in group.features)
    try:
        moment = datetime.fromisoformat(table.as_of)
    except ValueError as error:
        raise ArtifactError(f"{table.model}: the online table has no moment: {error}") from error
    return LoadedTable(table, lookups, kinds, frozenset(kinds), features, moment)


def _kind(values: Iterable[Value]) -> Kind | None:
    """What a key column holds, None when only missing values were seen."""
    for value in values:
        if value is not None:
            return "categorical" if isinstance(value, str) else "numeric"
    return None


def _coerced(value: Any, kind: Kind | None) -> Value:
    """A value as its column has it; None for what is no number, and for NaN."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    if kind == "numeric" and isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            return float("nan")  # equals no key: not even that of a missing value
    if kind == "categorical" and not isinstance(value, str):
        number = float(value)
        return str(int(number)) if number.is_integer() else str(number)
    return value  # type: ignore[no-any-return]
