"""Content digests: the same content gives the same name, whoever made it and when."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterator, Mapping
from datetime import date
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import polars as pl


def digest_bytes(*parts: bytes) -> str:
    """SHA-256 over length-prefixed parts, as 64 hexadecimal digits."""
    sha = hashlib.sha256()
    for part in parts:
        sha.update(len(part).to_bytes(8, "big"))
        sha.update(part)
    return sha.hexdigest()


def digest_value(value: Any) -> str:
    """SHA-256 of a plain value or dataclass, independent of the order of mappings and sets.

    Raises ``TypeError`` for what has no content to be named by.
    """
    text = json.dumps(value, default=_plain, sort_keys=True, separators=(",", ":"))
    return digest_bytes(text.encode())


def digest_files(files: Mapping[str, bytes]) -> str:
    """SHA-256 over file names and contents, independent of the order they are given in."""
    return digest_bytes(*(part for name in sorted(files) for part in (name.encode(), files[name])))


def fingerprint(frame: pl.DataFrame) -> str:
    """SHA-256 over a table's schema and rows, in the order given.

    Equal tables have equal fingerprints, whatever lies in memory under their nulls.
    """
    return digest_bytes(*(part for series in frame.iter_columns() for part in _content(series)))


def _plain(item: Any) -> Any:
    """What JSON does not know, as something it does."""
    if dataclasses.is_dataclass(item) and not isinstance(item, type):
        return dataclasses.asdict(item)
    if isinstance(item, Mapping):
        return dict(item)
    if isinstance(item, set | frozenset):
        return sorted(item)
    if isinstance(item, date | PurePath):
        return str(item)
    raise TypeError(f"a {type(item).__name__} has no digest: {item!r}")


def _content(series: pl.Series) -> Iterator[bytes]:
    """Name, type, which values are null, and the values, each in one way only."""
    import polars as pl

    yield series.name.encode()
    yield repr(series.dtype).encode()
    yield series.is_null().to_numpy().tobytes()
    if series.dtype in (pl.String, pl.Categorical, pl.Enum):
        text = series.cast(pl.String).fill_null("")
        yield text.str.len_bytes().to_numpy().tobytes()
        yield text.str.join().item().encode()
    elif series.dtype.is_float():
        numbers = series.fill_null(0).fill_nan(float("nan")).to_numpy()
        yield (numbers + 0.0).tobytes()  # makes -0.0 the 0.0 it equals
    elif series.dtype.is_integer() or series.dtype.is_temporal():
        yield series.to_physical().fill_null(0).to_numpy().tobytes()
    elif series.dtype == pl.Boolean:
        yield series.fill_null(False).to_numpy().tobytes()
    else:  # seldom, and slow: lists, structs, decimals
        yield repr(series.to_list()).encode()
