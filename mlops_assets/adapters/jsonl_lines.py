"""The files of a prediction log, and their lines."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Protocol, TypeVar

import msgspec

BLOCK = 1 << 20
"""Bytes read at once: the memory that a log of any size asks for, and the rows of one table."""

GRACE = timedelta(hours=1)
"""How far the clocks of whoever wrote and whoever asks may be apart."""

Moment = Annotated[datetime, msgspec.Meta(tz=True)]
Line = TypeVar("Line")


class Received(Protocol):
    """A line that says when its request came."""

    @property
    def received_at(self) -> datetime: ...


Dated = TypeVar("Dated", bound=Received)

_NAME = re.compile(r"(\d{8}T\d{2})-.*\.jsonl")

logger = logging.getLogger(__name__)


def find_files(root: Path, model: str, since: datetime | None = None) -> list[Path]:
    """The log's files of a model, oldest hour first; those that ended before ``since`` (aware),
    less ``GRACE``, are left out."""
    files = sorted((root / model).glob("*.jsonl"))
    if since is None:
        return files
    # A file is written within the hour of its name.
    first = _hour(since - GRACE)
    return [path for path in files if path.name.split("-")[0] >= first]


def find_files_before(root: Path, model: str, before: datetime) -> list[Path]:
    """The files that by their names nobody wrote to at or after ``before`` (aware)."""
    found = ((path, _NAME.fullmatch(path.name)) for path in find_files(root, model))
    last = _hour(before)
    return [path for path, name in found if name and name[1] < last]


def read_lines(path: Path, kind: type[Line]) -> Iterator[list[Line]]:
    """The lines of one file in batches.

    A torn last line is left out; a damaged one within the file is left out and reported. A file
    that is gone, as its rows were collected, has none.
    """
    decoder = msgspec.json.Decoder(kind)
    for block in _blocks(path):
        try:
            yield decoder.decode_lines(block)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            yield list(_readable_lines(path, block, decoder))


def leave_out_older(lines: Sequence[Dated], since: datetime | None) -> Sequence[Dated]:
    """The lines received at ``since`` or later, less ``GRACE``; all for None."""
    if since is None:
        return lines
    earliest = since - GRACE
    return [line for line in lines if line.received_at >= earliest]


def count_lines(path: Path) -> int:
    """How many whole lines a file has, readable or not."""
    return sum(block.count(b"\n") + 1 for block in _blocks(path))


def _blocks(path: Path) -> Iterator[bytes]:
    """Whole lines, many at a time, without the last line's end."""
    rest = b""
    try:
        with path.open("rb") as file:
            while chunk := file.read(BLOCK):
                whole, end, rest = (rest + chunk).rpartition(b"\n")
                if end:
                    yield whole
    except FileNotFoundError:
        return


def _readable_lines(
    path: Path, block: bytes, decoder: msgspec.json.Decoder[Line]
) -> Iterator[Line]:
    for line in block.split(b"\n"):
        try:
            yield decoder.decode(line)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            logger.warning("prediction log: a line of %s is skipped: %s", path, error)


def _hour(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y%m%dT%H}"
