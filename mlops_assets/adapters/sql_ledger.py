"""The ledger as one append-only table through SQLAlchemy: SQLite by default, PostgreSQL too."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from functools import cached_property
from threading import Lock
from typing import TYPE_CHECKING, Any

from mlops_assets.adapters.ports import Record
from mlops_assets.lifecycle.errors import LedgerConflict

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine, Table

_ATTEMPTS = 20
_PAUSE = 0.02
"""Seconds: the wait after a first failed attempt; each further one is as much longer."""


class SqlLedger:
    """``Ledger`` in a relational database; ``url`` is an SQLAlchemy URL.

    A unique key over (kind, model, subject, sequence) makes each append a compare-and-set.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self._opening = Lock()

    def append(self, *records: Record) -> list[Record]:
        with self._engine.begin() as connection:
            return [self._insert(connection, record) for record in records]

    def _insert(self, connection: Connection, record: Record) -> Record:
        """One row of an open transaction, which a conflict undoes as a whole."""
        import sqlalchemy as sa

        last = self.latest(record.kind, record.model, record.subject)
        if record.sequence != (last.sequence if last else 0) + 1:
            raise _conflict(record, last)
        row = {
            "kind": record.kind,
            "model": record.model,
            "subject": record.subject,
            "sequence": record.sequence,
            "body": json.dumps(record.body, sort_keys=True),
            "at": record.at.astimezone(UTC).isoformat(),
        }
        try:
            key = connection.execute(self._table.insert(), row).inserted_primary_key
        except sa.exc.IntegrityError as error:
            raise _conflict(record, last) from error
        assert key is not None
        return _record({**row, "position": key[0]})

    def latest(self, kind: str, model: str, subject: str | None = None) -> Record | None:
        rows = self._select(kind, model, subject, newest_first=True, limit=1)
        return rows[0] if rows else None

    def history(self, kind: str, model: str, subject: str | None = None) -> list[Record]:
        return self._select(kind, model, subject)

    def models(self) -> list[str]:
        import sqlalchemy as sa

        query = sa.select(self._table.c.model).distinct().order_by(self._table.c.model)
        with self._engine.connect() as connection:
            return list(connection.scalars(query))

    def position(self) -> int:
        import sqlalchemy as sa

        with self._engine.connect() as connection:
            return connection.scalar(sa.select(sa.func.max(self._table.c.position))) or 0

    def _select(
        self,
        kind: str,
        model: str,
        subject: str | None,
        *,
        newest_first: bool = False,
        limit: int | None = None,
    ) -> list[Record]:
        import sqlalchemy as sa

        columns = self._table.c
        order = columns.position.desc() if newest_first else columns.position
        query = sa.select(self._table).where(columns.kind == kind, columns.model == model)
        if subject is not None:
            query = query.where(columns.subject == subject)
        with self._engine.connect() as connection:
            rows = connection.execute(query.order_by(order).limit(limit)).mappings()
            return [_record(dict(row)) for row in rows]

    @property
    def _table(self) -> Table:
        return self._opened[1]

    @property
    def _engine(self) -> Engine:
        return self._opened[0]

    @property
    def _opened(self) -> tuple[Engine, Table]:
        with self._opening:  # one engine and one table, whichever threads are first
            return self._database

    @cached_property
    def _database(self) -> tuple[Engine, Table]:
        import sqlalchemy as sa

        url = sa.make_url(self.url)
        is_sqlite = url.get_backend_name() == "sqlite"
        arguments: dict[str, Any] = {"timeout": 30} if is_sqlite else {}
        engine = sa.create_engine(url, connect_args=arguments)
        if is_sqlite:
            _prepare_sqlite(engine, url.database)
        table = _define_table()
        _create_table(engine, table)
        return engine, table


def _define_table() -> Table:
    import sqlalchemy as sa

    return sa.Table(
        "ledger",
        sa.MetaData(),
        sa.Column("position", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("kind", sa.String(40), nullable=False),
        sa.Column("model", sa.String(200), nullable=False),
        sa.Column("subject", sa.String(200), nullable=False),
        sa.Column("sequence", sa.Integer, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("at", sa.String(40), nullable=False),
        sa.UniqueConstraint("kind", "model", "subject", "sequence"),
    )


def _create_table(engine: Engine, table: Table) -> None:
    """Make the table unless it is there; another process may be doing the same."""
    import sqlalchemy as sa

    try:
        with engine.begin() as connection:
            connection.execute(sa.schema.CreateTable(table, if_not_exists=True))
    except sa.exc.IntegrityError:
        # PostgreSQL looks and makes in two steps, and the other process came in between.
        if not sa.inspect(engine).has_table(table.name):
            raise


def _prepare_sqlite(engine: Engine, path: str | None) -> None:
    """Write-ahead logging, so that readers never wait for a writer."""
    from pathlib import Path

    import sqlalchemy as sa

    if path:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            with engine.connect() as connection:
                connection.execute(sa.text("PRAGMA journal_mode=WAL"))
            return
        except sa.exc.OperationalError:
            # SQLite waits for locks, but not for this one: another process is changing the mode.
            if attempt == _ATTEMPTS:
                raise
        time.sleep(_PAUSE * attempt)


def _record(row: dict[str, Any]) -> Record:
    body, at = json.loads(row["body"]), datetime.fromisoformat(row["at"])
    return Record(**{**row, "body": body, "at": at})


def _conflict(record: Record, last: Record | None) -> LedgerConflict:
    return LedgerConflict(
        f"ledger: {record.kind} '{record.subject}' of {record.model} is at row "
        f"{last.sequence if last else 0}, row {record.sequence} cannot be written; "
        "read the latest row and decide again"
    )
