"""One at a time, across threads and processes, by a lock on a file."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def exclusive(path: Path) -> Iterator[None]:
    """Hold the lock of the file at ``path``, made with its folder; waits while another holds it.

    The lock goes with the process that holds it, also when that is killed. It is no lock that one
    thread can take twice, and it counts on one machine only.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
