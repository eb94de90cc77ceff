"""What a raw table is declared to hold: its columns, its key, its dates, its rules."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

ColumnType = Literal["int", "float", "str", "bool", "date", "datetime"]
UNPARTITIONED = "all"
"""The partition of a table that has no partitions."""

LINE = "source_line"
"""The line in the raw file a row came from (1 is the header); kept so that people can look."""

RESERVED = ("partition", LINE, "quarantine_reason")
"""Columns that tables get along the way; a source cannot have its own by these names."""


@dataclass(frozen=True)
class Column:
    """What a column holds. ``ge``, ``le`` and ``isin`` are rules a row is quarantined for.

    ``format``: how a date or datetime is written (``%Y/%m/%d``), ISO 8601 when None.
    """

    type: ColumnType
    nullable: bool = False
    format: str | None = None
    ge: float | None = None
    le: float | None = None
    isin: tuple[str, ...] | None = None
    description: str = ""

    def __post_init__(self) -> None:
        if self.ge is not None and self.le is not None and self.ge > self.le:
            raise ValueError(f"ge must not be above le, got ge={self.ge} and le={self.le}")
        if self.type not in ("int", "float") and (self.ge, self.le) != (None, None):
            raise ValueError(f"ge and le are for int and float columns, this one is {self.type}")
        if self.type not in ("date", "datetime") and self.format is not None:
            raise ValueError(f"format is for date and datetime columns, this one is {self.type}")
        if self.type != "str" and self.isin is not None:
            raise ValueError(f"isin is for str columns, this one is {self.type}")


@dataclass(frozen=True)
class Source:
    """One raw table.

    ``path`` may hold ``{partition}`` (one file per partition) or not (one file for all).
    ``partitioned_by``: one date or datetime column, or year, month and day columns; empty for a
    source without partitions. ``time``: the column that says when a row became known; rows of a
    source without one are taken as always known. ``rules``: SQL expressions that hold for a
    plausible row.
    """

    name: str
    path: str
    key: tuple[str, ...]
    columns: Mapping[str, Column]
    partitioned_by: tuple[str, ...] = ()
    time: str | None = None
    rules: Mapping[str, str] = field(default_factory=dict)
    null_values: tuple[str, ...] = ("NA", "")
    description: str = ""

    def __post_init__(self) -> None:
        for name in self.columns:
            if name in RESERVED or name.startswith("__"):
                raise ValueError(
                    f"source '{self.name}': a column cannot be named '{name}'; the names "
                    f"{', '.join(RESERVED)} and those beginning with __ are taken"
                )


@dataclass(frozen=True)
class SourceFile:
    """The bytes of a raw file and the name to call it by in messages."""

    name: str
    data: bytes
