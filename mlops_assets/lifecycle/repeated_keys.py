"""Keys that stand more than once: within a file, or in those of two partitions."""

from __future__ import annotations

from collections.abc import Mapping
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
    known = typed.drop_nulls(source.key)  # a missing key is not the same as another missing one
    repeated = known.filter(known.select(source.key).is_duplicated())
    faults: dict[str, SourceError] = {}
    for (key,), group in repeated.partition_by("partition", as_dict=True).items():
        sharing = repeated.join(group, on=source.key, how="semi", maintain_order="left")
        faults[str(key)] = SourceError(
            f"{file.name}: key ({', '.join(source.key)}) must be unique, {sharing.height} row(s) "
            f"share one: {name_lines(sharing.select(LINE, *source.key))}"
        )
    return faults


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
    known = rows.drop_nulls(source.key)
    repeated = known.filter(known.select(source.key).is_duplicated())
    faults: dict[str, SourceError] = {}
    for (key,), group in repeated.partition_by("partition", as_dict=True).items():
        sharing = repeated.join(group, on=source.key, how="semi")
        where = ", ".join(sorted({*sharing["partition"]} - {key})[:_EXAMPLES])
        faults[str(key)] = SourceError(
            f"{source.path}: key ({', '.join(source.key)}) must be unique, {group.height} row(s) "
            f"of {key} are in {where} too: {name_lines(group.select(LINE, *source.key))}; deliver "
            "the one that is wrong again"
        )
    return {key: fault for key, fault in faults.items() if key in partitions}


def name_lines(rows: pl.DataFrame) -> str:
    """The first rows as ``line 12 ('abc')``."""
    said = [
        f"line {line} ({', '.join(repr(value) for value in values)})"
        for line, *values in rows.head(_EXAMPLES).iter_rows()
    ]
    more = rows.height - len(said)
    return ", ".join(said) + (f" and {more} more" if more > 0 else "")
