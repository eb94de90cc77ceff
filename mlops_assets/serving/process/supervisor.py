"""Keep a server answering: ``python -m mlops_assets.serving.process.supervisor``.

It takes the options of a server.

A small process that opens the port and hands the socket to a worker, the server proper. A worker
that dies is replaced; callers who connect meanwhile wait in the socket's queue, and none is
refused. SIGHUP replaces the worker by a fresh one before it drains; SIGTERM drains it and ends
both. A worker ends by itself when the supervisor is gone, however that came about.

A spare worker stands by with all its imports done, as these are most of the time a start takes.
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
import select
import signal
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path

from mlops_assets.serving.process.listening import announce, bind, describe_bind_error
from mlops_assets.serving.process.worker import Worker, start_worker

FIRST_PAUSE, LONGEST_PAUSE = 0.1, 5.0
"""Seconds until a worker that died at once is replaced; doubled each time."""

STEADY_SECONDS = 1.0
"""A worker that answered this long did not die at once."""

SPARE_AFTER_SECONDS = 2.0
"""How long a worker answers before a spare is prepared: its imports would take the worker's CPU."""

GRACE_SECONDS = 12.0
"""How long a worker may drain before it is killed; longer than it takes when all goes well."""

MISUSED = 2
"""The status of a worker that was started with options it does not understand."""

logger = logging.getLogger("mlops_assets.serving.process.supervisor")


class MisusedError(Exception):
    """The options are wrong: starting again will not mend them."""


class Supervisor:
    """Who answers, who will, who stands by, and who leaves. ``step`` moves on; it never waits.

    ``start`` makes a worker, a spare one when it is told so.
    """

    def __init__(self, start: Callable[[bool], Worker], *, spare: bool = True) -> None:
        self.current: Worker | None = None
        self.coming: Worker | None = None
        self.spare: Worker | None = None
        self.leaving: list[Worker] = []
        self._start = start
        self._wants_spare = spare
        self._restart = False
        self._answered = False
        self._pause = 0.0
        self._due = 0.0
        self._spare_due = 0.0

    def restart(self) -> None:
        """Replace whoever answers by a fresh process; a spare has the code of yesterday."""
        self._restart = True

    def step(self, now: float) -> None:
        """Notice who died or got ready, and start who is missing.

        Raises ``MisusedError`` when a worker ended because it did not understand its options.
        """
        self._notice_deaths(now)
        if self.coming and self.coming.is_ready():
            self._hand_over(self.coming, now)
        missing = self.current is None or self._restart
        if missing and self.coming is None and now >= self._due:
            self.coming = self._begin(now)
        self._prepare_spare(now)
        for worker in self.leaving:
            if now - worker.since > GRACE_SECONDS:
                worker.kill()

    def wait_seconds(self, now: float) -> float:
        """How long ``step`` may be put off when no signal comes and nobody gets ready."""
        waiting = self.current is None and self.coming is None
        return max(min(self._due - now, 0.5), 0.0) if waiting else 0.5

    def drain(self, now: float) -> None:
        """Ask everybody to leave."""
        for worker in (self.spare, self.coming, self.current):
            if worker:
                self._leave(worker, now)
        self.spare = self.coming = self.current = None

    def _begin(self, now: float) -> Worker | None:
        spare, self.spare = self.spare, None
        fresh, self._restart = self._restart, False
        if spare and not fresh:
            spare.call(now)
            return spare
        if spare:
            self._leave(spare, now)
        try:
            return self._start(False)
        except OSError as error:  # no memory or no process left: perhaps later
            self._put_off(now, f"a worker could not be started: {error}")
            return None

    def _prepare_spare(self, now: float) -> None:
        steady = self.current and now - self.current.since >= SPARE_AFTER_SECONDS
        taken = self.spare or self.coming
        if self._wants_spare and steady and not taken and now >= self._spare_due:
            self._spare_due = now + LONGEST_PAUSE
            with contextlib.suppress(OSError):  # who answers is not harmed by that
                self.spare = self._start(True)

    def _hand_over(self, coming: Worker, now: float) -> None:
        before, self.current, self.coming = self.current, coming, None
        coming.since, self._answered = now, True
        logger.info("worker %d answers", coming.pid)
        if before:
            self._leave(before, now)

    def _leave(self, worker: Worker, now: float) -> None:
        worker.since = now
        worker.drain()
        self.leaving.append(worker)

    def _notice_deaths(self, now: float) -> None:
        self.leaving = [worker for worker in self.leaving if worker.poll() is None]
        if self.spare and self.spare.poll() is not None:
            self.spare = None
        if self.current and (status := self.current.poll()) is not None:
            steady = now - self.current.since >= STEADY_SECONDS
            said = f"worker {self.current.pid} {describe_end(status)}"
            self.current = None
            self._put_off(now, said, steady=steady)
        if self.coming and (status := self.coming.poll()) is not None:
            if status == MISUSED and not self._answered:
                raise MisusedError
            said = f"worker {self.coming.pid} {describe_end(status)} before it answered"
            self.coming = None
            self._put_off(now, said)

    def _put_off(self, now: float, said: str, *, steady: bool = False) -> None:
        """Say what happened, and when the next start may be: at once after a steady worker."""
        doubled = min(max(self._pause * 2, FIRST_PAUSE), LONGEST_PAUSE)
        self._pause = 0.0 if steady else doubled
        self._due = now + self._pause
        logger.warning("%s; the next start is in %.1f s", said, self._pause)


