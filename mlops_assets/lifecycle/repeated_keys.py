"""Keys that stand more than once: within a file, or in those of two partitions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from mlops_assets.lifecycle.errors import SourceError
from mlops_assets.lifecycle.sources import LINE, Source, SourceFile

if TYPE_CHECKING:
    import polars as pl

_EXAMPLES = 5


def find_repeated_keys(
    file: SourceFile, source: Source, typed: pl.DataFrame
) -> dict[str, SourceError]:
    """One error per partition in which a key stands that stands more than once, here or there."""
    return {
        key: SourceError(
            f"{file.name}: {_must_be_unique(source)}, {sharing.height} row(s) share one: "
            f"{name_lines(sharing.select(LINE, *source.key))}"
        )
        for key, _, sharing in _find_repeated(source, typed)
    }


def find_shared_keys(
    source: Source, partitions: Mapping[str, pl.DataFrame], others: pl.DataFrame | None
) -> dict[str, SourceError]:
    """What is wrong with partitions, each of a file of its own, of which another has a key too.

    ``others``: the keys of partitions that were read before, with their ``partition``.
    """
    import polars as pl

    if not partitions:
        return {}
    named = [
        rows.select(pl.lit(key).alias("partition"), LINE, *source.key)
        for key, rows in partitions.items()
    ]
    rows = pl.concat([*named, *([] if others is None else [others])], how="diagonal_relaxed")
    return {
        key: SourceError(
            f"{source.path}: {_must_be_unique(source)}, {own.height} row(s) of {key} are in "
            f"{', '.join(sorted({*sharing['partition']} - {key})[:_EXAMPLES])} too: "
            f"{name_lines(own.select(LINE, *source.key))}; deliver the one that is wrong again"
        )
        for key, own, sharing in _find_repeated(source, rows)
        if key in partitions
    }


def _find_repeated(
    source: Source, rows: pl.DataFrame
) -> Iterator[tuple[str, pl.DataFrame, pl.DataFrame]]:
    """Per partition its rows whose key stands more than once, and all rows that share these."""
    known = rows.drop_nulls(source.key)  # a missing key is not the same as another missing one
    repeated = known.filter(known.select(source.key).is_duplicated())
    for (key,), own in repeated.partition_by("partition", as_dict=True).items():
        yield (
            str(key),
            own,
            repeated.join(own, on=source.key, how="semi", maintain_order="left"),
        )


def _must_be_unique(source: Source) -> str:
    return f"key ({', '.join(source.key)}) must be unique"


def name_lines(rows: pl.DataFrame) -> str:
    """The first rows as ``line 12 ('abc')``."""
    said = [
        f"line {line} ({', '.join(repr(value) for value in values)})"
        for line, *values in rows.head(_EXAMPLES).iter_rows()
    ]
    more = rows.height - len(said)
    return ", ".join(said) + (f" and {more} more" if more > 0 else "")
