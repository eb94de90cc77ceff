"""Many windows on a bounded number of processes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import TypeVar

Job = TypeVar("Job")
Result = TypeVar("Result")

WORKERS = 2


def run_jobs(
    work: Callable[[Job], Result], jobs: Sequence[Job], workers: int = WORKERS
) -> list[Result]:
    """``work`` of each job, in the order of the jobs; in this process with one worker.

    What ``work`` raises is raised here, and the other processes end.
    """
    if workers == 1:
        return [work(job) for job in jobs]
    # Spawned: a fork would copy the locks of Polars' threads.
    with ProcessPoolExecutor(workers, get_context("spawn"), _use_one_thread) as pool:
        return list(pool.map(work, jobs))


def _use_one_thread() -> None:
    """Two processes of one thread each are faster than two that both take both cores."""
    import numpy  # noqa: F401 - what is not loaded yet cannot be limited
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    threadpool_limits(1)
