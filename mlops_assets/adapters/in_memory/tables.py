"""Tables in a dictionary."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from threading import Lock
from typing import TYPE_CHECKING

from mlops_assets.adapters.ports import TableVersion
from mlops_assets.lifecycle.digests import fingerprint
from mlops_assets.lifecycle.errors import TableConflict

if TYPE_CHECKING:
    import polars as pl


class InMemoryTables:
    """``TableStore`` that keeps the partitions of every version of every table."""

    def __init__(self) -> None:
        self._versions: dict[str, list[dict[str, pl.DataFrame]]] = {}
        self._lock = Lock()

    def write(self, table: str, partitions: Mapping[str, pl.DataFrame]) -> TableVersion:
        with self._lock:
            return self._write(table, partitions)

    def write_after(
        self, table: str, partitions: Mapping[str, pl.DataFrame], version: int | None
    ) -> TableVersion:
        with self._lock:
            found = self.version(table)
            if found != version:
                raise TableConflict(
                    f"{table}: read at version {version}, found {found}; read again"
                )
            return self._write(table, partitions)

    def read(
        self,
        table: str,
        partitions: Sequence[str] | None = None,
        *,
        columns: Sequence[str] | None = None,
        version: int | None = None,
    ) -> pl.DataFrame:
        import polars as pl

        known = self._versions[table][-1 if version is None else version]
        rows = pl.concat(known.values(), how="diagonal_relaxed")
        if partitions is not None:
            rows = rows.filter(pl.col("partition").is_in(list(partitions)))
        return rows if columns is None else rows.select(*columns)

    def version(self, table: str) -> int | None:
        versions = self._versions.get(table)
        return len(versions) - 1 if versions else None

    def _write(self, table: str, partitions: Mapping[str, pl.DataFrame]) -> TableVersion:
        import polars as pl

        if not partitions:
            raise ValueError(f"{table}: name at least one partition to write")
        marked = {
            key: frame.with_columns(pl.lit(key).alias("partition"))
            for key, frame in partitions.items()
        }
        pl.concat(marked.values())  # partitions that differ in their columns are refused
        versions = self._versions.setdefault(table, [])
        versions.append({**(versions[-1] if versions else {}), **marked})
        number = len(versions) - 1
        return TableVersion(
            number,
            {key: frame.height for key, frame in partitions.items()},
            {key: fingerprint(frame) for key, frame in partitions.items()},
        )
