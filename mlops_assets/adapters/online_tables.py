"""Online tables as one file per model, replaced as a whole."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from mlops_assets.lifecycle.digests import digest_bytes
from mlops_assets.lifecycle.errors import ArtifactError
from mlops_assets.lifecycle.online import Key, OnlineGroup, OnlineTable, Value


class GroupBody(msgspec.Struct):
    """A group as it is written: keys and values side by side, in one order."""

    by: tuple[str, ...]
    features: tuple[str, ...]
    keys: list[Key]
    values: list[tuple[Value, ...]]


class TableBody(msgspec.Struct):
    """A table as it is written."""

    model: str
    as_of: str
    code: str
    groups: list[GroupBody]


class Envelope(msgspec.Struct):
    """The written table and the SHA-256 of its bytes."""

    digest: str
    table: bytes


Stamp = tuple[int, int, int]
"""Inode, time of change and size: a file that was replaced differs in one of them."""


@dataclass(frozen=True)
class FolderOnlineTables:
    """``OnlineTables`` on a local folder: ``<root>/<model>.msgpack``.

    A reader sees the old table or the new one. As long as a file is not replaced, reading it again
    costs one look at the folder and gives the same object.
    """

    root: Path
    _read: dict[str, tuple[Stamp, OnlineTable]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def publish(self, table: OnlineTable) -> str:
        body = encode_table(table)
        digest = digest_bytes(body)
        path = self._path(table.model)
        if self._stored(path) != body:
            _replace(path, msgspec.msgpack.encode(Envelope(digest, body)))
        return digest

    def read(self, model: str) -> OnlineTable | None:
        path = self._path(model)
        try:
            stamp = _stamp(path.stat())
            known = self._read.get(model)
            if known and known[0] == stamp:
                return known[1]
            with path.open("rb") as handle:
                # Of what was opened: the name may belong to the next table by now.
                stamp, data = _stamp(os.fstat(handle.fileno())), handle.read()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise ArtifactError(f"{path}: the online table cannot be read ({error})") from error
        table = _opened(path, data, model)
        self._read[model] = (stamp, table)
        return table

    def _path(self, model: str) -> Path:
        return self.root / f"{model}.msgpack"

    def _stored(self, path: Path) -> bytes | None:
        """The table's bytes as they lie there; None when there are none or they are damaged."""
        try:
            return _verified(path.read_bytes())
        except (FileNotFoundError, ArtifactError):
            return None


def encode_table(table: OnlineTable) -> bytes:
    """A table as bytes; equal tables have equal bytes, in whichever order their rows are."""
    return msgspec.msgpack.encode(
        TableBody(
            table.model, table.as_of, table.code, [_group_body(group) for group in table.groups]
        )
    )


def decode_table(body: bytes) -> OnlineTable:
    """The table that ``encode_table`` wrote. Raises ``ArtifactError`` for anything else."""
    try:
        read = msgspec.msgpack.decode(body, type=TableBody)
        groups = tuple(OnlineGroup(g.by, g.features, _rows(g)) for g in read.groups)
    except (msgspec.MsgspecError, UnicodeDecodeError, ValueError) as error:
        raise ArtifactError(f"the online table is none: {error}; refresh it") from error
    return OnlineTable(read.model, read.as_of, read.code, groups)


def _group_body(group: OnlineGroup) -> GroupBody:
    ordered = sorted(group.rows.items(), key=lambda row: repr(row[0]))
    keys, values = [key for key, _ in ordered], [values for _, values in ordered]
    return GroupBody(group.by, group.features, keys, values)


def _rows(group: GroupBody) -> Mapping[Key, tuple[Value, ...]]:
    """The rows by key; a key or a row that is not as wide as its columns is a ``ValueError``."""
    if any(len(key) != len(group.by) for key in group.keys):
        raise ValueError(f"a key has not the {len(group.by)} values of {group.by}")
    if any(len(row) != len(group.features) for row in group.values):
        raise ValueError(f"a row has not the {len(group.features)} features of its group")
    return dict(zip(group.keys, group.values, strict=True))


def _opened(path: Path, data: bytes, model: str) -> OnlineTable:
    try:
        table = decode_table(_verified(data))
    except ArtifactError as error:
        raise ArtifactError(f"{path}: {error}") from error
    if table.model != model:
        raise ArtifactError(f"{path}: the online table is that of '{table.model}'; refresh it")
    return table


def _verified(data: bytes) -> bytes:
    """What is in the envelope. Raises ``ArtifactError`` when it is not what was put in."""
    try:
        envelope = msgspec.msgpack.decode(data, type=Envelope)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ArtifactError(f"the online table is damaged ({error}); refresh it") from error
    if digest_bytes(envelope.table) != envelope.digest:
        raise ArtifactError(
            f"the online table differs from its digest {envelope.digest[:12]}; refresh it"
        )
    return envelope.table


def _replace(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".writing-") as folder:
        written = Path(folder) / path.name
        with written.open("wb") as handle:
            handle.write(data)
            handle.flush()
            os.fsync(handle.fileno())
        written.replace(path)


def _stamp(stat: os.stat_result) -> Stamp:
    return stat.st_ino, stat.st_mtime_ns, stat.st_size
