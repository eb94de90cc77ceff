"""The prediction log as a table: one row per row of each attempt."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any

import msgspec

from mlops_assets.adapters.jsonl_lines import Moment

if TYPE_CHECKING:
    import polars as pl


class PredictionLine(msgspec.Struct, gc=False):
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
    unit: str | None = None
    canary: str | None = None
    weight: int = 0
    entity: list[str | None] | None = None
    time: list[str | None] | None = None
    features: dict[str, list[float | str | None]] = {}
    probability: list[float] | None = None


def build_table(batches: Iterable[Sequence[PredictionLine]]) -> pl.DataFrame:
    """All rows of all attempts, oldest first.

    Columns: request_id, row (position in its request), model, version, digest, arm (``shadow``
    for a copy, null for a version outside of the routing), routed (whether the routing chose the
    version), unit, canary and weight (percent) of the rollout at that time, received_at and time
    (UTC, microseconds), entity, probability (null where the version failed), milliseconds (of the
    whole request), then each feature under its own name: Float64, or String when categorical. A
    feature named like one of the others is called ``feature_<name>``.
    """
    import polars as pl

    frames = [_frame([], (), [])]
    for batch in batches:
        frames += _frames(batch)
    table = pl.concat(frames, how="diagonal_relaxed").sort("received_at", maintain_order=True)
    return table.with_columns(pl.selectors.by_dtype(pl.Null).cast(pl.Float64))


def count_rows(line: PredictionLine) -> int:
    """How many rows an attempt was about; 0 when its lists do not agree on it."""
    lists: list[Sequence[object] | None] = [line.entity, line.time, *line.features.values()]
    if line.status == "ok":
        lists.append(line.probability or [])
    lengths = {len(values) for values in lists if values is not None}
    if not lengths:
        return 1
    return lengths.pop() if len(lengths) == 1 else 0


def _frames(lines: Sequence[PredictionLine]) -> Iterator[pl.DataFrame]:
    """The rows of these lines, one frame per version and set of features."""
    groups: dict[tuple[str, ...], list[tuple[PredictionLine, int]]] = {}
    for line in lines:
        if height := count_rows(line):
            groups.setdefault((line.version, *line.features), []).append((line, height))
    for (_, *features), group in groups.items():
        attempts, heights = zip(*group, strict=True)
        yield _frame(attempts, features, heights)


def _frame(
    lines: Sequence[PredictionLine], features: Sequence[str], heights: Sequence[int]
) -> pl.DataFrame:
    """The rows of lines that have the same features."""
    import polars as pl

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
    answers = (line.probability if line.status == "ok" else None for line in lines)
    columns = [
        request("request_id"),
        pl.Series("row", [row for height in heights for row in range(height)], pl.Int64),
        *(request(name) for name in ("model", "version", "digest", "arm")),
        request("routed", pl.Boolean),
        *(request(name) for name in ("unit", "canary")),
        request("weight", pl.Int64),
        request("received_at", pl.Datetime("us", "UTC")),
        pl.Series("entity", flat(line.entity for line in lines), pl.String),
        moments.str.to_datetime(time_unit="us", time_zone="UTC", strict=False),
        pl.Series("probability", flat(answers), pl.Float64),
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
