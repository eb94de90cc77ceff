"""The way to an MLflow server or database, shared by tracking and registry."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from mlops_assets.adapters.file_locks import exclusive

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.store.entities import PagedList

T = TypeVar("T")


def connect(uri: str) -> MlflowClient:
    """A client of the tracking server or database.

    A local database is made on first use, with its folder and tables, by one process at a time:
    MLflow looks for the tables and makes them without a lock.
    """
    from mlflow import MlflowClient

    # A new database announces every table it makes; nobody has asked.
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.WARNING)
    logging.getLogger("alembic").setLevel(logging.WARNING)
    with alone(uri):
        return MlflowClient(uri, registry_uri=uri)


@contextmanager
def alone(uri: str) -> Iterator[None]:
    """Have a local SQLite database to oneself, so that what is looked for can be made.

    Other threads and processes that ask wait, those that only log do not. For a server or another
    database nothing is held: what two make at once is for the caller to notice.
    """
    database = _local_database(uri)
    if database is None:
        yield
    else:
        with exclusive(database.with_name(f"{database.name}.lock")):
            yield


def literal(text: str) -> str:
    """Text as MLflow's searches want it: they know no escapes, so in the quotes it has not."""
    mark = '"' if "'" in text else "'"
    if mark in text:
        raise ValueError(f"{text}: MLflow cannot search for text that has both kinds of quotes")
    return f"{mark}{text}{mark}"


def every_page(ask: Callable[[str | None], PagedList[T]]) -> Iterator[T]:
    """What all pages of a search hold; it is asked with a page's token, None for the first."""
    page = None
    while True:
        found = ask(page)
        yield from found
        page = found.token
        if not page:
            return


def _local_database(uri: str) -> Path | None:
    """The file of a SQLite database; None for a server, another database, and one in memory."""
    if not uri.startswith("sqlite"):
        return None
    from sqlalchemy.engine import make_url

    database = make_url(uri).database
    return Path(database) if database and database != ":memory:" else None
