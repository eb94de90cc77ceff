"""Following the ledger: which versions to serve, and keeping the ledger told of cut-offs."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from functools import partial
from pathlib import Path

from mlops_assets.adapters.journal import read_cut_off, write_cut_off
from mlops_assets.adapters.ports import Ledger
from mlops_assets.lifecycle.errors import EndpointError
from mlops_assets.lifecycle.rollout.state import CutOff, Routing, Target
from mlops_assets.serving.answering.prediction_log import utc_now
from mlops_assets.serving.routing.cut_offs import CutOffs
from mlops_assets.serving.routing.last_good import LedgerReading, read_last_good, write_last_good
from mlops_assets.serving.routing.ledger_reading import read_ledger
from mlops_assets.serving.routing.routes import Route, merge_served
from mlops_assets.serving.routing.versions import Version, Versions

POLL_SECONDS = 0.1
REREAD_SECONDS = 5.0
"""How often the ledger is read although its position stands: a load that failed is tried again,
and a row that a database committed out of order is not missed."""
RETRY_SECONDS = 1.0
"""The pause after a cut-off that the ledger did not take: a locked one makes its writers wait."""

REFUSED = "no verdict lets it pass"

logger = logging.getLogger(__name__)


class RoutingWatch:
    """Keeps ``routes`` in step with the ledger from a thread of its own.

    ``routes`` is None until the first reading is loaded; afterwards it is only ever replaced as
    a whole, so a request sees the old routing or the new one. ``read_at`` is when the ledger last
    answered, in seconds of the monotonic clock.
    """

    def __init__(
        self,
        ledger: Ledger,
        versions: Versions,
        file: Path,
        *,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        self.routes: Mapping[str, Route] | None = None
        self.ledger_error: str | None = None
        self.read_at: float | None = None
        self.overrides: Mapping[str, str] = {}
        self.versions = versions
        self.cut_offs = CutOffs(file.with_name("cut_offs.json"))
        self._ledger = ledger
        self._file = file
        self._now = now
        self._good = read_last_good(file)
        self._followers: list[Callable[[Iterable[str]], None]] = []
        self._looked_at = 0.0
        self._deliver_at = 0.0
        self._routes_lock = threading.Lock()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="routing-watch", daemon=True)

    def start(self) -> None:
        """Begin to follow the ledger."""
        self._thread.start()

    def stop(self) -> None:
        """Stop following; a load that is under way is not waited for."""
        self._stopped.set()
        self._thread.join(timeout=1)

    def also_follow(self, follow: Callable[[Iterable[str]], None]) -> None:
        """Have something else kept up to date beside the routing, by the models there are."""
        self._followers.append(follow)

    def cut_off(self, model: str, cut_off: CutOff) -> bool:
        """Give a version no more requests or copies, at once; False when it had none already.

        The ledger is told by the watch, again and again while it is away. A primary is not
        touched by this.
        """
        if not self.cut_offs.add(model, cut_off):
            return False
        with self._routes_lock:
            if self.routes is not None:
                self.routes = self._without_cut_off(self.routes)
        return True

    def _run(self) -> None:
        failure: str | None = None
        while not self._stopped.is_set():
            try:
                self.follow()
                failure = None
            except Exception as error:  # the server goes on with the routing it has
                if repr(error) != failure:  # said once, and not ten times a second
                    logger.exception("the routing could not be brought up to date")
                failure = repr(error)
            self._stopped.wait(POLL_SECONDS)
        self.cut_offs.save()

    def follow(self) -> None:
        """Bring the routes up to date if the ledger moved or was not read for a while."""
        error = self._follow_ledger() or self._deliver_cut_offs()
        if error != self.ledger_error:
            logger.warning("ledger: %s", error or "can be read again")
        self.ledger_error = error
        for follow in self._followers:
            follow(self.routes or {})

    def _follow_ledger(self) -> str | None:
        """Read and apply what is new; what the ledger says when it cannot be read."""
        try:
            reading = self._read()
        except Exception as error:  # noqa: BLE001 - any driver's error: the ledger may be away, the server not
            if self.routes is None:
                self._apply(self._good)
            return _describe(error)
        self.read_at = time.monotonic()
        if reading:
            self._apply(reading)
        return None

    def _deliver_cut_offs(self) -> str | None:
        """Tell the ledger what it lacks; why it does not take it, as long as it does not."""
        if not self.cut_offs.pending:
            self.cut_offs.save()
            return None
        if time.monotonic() < self._deliver_at:
            return self.ledger_error
        try:
            self.cut_offs.deliver(self._write_cut_off)
        except Exception as error:  # noqa: BLE001 - any driver's error: what is not taken is offered again
            self._deliver_at = time.monotonic() + RETRY_SECONDS
            self.cut_offs.save()
            return _describe(error)
        self.cut_offs.save()
        return None

    def _write_cut_off(self, model: str, cut_off: CutOff) -> None:
        if read_cut_off(self._ledger, model, cut_off.digest) is None:
            write_cut_off(self._ledger, model, cut_off, self._now())

    def _read(self) -> LedgerReading | None:
        """What the ledger says, or None when there is nothing new."""
        position = self._ledger.position()
        if position < self._good.position:
            raise EndpointError(
                f"the ledger is at row {position}, row {self._good.position} was seen before; rows "
                f"never vanish: restore the ledger, or remove {self._file} and restart to accept it"
            )
        recent = time.monotonic() - self._looked_at < REREAD_SECONDS
        if self.routes is not None and position == self._good.position and recent:
            return None
        self._looked_at = time.monotonic()
        return read_ledger(self._ledger, position, self._good.routings)

    def _apply(self, reading: LedgerReading) -> None:
        """Load what is wanted, then swap; the old routes answer meanwhile."""
        for model, cut_off in reading.cut_offs.items():
            self.cut_offs.learn(model, cut_off)
        routes: dict[str, Route] = {}
        for model in sorted(reading.routings, key=partial(self._lacks, reading)):
            routes[model] = self._build(model, reading.routings[model], reading)
            if self.routes is not None:  # no model waits for the files of another
                self._publish({**self.routes, model: routes[model]})
        self._publish(routes)
        self.overrides = reading.overrides
        self._remember(routes, reading)
        self._warm_up(routes, reading)

    def _lacks(self, reading: LedgerReading, model: str) -> bool:
        """Whether something has to be loaded from files before the model is up to date."""
        warm = self.versions.warm(model)
        return any(target.digest not in warm for target in reading.routings[model].targets)

    def _publish(self, routes: Mapping[str, Route]) -> None:
        with self._routes_lock:
            self.routes = self._without_cut_off(routes)

    def _without_cut_off(self, routes: Mapping[str, Route]) -> dict[str, Route]:
        return {m: route.without(self.cut_offs.digests(m)) for m, route in routes.items()}

    def _remember(self, routes: Mapping[str, Route], reading: LedgerReading) -> None:
        """Keep on disk what is served, for a start at which the ledger is away."""
        kept = {model: self._keep(route, reading) for model, route in routes.items()}
        digests = frozenset(t.digest for routing in kept.values() for t in routing.targets)
        good = LedgerReading(reading.position, kept, digests)
        if good != self._good:
            self._good = good
            write_last_good(self._file, good)

    def _build(self, model: str, wanted: Routing, reading: LedgerReading) -> Route:
        previous = self._previous(model)
        targets = (*previous.targets, *wanted.targets)  # the wanted ones are used last
        allowed = [target for target in targets if self._admit(model, target, reading)]
        able = {target.digest for target in allowed if self.versions.load(model, target)}
        served = merge_served(wanted, previous, frozenset(able))
        return Route(wanted, served, self._keep_warm(model, able, reading))

    def _admit(self, model: str, target: Target, reading: LedgerReading) -> bool:
        """Whether the target may be loaded; what was wrong with it before is forgotten then."""
        if target.digest in reading.passed:
            self.versions.expect(model, target)
            return True
        self.versions.refuse(model, target, REFUSED)
        return False

    def _warm_up(self, routes: Mapping[str, Route], reading: LedgerReading) -> None:
        """Have the previous champion loaded, so that going back reads no files."""
        for model, target in reading.previous.items():
            is_warm = target.digest in routes[model].versions
            if self._admit(model, target, reading) and self.versions.load(model, target):
                versions = self._keep_warm(model, {target.digest}, reading)
                if not is_warm and self.routes is not None:
                    warmer = replace(routes[model], versions=versions)
                    self._publish({**self.routes, model: warmer})

    def _keep_warm(self, model: str, able: set[str], reading: LedgerReading) -> dict[str, Version]:
        """The loaded versions, less what is neither routed, nor gone back to, nor recent."""
        routed = {target.digest for target in reading.routings[model].targets}
        standby = reading.previous.get(model)
        self.versions.keep(model, able | routed | ({standby.digest} if standby else set()))
        return dict(self.versions.warm(model))

    def _previous(self, model: str) -> Routing:
        """The primary that answered so far; after a start, the one that answered before it."""
        good = self._good.routings.get(model, Routing(model, ()))
        return Routing(model, (good.primary,) if good.primary else ())

    def _keep(self, route: Route, reading: LedgerReading) -> Routing:
        """What to fall back on later: what is served, or what was unless it is refused now."""
        if route.served.primary:
            return route.without(self.cut_offs.digests(route.wanted.model)).served
        previous = self._previous(route.served.model)
        targets = tuple(t for t in previous.targets if t.digest in reading.passed)
        return Routing(previous.model, targets)


def _describe(error: Exception) -> str:
    """One line of an error of the ledger; a driver's further lines may hold more than that."""
    return f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"
