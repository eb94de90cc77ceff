"""Following the ledger: which versions to serve, and the last good answer to that on disk."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from mlops_assets.adapters.journal import find_live_override, may_serve, read_routing
from mlops_assets.adapters.ports import Ledger
from mlops_assets.lifecycle.errors import EndpointError
from mlops_assets.lifecycle.rollout.state import Routing
from mlops_assets.serving.routes import (
    Route,
    describe_routing,
    merge_served,
    restore_routing,
)
from mlops_assets.serving.state_files import write_atomically
from mlops_assets.serving.versions import Versions

POLL_SECONDS = 0.25
REREAD_SECONDS = 5.0
"""How often the ledger is read although its position stands: a load that failed is tried again,
and a row that a database committed out of order is not missed."""

REFUSED = "no verdict lets it pass"

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class LedgerReading:
    """The routings at one position of the ledger, and the digests in them that may serve.

    ``overrides`` says of digests whose verdict did not pass who let them out, and why.
    """

    position: int
    routings: Mapping[str, Routing] = field(default_factory=dict)
    passed: frozenset[str] = frozenset()
    overrides: Mapping[str, str] = field(default_factory=dict)


class RoutingWatch:
    """Keeps ``routes`` in step with the ledger from a thread of its own.

    ``routes`` is None until the first reading is loaded; afterwards it is only ever replaced as
    a whole, so a request sees the old routing or the new one.
    """

    def __init__(self, ledger: Ledger, versions: Versions, file: Path) -> None:
        self.routes: Mapping[str, Route] | None = None
        self.ledger_error: str | None = None
        self.overrides: Mapping[str, str] = {}
        self.versions = versions
        self._ledger = ledger
        self._file = file
        self._good = read_last_good(file)
        self._read_at = 0.0
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="routing-watch", daemon=True)

    def start(self) -> None:
        """Begin to follow the ledger."""
        self._thread.start()

    def stop(self) -> None:
        """Stop following; a load that is under way is not waited for."""
        self._stopped.set()
        self._thread.join(timeout=1)

    def _run(self) -> None:
        while not self._stopped.is_set():
            try:
                self.follow()
            except Exception:  # the server goes on with the routing it has
                logger.exception("the routing could not be brought up to date")
            self._stopped.wait(POLL_SECONDS)

    def follow(self) -> None:
        """Bring the routes up to date if the ledger moved or was not read for a while."""
        try:
            reading = self._read()
        except Exception as error:  # noqa: BLE001 - any driver's error: the ledger may be away, the server not
            self._report(f"{type(error).__name__}: {str(error).partition(chr(10))[0]}")
            if self.routes is None:
                self._apply(self._good)
            return
        self._report(None)
        if reading:
            self._apply(reading)

    def _read(self) -> LedgerReading | None:
        """What the ledger says, or None when there is nothing new."""
        position = self._ledger.position()
        if position < self._good.position:
            raise EndpointError(
                f"the ledger is at row {position}, row {self._good.position} was seen before; rows "
                f"never vanish: restore the ledger, or remove {self._file} and restart to accept it"
            )
        recent = time.monotonic() - self._read_at < REREAD_SECONDS
        if self.routes is not None and position == self._good.position and recent:
            return None
        self._read_at = time.monotonic()
        return read_ledger(self._ledger, position, self._good.routings)

    def _apply(self, reading: LedgerReading) -> None:
        """Load what is wanted, then swap; the old routes answer meanwhile."""
        routes = {m: self._build(m, routing, reading) for m, routing in reading.routings.items()}
        self.routes, self.overrides = routes, reading.overrides
        kept = {model: self._keep(route, reading) for model, route in routes.items()}
        digests = frozenset(t.digest for routing in kept.values() for t in routing.targets)
        good = LedgerReading(reading.position, kept, digests)
        if good != self._good:
            self._good = good
            write_last_good(self._file, good)

    def _build(self, model: str, wanted: Routing, reading: LedgerReading) -> Route:
        previous = self._previous(model)
        able = set()
        for target in (
            *previous.targets,
            *wanted.targets,
        ):  # the wanted ones are used last
            if target.digest not in reading.passed:
                self.versions.refuse(model, target, REFUSED)
            elif self.versions.load(model, target):
                able.add(target.digest)
        served = merge_served(wanted, previous, frozenset(able))
        warm = self.versions.warm(model).values()
        return Route(wanted, served, {version.digest: version for version in warm})

    def _previous(self, model: str) -> Routing:
        """The primary that answered so far; after a start, the one that answered before it."""
        good = self._good.routings.get(model, Routing(model, ()))
        return Routing(model, (good.primary,) if good.primary else ())

    def _keep(self, route: Route, reading: LedgerReading) -> Routing:
        """What to fall back on later: what is served, or what was unless it is refused now."""
        if route.served.primary:
            return route.served
        previous = self._previous(route.served.model)
        targets = tuple(t for t in previous.targets if t.digest in reading.passed)
        return Routing(previous.model, targets)

    def _report(self, error: str | None) -> None:
        if error != self.ledger_error:
            logger.warning("ledger: %s", error or "can be read again")
        self.ledger_error = error


def read_ledger(ledger: Ledger, position: int, previous: Mapping[str, Routing]) -> LedgerReading:
    """The routing of every model, and which digests, of these and ``previous``, may serve."""
    routings = {model: read_routing(ledger, model) for model in ledger.models()}
    passed = {
        target.digest
        for model, routing in routings.items()
        for target in (*routing.targets, *previous.get(model, routing).targets)
        if may_serve(ledger, model, target.digest)
    }
    return LedgerReading(position, routings, frozenset(passed), read_overrides(ledger, routings))


def read_overrides(ledger: Ledger, routings: Mapping[str, Routing]) -> dict[str, str]:
    """One line for each routed digest that a person let out although its verdict did not pass."""
    return {
        target.digest: override.describe()
        for model, routing in routings.items()
        for target in routing.targets
        if (override := find_live_override(ledger, model, target.digest))
    }


def read_last_good(file: Path) -> LedgerReading:
    """What ``write_last_good`` wrote, empty when the file is missing or damaged."""
    try:
        plain = msgspec.json.decode(file.read_bytes(), type=dict[str, Any])
        routings = {model: restore_routing(body) for model, body in plain["models"].items()}
        digests = frozenset(t.digest for routing in routings.values() for t in routing.targets)
        return LedgerReading(plain["position"], routings, digests)
    except FileNotFoundError:
        return LedgerReading(0)
    except (
        OSError,
        msgspec.MsgspecError,
        KeyError,
        TypeError,
        AttributeError,
    ) as error:
        logger.warning("routing: %s is not used, it cannot be read: %r", file, error)
        return LedgerReading(0)


def write_last_good(file: Path, good: LedgerReading) -> None:
    """Keep what answers now for a start at which the ledger cannot be read."""
    models = {model: describe_routing(routing) for model, routing in good.routings.items()}
    write_atomically(file, {"position": good.position, "models": models})
