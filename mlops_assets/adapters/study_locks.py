"""One search at a time on a study: locks that end with the process that holds them."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from mlops_assets.adapters.file_locks import exclusive
from mlops_assets.lifecycle.errors import TrainingError

if TYPE_CHECKING:
    from sqlalchemy import Connection

RequireHeld = Callable[[], None]
"""Raises ``TrainingError`` when the lock was lost in the meantime."""


@contextmanager
def hold_file(path: Path) -> Iterator[RequireHeld]:
    """Hold a file among the processes and threads of one machine; the system lets none lose it."""
    with exclusive(path):
        yield lambda: None


@contextmanager
def hold_advisory(url: str, name: str) -> Iterator[RequireHeld]:
    """Hold a PostgreSQL advisory lock on a connection of its own, among all clients of a database.

    It belongs to the session: ``url`` has to reach PostgreSQL itself, not a pooler that hands
    sessions round.
    """
    from sqlalchemy import NullPool, create_engine, text

    # Autocommit: a transaction left open for hours would keep the server from tidying up.
    engine = create_engine(url, poolclass=NullPool, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text("SELECT pg_advisory_lock(:key)"), {"key": _key(name)})
        yield partial(_require_session, connection, name)


class JournalLock:
    """The lock of a journal's writers, as Optuna calls it; it leaves whole lines alone.

    Optuna's own outlives a writer that was killed, for 30 seconds. The tail of a line that such a
    writer left is cut off, else the next line would be unreadable, and all that follow.
    """

    def __init__(self, path: Path, journal: Path) -> None:
        self._path, self._journal = path, journal
        self._held = ExitStack()

    def acquire(self) -> bool:
        self._held.enter_context(exclusive(self._path))
        with self._journal.open("r+b") as journal:
            size = journal.seek(0, os.SEEK_END)
            if size and os.pread(journal.fileno(), 1, size - 1) != b"\n":
                journal.seek(0)
                journal.truncate(journal.read().rfind(b"\n") + 1)
        return True

    def release(self) -> None:
        self._held.close()


def _require_session(connection: Connection, name: str) -> None:
    from sqlalchemy import text
    from sqlalchemy.exc import DBAPIError

    try:
        connection.execute(text("SELECT 1"))
    except DBAPIError as error:
        raise TrainingError(
            f"tuning: the database session that held the lock '{name}' ended, another search may "
            "have begun; run it again, it goes on from the trials that are stored"
        ) from error


def _key(name: str) -> int:
    """64 bits that stand for the name: all that such a lock can be told."""
    digest = hashlib.sha256(f"mlops-assets/{name}".encode()).digest()
    return int.from_bytes(digest[:8], "big", signed=True)
