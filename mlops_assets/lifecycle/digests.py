"""Content digests: the same content gives the same name, whoever made it and when."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
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
    """SHA-256 of a plain value or dataclass, independent of mapping order."""

    def plain(item: Any) -> Any:
        if dataclasses.is_dataclass(item) and not isinstance(item, type):
            return dataclasses.asdict(item)
        return str(item)

    text = json.dumps(value, default=plain, sort_keys=True, separators=(",", ":"))
    return digest_bytes(text.encode())


def digest_files(files: Mapping[str, bytes]) -> str:
    """SHA-256 over file names and contents, independent of the order they are given in."""
    return digest_bytes(*(part for name in sorted(files) for part in (name.encode(), files[name])))


def fingerprint(frame: pl.DataFrame) -> str:
    """SHA-256 over a table's schema and rows, in the order given."""
    import io

    buffer = io.BytesIO()
    frame.rechunk().write_ipc(buffer, compression="uncompressed")
    return digest_bytes(repr(frame.schema).encode(), buffer.getvalue())