def describe_end(status: int) -> str:
    """How a process ended, in words."""
    if status >= 0:
        return f"ended with status {status}"
    return f"was ended by {signal.Signals(-status).name}"


def main() -> None:
    """Supervise until SIGTERM, then exit 0; exit with status 2 when the port is taken."""
    places, others = parse_places(sys.argv[1:])
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s supervisor: %(message)s"
    )
    try:
        listener = bind(places.host, places.port)
    except OSError as error:
        sys.stderr.write(describe_bind_error(places.host, places.port, error))
        sys.exit(MISUSED)
    signals = Signals()
    _announce(places, listener)
    port = str(listener.getsockname()[1])
    words = ["--host", places.host, "--port", port, "--state", str(places.state), *others]
    supervisor = Supervisor(
        lambda spare: start_worker(words, listener, spare=spare), spare=places.spare
    )
    try:
        supervise(supervisor, signals)
    except MisusedError:
        sys.exit(MISUSED)
    listener.close()
    end(supervisor)


def supervise(supervisor: Supervisor, signals: Signals) -> None:
    """Step until SIGTERM or SIGINT."""
    while not signals.take(signal.SIGTERM, signal.SIGINT):
        if signals.take(signal.SIGHUP):
            logger.info("SIGHUP: a fresh worker is started")
            supervisor.restart()
        now = time.monotonic()
        supervisor.step(now)
        coming = [supervisor.coming.ready_fd] if supervisor.coming else []
        signals.wait(coming, supervisor.wait_seconds(now))


def end(supervisor: Supervisor) -> None:
    """Let the worker drain, and kill what is left of it after ``GRACE_SECONDS``."""
    began = time.monotonic()
    supervisor.drain(began)
    while any(worker.poll() is None for worker in supervisor.leaving):
        if time.monotonic() - began > GRACE_SECONDS:
            for worker in supervisor.leaving:
                worker.kill()
        time.sleep(0.02)


class Signals:
    """The signals that came and were not taken yet; waiting ends when one comes."""

    def __init__(self) -> None:
        self._came: set[int] = set()
        self._woken, wake = os.pipe()
        os.set_blocking(self._woken, False)
        os.set_blocking(wake, False)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD):
            signal.signal(number, lambda number, _: self._came.add(number))

    def take(self, *numbers: int) -> bool:
        """Whether one of them came since it was taken last."""
        taken = self._came & set(numbers)
        self._came -= taken
        return bool(taken)

    def wait(self, descriptors: list[int], seconds: float) -> None:
        """Return when a signal came, a descriptor can be read, or the time is over."""
        readable, _, _ = select.select([self._woken, *descriptors], [], [], seconds)
        if self._woken in readable:
            os.read(self._woken, 4096)


def parse_places(arguments: list[str]) -> tuple[argparse.Namespace, list[str]]:
    """What the supervisor itself needs to know, and the other options of the server."""
    parser = argparse.ArgumentParser(
        prog="python -m mlops_assets.serving.process.supervisor",
        description="Keep a model server answering; other options are the server's own.",
        allow_abbrev=False,
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to bind (%(default)s)")
    parser.add_argument("--port", required=True, type=int, help="port to bind, 0 for a free one")
    parser.add_argument("--state", required=True, type=Path, help="folder of server.json")
    parser.add_argument(
        "--no-spare", dest="spare", action="store_false", help="no worker that stands by"
    )
    return parser.parse_known_args(arguments)


def _announce(places: argparse.Namespace, listener: socket.socket) -> None:
    try:
        announce(places.state, listener, places.host, os.getpid())
    except OSError as error:  # a full disk: the server answers all the same
        logger.warning("server.json is not written: %s", error)


if __name__ == "__main__":
    main()
