"""Whether what the endpoint saw of a row is what the offline features say of it.

A model is tested on features built offline. Where the same feature comes out differently online,
by other code, an older table or a default, the model that answers is not the one that was tested,
and no metric of it says so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from mlops_assets.lifecycle.verdicts import Verdict

if TYPE_CHECKING:
    import polars as pl

    from mlops_assets.lifecycle.training import Feature

SHOWN = 20
"""So many differences are shown."""

_PARTNER = "__partner"
_NUMBER = "__number"
_OFFLINE = "__offline"


@dataclass(frozen=True)
class SkewPolicy:
    """``tolerance``: how far a logged number may lie from the offline one, relative to the larger
    of both. ``share``: the share of compared rows that may differ.
    """

    tolerance: float = 1e-9
    share: float = 0.001

    def __post_init__(self) -> None:
        if not 0 <= self.tolerance < 1:
            raise ValueError(f"tolerance must lie between 0 and 1, got {self.tolerance}")
        if not 0 <= self.share < 1:
            raise ValueError(f"share must lie between 0 and 1, got {self.share}")


@dataclass(frozen=True)
class SkewReport:
    """What a comparison found.

    ``compared`` rows have a partner offline, ``alone`` have none; ``differing`` have at least one
    feature that differs. ``features``: per feature that differs, in how many rows. ``examples``:
    at most ``SHOWN`` of the differences, as entity, time, version, feature, online, offline.
    """

    rows: int
    compared: int
    alone: int
    differing: int
    verdict: Verdict
    features: Mapping[str, int] = field(default_factory=dict)
    examples: Sequence[Mapping[str, Any]] = ()


def compare_features(
    online: pl.DataFrame,
    offline: pl.DataFrame,
    features: Sequence[Feature],
    policy: SkewPolicy,
    *,
    known: Mapping[str, frozenset[str]] | None = None,
) -> SkewReport:
    """Logged rows against the offline rows of the same ``entity`` and ``time``.

    ``online`` has a ``version`` besides; ``known`` says which features a version was asked with,
    all for one that is not in it. Rows logged without a time are compared with the only offline
    row of their entity. NaN and an empty text are as good as null; null against a value differs.
    """
    import polars as pl

    pairs = _pair(online, offline, [feature.name for feature in features])
    differs = {
        feature.name: _differs(feature, policy.tolerance) & _knew(feature.name, known or {})
        for feature in features
    }
    marked = pairs.select(
        "entity",
        "time",
        "version",
        *(pl.col(name) for name in differs),
        *(pl.col(_OFFLINE + name) for name in differs),
        *(apart.alias(f"__differs{name}") for name, apart in differs.items()),
    )
    counts = {name: int(marked[f"__differs{name}"].sum()) for name in differs}
    found = {name: count for name, count in sorted(counts.items(), key=_most) if count}
    flags = [pl.col(f"__differs{name}") for name in differs]
    differing = marked.filter(pl.any_horizontal(flags)).height if flags else 0
    alone = online.height - pairs.height
    verdict = _judge(online.height, offline.height, pairs.height, differing, found, policy)
    return SkewReport(
        online.height, pairs.height, alone, differing, verdict, found, _show(marked, list(found))
    )


def _pair(online: pl.DataFrame, offline: pl.DataFrame, names: Sequence[str]) -> pl.DataFrame:
    """The logged rows that have a partner, each once, with what offline says beside it."""
    import polars as pl

    partners = offline.select(
        "entity",
        pl.col("time").alias(_PARTNER),
        pl.len().over("entity").alias("__of_entity"),
        *(pl.col(name).alias(_OFFLINE + name) for name in names),
    )
    joined = online.with_row_index(_NUMBER).join(partners, on="entity", how="inner")
    alike = pl.when(pl.col("time").is_null()).then(pl.col("__of_entity") == 1)
    return (
        joined.filter(alike.otherwise(pl.col("time") == pl.col(_PARTNER)))
        .unique(_NUMBER, keep="first", maintain_order=True)
        .sort("time", "entity", _NUMBER)
    )


def _differs(feature: Feature, tolerance: float) -> pl.Expr:
    import polars as pl

    online, offline = pl.col(feature.name), pl.col(_OFFLINE + feature.name)
    if feature.kind == "categorical":
        texts = [each.cast(pl.String).fill_null("") for each in (online, offline)]
        return texts[0] != texts[1]
    a, b = (each.cast(pl.Float64).fill_nan(None) for each in (online, offline))
    apart = (a - b).abs() > tolerance * pl.max_horizontal(a.abs(), b.abs())
    # Of infinities no tolerance is a share; those of one sign are equal.
    beyond = (apart | ~(a - b).is_finite()) & (a != b)
    return beyond.fill_null(value=False) | (a.is_null() != b.is_null())


def _knew(feature: str, known: Mapping[str, frozenset[str]]) -> pl.Expr:
    import polars as pl

    without = [version for version, names in known.items() if feature not in names]
    return ~pl.col("version").is_in(without)


def _most(counted: tuple[str, int]) -> tuple[int, str]:
    return -counted[1], counted[0]


def _show(marked: pl.DataFrame, names: Sequence[str]) -> list[dict[str, Any]]:
    """Differences of each feature in turn, so that one that differs everywhere hides no other."""
    each = -(-SHOWN // max(len(names), 1))
    shown = [
        {
            "entity": row["entity"],
            "time": None if row["time"] is None else row["time"].isoformat(),
            "version": row["version"],
            "feature": name,
            "online": row[name],
            "offline": row[_OFFLINE + name],
        }
        for name in names
        for row in marked.filter(marked[f"__differs{name}"]).head(each).iter_rows(named=True)
    ]
    return shown[:SHOWN]


def _judge(
    rows: int,
    offline: int,
    compared: int,
    differing: int,
    found: Mapping[str, int],
    policy: SkewPolicy,
) -> Verdict:
    name = "online_equals_offline"
    if not compared:
        why = "nothing was logged" if not rows else f"none of {rows:,} logged rows has a partner"
        there = "" if offline else "; the offline features are not there"
        return Verdict(name, "inconclusive", why + there, {"rows": rows})
    share = differing / compared
    worst = ", ".join(f"{feature} in {count:,}" for feature, count in list(found.items())[:5])
    said = (
        f"{differing:,} of {compared:,} logged rows differ from the offline ones"
        f"{f' ({worst})' if worst else ''}, at most {policy.share:.2%} may; "
        f"{rows - compared:,} rows have no partner"
    )
    evidence = {"compared": compared, "differing": differing, "alone": rows - compared}
    return Verdict(name, "failed" if share > policy.share else "passed", said, evidence)
