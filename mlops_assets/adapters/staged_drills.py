"""Taking a version back on a staging server, under requests that come all the time."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mlops_assets.lifecycle.errors import EndpointError
from mlops_assets.lifecycle.rollout.drill import RollbackDrill

if TYPE_CHECKING:
    import httpx

PAUSE_SECONDS = 0.01
"""Between an answer and the next request."""

SETTLED_SECONDS = 0.5
"""How long nobody but the previous version has to answer until it is the one that answers."""

DRILL_SECONDS = 30.0
"""How long going back is waited for."""


@dataclass
class Caller:
    """One caller that asks ``path`` without a stop over one connection, in a thread of its own.

    ``answers``: moment (``time.perf_counter``) and version of each answer, in order. ``failed``
    counts requests that were refused or broke off. The next request is a new one: nothing is
    asked again.
    """

    client: httpx.Client
    path: str
    bodies: Sequence[bytes]
    answers: list[tuple[float, str]] = field(default_factory=list)
    sent: int = 0
    failed: int = 0
    _done: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def __enter__(self) -> Caller:
        self._thread = threading.Thread(target=self._ask, name="drill", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        assert self._thread is not None
        self._thread.join()

    def settled_on(self, version: str) -> float | None:
        """When the version answered first of those answers after which no other one came.

        None as long as another one answered last, or less than ``SETTLED_SECONDS`` ago.
        """
        answers = list(self.answers)
        since = None
        for moment, name in reversed(answers):
            if name != version:
                break
            since = moment
        return since if since and answers[-1][0] - since >= SETTLED_SECONDS else None

    def _ask(self) -> None:
        import httpx

        for body in itertools.cycle(self.bodies):
            if self._done.wait(PAUSE_SECONDS):
                return
            self.sent += 1
            try:
                answer = self.client.post(self.path, content=body)
                if answer.status_code != 200:
                    self.failed += 1
                    continue
                version = str(answer.json()["model_version"])
                self.answers.append((time.perf_counter(), version))
            except httpx.TransportError:
                self.failed += 1


def time_going_back(
    caller: Caller, current: str, previous: str, go_back: Callable[[], None]
) -> RollbackDrill:
    """Call ``go_back`` once ``current`` answers, and time until ``previous`` does for good.

    The time includes the writing of the ledger's row. Raises ``EndpointError`` when one of them
    does not come to answer within ``DRILL_SECONDS``.
    """
    with caller:
        _await(caller, current, "current")
        failed, sent = caller.failed, caller.sent
        began = time.perf_counter()
        go_back()
        settled = _await(caller, previous, "previous")
    return RollbackDrill(
        seconds=settled - began, requests=caller.sent - sent, failed=caller.failed - failed
    )


def _await(caller: Caller, version: str, role: str) -> float:
    deadline = time.monotonic() + DRILL_SECONDS
    while time.monotonic() < deadline:
        settled = caller.settled_on(version)
        if settled is not None:
            return settled
        time.sleep(PAUSE_SECONDS)
    raise EndpointError(
        f"staging server: the {role} version {version[:12]} did not come to answer alone within "
        f"{DRILL_SECONDS:.0f} s; {caller.failed} of {caller.sent} requests failed, see why it "
        "does not load"
    )
