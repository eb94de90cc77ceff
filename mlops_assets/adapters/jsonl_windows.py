"""The windows of a rollout, counted from the lines of the prediction log."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from mlops_assets.adapters.jsonl_lines import Moment
from mlops_assets.lifecycle.rollout.window import Arm, Window

if TYPE_CHECKING:
    import polars as pl

NO_BASELINE = "none"
"""The baseline's name in a window in which only the canary was asked."""

_ARM = ("weight", "canary")
_COUNTS = ("requests", "units", "failed", "errors", "slow", "high")


class AttemptLine(msgspec.Struct, gc=False):
    """What a window needs of one line; the rest of the line is not decoded."""

    version: str
    status: str
    received_at: Moment
    milliseconds: float = 0.0
    routed: bool = True
    unit: str | None = None
    canary: str | None = None
    weight: int = 0
    probability: list[float] | None = None


@dataclass(frozen=True)
class Thresholds:
    """From where an answer is slow (more than ``slow_milliseconds``), and from where its mean
    probability is high (``probability`` or more); None: none is."""

    slow_milliseconds: float | None = None
    probability: float | None = None


def count_windows(
    batches: Iterable[Sequence[AttemptLine]], canary: str, thresholds: Thresholds
) -> tuple[Window, ...]:
    """One window per weight, rising, from all lines of a log in the order of its files.

    Lines of the canary's rollout that the routing assigned count, as ``Arm`` says; requests that
    named their version, stand-ins for a failed canary and copies were assigned to no arm. What
    comes first is told by ``received_at``, then by the place in the log. ``high`` of a unit counts
    where its window and arm are, and only by what happened there: what comes later changes no
    earlier window.
    """
    import polars as pl

    frames = [_compact(lines, canary, thresholds) for lines in batches]
    if not frames:
        return ()
    attempts = pl.concat(frames).sort("at", maintain_order=True)
    counted = {name: _by_arm(rows) for name, rows in _events(attempts).items()}
    names = dict(
        attempts.filter(~pl.col("canary"))
        .unique("weight", keep="last", maintain_order=True)
        .select("weight", "version")
        .iter_rows()
    )

    def arm(weight: int, version: str, *, of_canary: bool) -> Arm:
        counts = (counted[name].get((weight, of_canary), 0) for name in _COUNTS)
        return Arm(version, *counts)

    return tuple(
        Window(
            weight,
            arm(weight, canary, of_canary=True),
            arm(weight, names.get(weight, NO_BASELINE), of_canary=False),
        )
        for weight in attempts["weight"].unique().sort()
    )


def _compact(lines: Sequence[AttemptLine], canary: str, thresholds: Thresholds) -> pl.DataFrame:
    """The lines that count, in some forty bytes each: a unit is kept as a hash of 64 bits."""
    import polars as pl

    slow, high = thresholds.slow_milliseconds, thresholds.probability
    kept = [
        line
        for line in lines
        if line.canary == canary and line.routed and line.weight > 0 and line.unit is not None
    ]
    answers = [line.probability or () for line in kept]
    return pl.DataFrame(
        [
            pl.Series("at", [round(k.received_at.timestamp() * 1e6) for k in kept], pl.Int64),
            pl.Series("weight", [k.weight for k in kept], pl.Int64),
            pl.Series("version", [k.version for k in kept], pl.String),
            pl.Series("canary", [k.version == canary for k in kept], pl.Boolean),
            pl.Series("unit", [k.unit for k in kept], pl.String).hash(),
            pl.Series("failed", [k.status != "ok" for k in kept], pl.Boolean),
            pl.Series(
                "slow", [slow is not None and k.milliseconds > slow for k in kept], pl.Boolean
            ),
            pl.Series(
                "high",
                [high is not None and len(p) > 0 and sum(p) / len(p) >= high for p in answers],
                pl.Boolean,
            ),
        ]
    )


def _events(attempts: pl.DataFrame) -> dict[str, pl.DataFrame]:
    """Per count of an arm, the rows that make it, from attempts in their order."""
    import polars as pl

    def first(rows: pl.DataFrame) -> pl.DataFrame:
        return rows.unique("unit", keep="first", maintain_order=True)

    failures, answers = attempts.filter(pl.col("failed")), attempts.filter(~pl.col("failed"))
    first_seen = first(attempts)
    units = first_seen.select("unit", *_ARM)
    at_home = ["unit", *_ARM]
    return {
        "requests": attempts,
        "units": units,
        "failed": first_seen.filter(pl.col("failed")),
        "errors": first(failures),
        "slow": first(answers.filter(pl.col("slow"))),
        "high": first(answers).filter(pl.col("high")).join(units, on=at_home, how="semi"),
    }


def _by_arm(rows: pl.DataFrame) -> dict[tuple[int, bool], int]:
    counts = rows.group_by(*_ARM).len().iter_rows()
    return {(weight, canary): count for weight, canary, count in counts}
