"""The prediction log of the model server, read from its JSON lines."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import msgspec

from mlops_assets.lifecycle.rollout.analysis import Arm, Window

if TYPE_CHECKING:
    import polars as pl

NO_BASELINE = "none"
BATCH = 500

Moment = Annotated[datetime, msgspec.Meta(tz=True)]
Line = TypeVar("Line")

logger = logging.getLogger(__name__)


class AttemptLine(msgspec.Struct):
    """What a window needs of one line; the rest of the line is not decoded."""

    version: str
    status: str
    received_at: Moment
    routed: bool = True


class PredictionLine(msgspec.Struct):
    """One line of the log; lists hold one value per row of the request."""

    request_id: str
    model: str
    version: str
    digest: str
    status: str
    received_at: Moment
    milliseconds: float
    arm: str | None = None
    routed: bool = True
    entity: list[str | None] | None = None
    time: list[str | None] | None = None
    features: dict[str, list[float | str | None]] = {}
    probability: list[float] | None = None


@dataclass(frozen=True)
class JsonlTelemetry:
    """``Telemetry`` over ``<root>/<model>/<hour>-*.jsonl``, which a running server may append to.

    A line that is not whole was never acknowledged and counts nowhere.
    """

    root: Path

    def window(self, model: str, since: datetime, canary: str, baseline: str | None) -> Window:
        """Requests that the routing gave to each version at or after ``since`` (aware).

        Requests that named their version, and answers in place of a failed canary, do not count:
        neither was assigned to an arm.
        """
        since = since.astimezone(UTC)
        hour = f"{since:%Y%m%dT%H}"
        requests: Counter[str] = Counter()
        errors: Counter[str] = Counter()
        for path in self._files(model):
            if path.name.split("-")[0] < hour:  # a file is written within the hour of its name
                continue
            for line in chain.from_iterable(read_lines(path, AttemptLine)):
                if line.routed and line.received_at >= since:
                    requests[line.version] += 1
                    errors[line.version] += line.status == "error"

        def arm(version: str) -> Arm:
            return Arm(version, requests[version], errors[version])

        return Window(arm(canary), arm(baseline or NO_BASELINE))

    def predictions(self, model: str) -> pl.DataFrame:
        """One row per predicted row, oldest first.

        Columns: request_id, row (position in its request), model, version, digest, arm (null for
        a version outside of the routing), routed (whether the routing chose the version),
        received_at and time (UTC, microseconds), entity, probability, milliseconds (of the whole
        request), then each feature under its own name: Float64, or String when categorical. A
        feature named like one of the others is called ``feature_<name>``.
        """
        import polars as pl

        frames = [_frame([], ())]
        for path in self._files(model):
            for batch in read_lines(path, PredictionLine):
                frames += _frames(batch)
        table = pl.concat(frames, how="diagonal_relaxed").sort("received_at", maintain_order=True)
        return table.with_columns(pl.selectors.by_dtype(pl.Null).cast(pl.Float64))

    def _files(self, model: str) -> list[Path]:
        return sorted((self.root / model).glob("*.jsonl"))


def read_lines(path: Path, kind: type[Line]) -> Iterator[list[Line]]:
    """The lines of one file in batches: few objects at a time keep the garbage collector quiet.

    A torn last line is left out; a damaged one within the file is left out and reported.
    """
    lines = path.read_bytes().split(b"\n")[:-1]
    decoder = msgspec.json.Decoder(kind)
    for start in range(0, len(lines), BATCH):
        batch = lines[start : start + BATCH]
        try:
            yield decoder.decode_lines(b"\n".join(batch))
        except (msgspec.MsgspecError, UnicodeDecodeError):
            yield list(_readable_lines(path, batch, decoder))


def _readable_lines(
    path: Path, lines: Sequence[bytes], decoder: msgspec.json.Decoder[Line]
) -> Iterator[Line]:
    for line in lines:
        try:
            yield decoder.decode(line)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            logger.warning("prediction log: a line of %s is skipped: %s", path, error)


def _frames(lines: Sequence[PredictionLine]) -> Iterator[pl.DataFrame]:
    """The predicted rows of these lines, one frame per version and set of features."""
    groups: dict[tuple[str, ...], list[PredictionLine]] = {}
    for line in lines:
        if line.status == "ok" and _is_even(line):
            groups.setdefault((line.version, *line.features), []).append(line)
    for (_, *features), group in groups.items():
        yield _frame(group, features)


def _is_even(line: PredictionLine) -> bool:
    """Whether every list of the line has a value for each of its rows, and there are any."""
    rows = len(line.probability or ())
    lengths = {*map(len, line.features.values())}
    lengths |= {len(values) for values in (line.entity, line.time) if values is not None}
    return rows > 0 and lengths <= {rows}


def _frame(lines: Sequence[PredictionLine], features: Sequence[str]) -> pl.DataFrame:
    """The predicted rows of lines that have the same features."""
    import polars as pl

    heights = [len(line.probability or ()) for line in lines]
    index = [at for at, height in enumerate(heights) for _ in range(height)]

    def request(name: str, dtype: Any = pl.String) -> pl.Series:
        return pl.Series(name, [getattr(line, name) for line in lines], dtype)[index]

    def flat(lists: Iterable[Sequence[Any] | None]) -> list[Any]:
        whole = (
            [None] * height if some is None else some
            for some, height in zip(lists, heights, strict=True)
        )
        return list(chain.from_iterable(whole))

    moments = pl.Series("time", flat(line.time for line in lines), pl.String)
    columns = [
        request("request_id"),
        pl.Series("row", [row for height in heights for row in range(height)], pl.Int64),
        *(request(name) for name in ("model", "version", "digest", "arm")),
        request("routed", pl.Boolean),
        request("received_at", pl.Datetime("us", "UTC")),
        pl.Series("entity", flat(line.entity for line in lines), pl.String),
        moments.str.to_datetime(time_unit="us", time_zone="UTC", strict=False),
        pl.Series("probability", flat(line.probability for line in lines), pl.Float64),
        request("milliseconds", pl.Float64),
    ]
    taken = {column.name for column in columns}
    by_feature = zip(*(line.features.values() for line in lines), strict=True)
    for name, lists in zip(features, by_feature, strict=bool(lines)):
        values = list(chain.from_iterable(lists))
        columns.append(_feature(f"feature_{name}" if name in taken else name, values))
    return pl.DataFrame(columns)


def _feature(name: str, values: list[Any]) -> pl.Series:
    """Text if there is any, numbers if there are any, else left to what other lines hold."""
    import polars as pl

    kinds = set(map(type, values))
    dtype = pl.String if str in kinds else pl.Float64 if float in kinds else pl.Null
    return pl.Series(name, values, dtype, strict=False)
