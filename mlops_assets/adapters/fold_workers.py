"""Where the folds of trials are fitted: in this process, or in several at once."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from threading import Thread
from typing import TYPE_CHECKING, Any, Protocol

from mlops_assets.lifecycle.errors import TrainingError

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

    from mlops_assets.lifecycle.tuning import Objective


@dataclass(frozen=True)
class Task:
    """One fold of one trial."""

    trial: int
    parameters: Mapping[str, Any]
    fold: int


@dataclass(frozen=True)
class Measured:
    """The loss on a fold and the seconds it took."""

    value: float
    seconds: float


Follow = Callable[[Task, Measured], Iterable[Task]]
"""What is to be fitted next, now that a task is measured."""


class Workers(Protocol):
    """Fits folds."""

    def run(self, tasks: Iterable[Task], follow: Follow) -> None:
        """Measure the tasks, and those that ``follow`` says come after each, until none is left.

        ``follow`` is called in this thread, one task at a time, in the order they end.
        """


@dataclass(frozen=True)
class InProcess:
    """One fold after the other, in this process; what follows a task comes right after it."""

    objective: Objective

    def run(self, tasks: Iterable[Task], follow: Follow) -> None:
        waiting = deque(tasks)
        while waiting:
            task = waiting.popleft()
            following = follow(task, _measure(self.objective, task))
            waiting.extendleft(reversed(list(following)))


@dataclass(frozen=True)
class InProcesses:
    """Several folds at once, each in a process that ends with this one."""

    name: str
    pool: ProcessPoolExecutor

    def run(self, tasks: Iterable[Task], follow: Follow) -> None:
        try:
            running = self._submit(tasks)
            while running:
                ended, _ = wait(running, return_when=FIRST_COMPLETED)
                for future in ended:
                    running |= self._submit(follow(running.pop(future), future.result()))
        except BrokenProcessPool as error:
            raise TrainingError(
                f"tuning {self.name}: a worker process ended while it fitted, killed perhaps for "
                "the memory it took; run it again, with fewer workers if that is the reason: the "
                "study goes on from the trials that are stored"
            ) from error

    def _submit(self, tasks: Iterable[Task]) -> dict[Future[Measured], Task]:
        return {self.pool.submit(_measure_shipped, task): task for task in tasks}


@contextmanager
def open_workers(name: str, objective: Objective, workers: int) -> Iterator[Workers]:
    """``workers`` processes for study ``name``, or this process when it is 1.

    The objective is shipped once to each. Leaving the block ends them at once, also in the middle
    of a fold; so does the death of this process. Raises ``TrainingError`` when the objective does
    not pickle.
    """
    if workers == 1:
        yield InProcess(objective)
        return
    shipped = _pickled(name, objective)
    threads = max(1, (os.cpu_count() or 1) // workers)
    context = multiprocessing.get_context("spawn")
    heard, lifeline = context.Pipe(duplex=False)
    pool = ProcessPoolExecutor(workers, context, _begin, (shipped, threads, heard))
    try:
        yield InProcesses(name, pool)
    finally:
        lifeline.close()
        pool.shutdown(cancel_futures=True)
        heard.close()


def _pickled(name: str, objective: Objective) -> bytes:
    try:
        return pickle.dumps(objective)
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise TrainingError(
            f"tuning {name}: the objective cannot be sent to worker processes ({error}); "
            "make the estimator's builder a function of an importable module, or set workers to 1"
        ) from error


def _measure(objective: Objective, task: Task) -> Measured:
    begun = time.monotonic()
    value = float(objective(task.parameters, task.fold))
    return Measured(value, time.monotonic() - begun)


class _Shipped:
    """What this process was sent when it began as a worker."""

    objective: bytes
    threads: int


def _begin(objective: bytes, threads: int, heard: Connection) -> None:
    # Ctrl-C reaches the whole group of processes; the one that coordinates decides.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    Thread(target=_end_with_coordinator, args=(heard,), daemon=True).start()
    _Shipped.objective, _Shipped.threads = objective, threads


def _end_with_coordinator(heard: Connection) -> None:
    """Nothing is ever sent: a line that can be read is one whose other end is gone."""
    heard.poll(None)
    os._exit(1)


@cache
def _objective() -> Objective:
    """Read when it is first used, so that what fails is said to whoever waits for the task."""
    import sklearn  # noqa: F401 - the limit below holds for libraries that are loaded

    objective: Objective = pickle.loads(_Shipped.objective)  # noqa: S301 - from our own parent
    return objective


def _measure_shipped(task: Task) -> Measured:
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    objective = _objective()
    with threadpool_limits(_Shipped.threads):
        return _measure(objective, task)
