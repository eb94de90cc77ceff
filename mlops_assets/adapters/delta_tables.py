"""Tables as Delta Lake tables, one physical partition per Dagster partition."""

from __future__ import annotations

import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mlops_assets.adapters.ports import TableVersion
from mlops_assets.lifecycle.digests import fingerprint
from mlops_assets.lifecycle.errors import TableConflict

if TYPE_CHECKING:
    import polars as pl
    from deltalake import DeltaTable

PARTITION = "partition"
_ATTEMPTS = 20
_PAUSE = 0.02
"""Seconds: the longest wait after a first failed attempt; each further one may wait longer."""


@dataclass(frozen=True)
class DeltaTables:
    """``TableStore`` under a root path or object-store URI; ``a/b`` is the table ``<root>/a/b``.

    A write is one Delta commit: readers see the old partitions or the new ones.
    """

    root: str

    def write(self, table: str, partitions: Mapping[str, pl.DataFrame]) -> TableVersion:
        rows, predicate = _as_commit(partitions)
        return _describe(self._commit(table, rows, predicate), partitions)

    def write_after(
        self, table: str, partitions: Mapping[str, pl.DataFrame], version: int | None
    ) -> TableVersion:
        from deltalake.exceptions import CommitFailedError

        rows, predicate = _as_commit(partitions)
        existing = self._open(table)
        found = None if existing is None else existing.version()
        try:
            if found != version:
                raise CommitFailedError(f"it is at version {found}")
            if existing is None:
                return _describe(self._begin(table, rows), partitions)
            # Rebased on what came in between it would replace rows that were never read.
            return _describe(_replace(existing, rows, predicate, retries=0), partitions)
        except CommitFailedError as error:
            raise TableConflict(
                f"{table}: read at version {version}, written since: {error}; read again"
            ) from error

    def read(
        self,
        table: str,
        partitions: Sequence[str] | None = None,
        *,
        columns: Sequence[str] | None = None,
        version: int | None = None,
    ) -> pl.DataFrame:
        import polars as pl

        if self._open(table) is None:
            raise KeyError(table)
        rows = pl.scan_delta(self._uri(table), version=version)
        if partitions is not None:
            rows = rows.filter(pl.col(PARTITION).is_in(list(partitions)))
        if columns is not None:
            rows = rows.select(*columns)
        return rows.collect()

    def version(self, table: str) -> int | None:
        existing = self._open(table)
        return None if existing is None else existing.version()

    def _commit(self, table: str, rows: pl.DataFrame, predicate: str) -> int:
        """The version made by replacing what the predicate names, tried until it lands."""
        from deltalake.exceptions import CommitFailedError

        for attempt in range(1, _ATTEMPTS + 1):
            existing = self._open(table)
            try:
                if existing is None:
                    return self._begin(table, rows)
                return _replace(existing, rows, predicate)
            except CommitFailedError:
                # Somebody else committed in between; our partitions are ours, so try again.
                if attempt == _ATTEMPTS:
                    raise
            time.sleep(random.uniform(0, _PAUSE * attempt))  # noqa: S311 - no secret
        raise AssertionError("the last attempt returns or raises")

    def _begin(self, table: str, rows: pl.DataFrame) -> int:
        """Make the table with its first rows, as version 0 or not at all."""
        from deltalake import CommitProperties, write_deltalake
        from deltalake.exceptions import CommitFailedError, DeltaError

        try:
            write_deltalake(
                self._uri(table),
                rows.to_arrow(),
                mode="error",
                partition_by=[PARTITION],
                # Tried again by itself it would lay a second beginning over somebody else's.
                commit_properties=CommitProperties(max_commit_retries=0),
            )
        except DeltaError as error:
            if self._open(table) is None:
                raise
            raise CommitFailedError(f"{table}: somebody else made it first") from error
        return 0

    def _open(self, table: str) -> DeltaTable | None:
        from deltalake import DeltaTable
        from deltalake.exceptions import TableNotFoundError

        try:
            return DeltaTable(self._uri(table))
        except TableNotFoundError:
            return None

    def _uri(self, table: str) -> str:
        if "://" in self.root:
            return f"{self.root.rstrip('/')}/{table}"
        path = Path(self.root) / table
        path.parent.mkdir(parents=True, exist_ok=True)
        return str(path)


def _replace(
    existing: DeltaTable, rows: pl.DataFrame, predicate: str, *, retries: int | None = None
) -> int:
    from deltalake import CommitProperties, write_deltalake

    properties = CommitProperties(max_commit_retries=retries)
    if rows.is_empty():
        # An overwrite without rows is a deletion; Delta has a word of its own for it.
        existing.delete(predicate, commit_properties=properties)
    else:
        write_deltalake(
            existing,
            rows.to_arrow(),
            mode="overwrite",
            predicate=predicate,
            schema_mode="merge",
            commit_properties=properties,
        )
    return existing.version()


def _as_commit(partitions: Mapping[str, pl.DataFrame]) -> tuple[pl.DataFrame, str]:
    """The rows of all partitions, and what names the rows they replace."""
    import polars as pl

    rows = pl.concat(
        [frame.with_columns(pl.lit(key).alias(PARTITION)) for key, frame in partitions.items()]
    )
    named = ", ".join(_literal(key) for key in sorted(partitions))
    return rows, f"{PARTITION} IN ({named})"


def _describe(version: int, partitions: Mapping[str, pl.DataFrame]) -> TableVersion:
    return TableVersion(
        version,
        {key: frame.height for key, frame in partitions.items()},
        {key: fingerprint(frame) for key, frame in partitions.items()},
    )


def _literal(text: str) -> str:
    quoted = text.replace("'", "''")
    return f"'{quoted}'"
