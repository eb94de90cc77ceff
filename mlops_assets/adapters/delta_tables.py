"""Tables as Delta Lake tables, one physical partition per Dagster partition."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mlops_assets.adapters.ports import TableVersion
from mlops_assets.lifecycle.digests import fingerprint

if TYPE_CHECKING:
    import polars as pl
    from deltalake import DeltaTable

PARTITION = "partition"
_ATTEMPTS = 5


@dataclass(frozen=True)
class DeltaTables:
    """``TableStore`` under a root path or object-store URI; ``a/b`` is the table ``<root>/a/b``.

    A write is one Delta commit: readers see the old partitions or the new ones.
    """

    root: str

    def write(self, table: str, partitions: Mapping[str, pl.DataFrame]) -> TableVersion:
        import polars as pl
        from deltalake import write_deltalake
        from deltalake.exceptions import CommitFailedError

        rows = pl.concat(
            [frame.with_columns(pl.lit(key).alias(PARTITION)) for key, frame in partitions.items()]
        )
        named = ", ".join(f"'{key}'" for key in sorted(partitions))
        for attempt in range(1, _ATTEMPTS + 1):
            existing = self._open(table)
            if existing is not None and rows.is_empty():
                # An overwrite without rows is a deletion; Delta has a word of its own for it.
                existing.delete(f"{PARTITION} IN ({named})")
                break
            try:
                write_deltalake(
                    self._uri(table),
                    rows.to_arrow(),
                    mode="overwrite",
                    partition_by=[PARTITION],
                    predicate=None if existing is None else f"{PARTITION} IN ({named})",
                    schema_mode=None if existing is None else "merge",
                )
                break
            except CommitFailedError:
                # Somebody else committed in between; our partitions are ours, so try again.
                if attempt == _ATTEMPTS:
                    raise
        version = self.version(table)
        assert version is not None
        return TableVersion(
            version,
            {key: frame.height for key, frame in partitions.items()},
            {key: fingerprint(frame) for key, frame in partitions.items()},
        )

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
