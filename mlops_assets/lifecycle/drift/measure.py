"""Drift between reference and current rows.

Rows within a day depend on each other (the same weather, the same delays rolling on), so a test
that takes them as independent alarms every week. Here whole days are permuted between reference
and current: the null distribution keeps the dependence within a day.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal

from mlops_assets.lifecycle.drift.policy import DriftPolicy
from mlops_assets.lifecycle.drift.report import ColumnDrift, DriftReport
from mlops_assets.lifecycle.training import Feature
from mlops_assets.lifecycle.verdicts import Verdict

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import polars as pl

_MISSING = "missing"
_OTHER = "other"
_BINS = 10
_CATEGORIES = 30
_ROUNDING = 1e-9
"""Shares are sums of floats: this much below the alarm is at the alarm."""


def measure_drift(
    reference: pl.DataFrame,
    current: pl.DataFrame,
    features: Sequence[Feature],
    policy: DriftPolicy,
    *,
    day: str,
    weights: Mapping[str, float] | None = None,
) -> DriftReport:
    """Compare each feature between the two tables; ``day`` names the column of dates.

    ``weights`` is the importance of each feature (1 each when None); negative ones count as 0.
    """
    few = _too_few(reference, current, day, policy)
    if few:
        verdict = Verdict("reference_still_holds", "inconclusive", few)
        intact = Verdict("values_are_intact", "inconclusive", few)
        return DriftReport((), 0.0, verdict, intact, reference.height, current.height)
    features = [feature for feature in features if feature.name not in policy.ignore]
    tested = [
        (feature, *_test_column(reference, current, feature, policy, day)) for feature in features
    ]
    adjusted = benjamini_hochberg([p_value for _, _, p_value in tested])
    importance = _normalised(features, weights)
    columns = tuple(
        ColumnDrift(
            column=feature.name,
            kind=feature.kind,
            effect=effect,
            p_value=p_value,
            adjusted_p_value=q_value,
            weight=importance[feature.name],
            drifted=q_value <= policy.false_discovery_rate and effect >= policy.minimum_effect,
        )
        for (feature, effect, p_value), q_value in zip(tested, adjusted, strict=True)
    )
    share = math.fsum(column.weight for column in columns if column.drifted)
    verdict = judge_drift(columns, share, policy)
    intact = Verdict("values_are_intact", "passed", "nothing stands out")
    return DriftReport(columns, share, verdict, intact, reference.height, current.height)


def judge_drift(columns: Sequence[ColumnDrift], share: float, policy: DriftPolicy) -> Verdict:
    """Failed when the drifted columns weigh at least ``drift_share``."""
    drifted = sorted((c for c in columns if c.drifted), key=lambda c: -c.weight)
    named = ", ".join(f"{c.column} (effect {c.effect:.2f})" for c in drifted[:5]) or "none"
    said = (
        f"{len(drifted)} of {len(columns)} columns drifted, {share:.0%} by importance "
        f"(alarm at {policy.drift_share:.0%}): {named}"
    )
    reached = share >= policy.drift_share - _ROUNDING
    outcome: Literal["failed", "passed"] = "failed" if reached else "passed"
    evidence = {"share": share, "drifted": [c.column for c in drifted]}
    return Verdict("reference_still_holds", outcome, said, evidence)


def benjamini_hochberg(p_values: Sequence[float]) -> list[float]:
    """Adjusted p-values that control the false discovery rate (Benjamini and Hochberg, 1995)."""
    order = sorted(range(len(p_values)), key=lambda index: -p_values[index])
    adjusted, smallest = [0.0] * len(p_values), 1.0
    for rank, index in enumerate(order):
        smallest = min(smallest, p_values[index] * len(p_values) / (len(p_values) - rank))
        adjusted[index] = smallest
    return adjusted


def _too_few(
    reference: pl.DataFrame, current: pl.DataFrame, day: str, policy: DriftPolicy
) -> str | None:
    for name, table in (("reference", reference), ("current", current)):
        days = table[day].n_unique() if table.height else 0
        if table.height < policy.minimum_rows or days < policy.minimum_days:
            return (
                f"{name} has {table.height} rows on {days} days, at least {policy.minimum_rows} "
                f"on {policy.minimum_days} are needed"
            )
    return _too_weak(reference[day].n_unique(), current[day].n_unique(), policy)


def _too_weak(reference: int, current: int, policy: DriftPolicy) -> str | None:
    """Why no permutation of so few days can alarm, however far apart the two sides are."""
    # Swapping sides of equal length leaves the effect as it is: two of all ways to choose.
    ways = math.comb(reference + current, current) / (2 if reference == current else 1)
    if 1 / ways <= policy.false_discovery_rate:
        return None
    return (
        f"{reference} reference days and {current} current days give p-values of at least "
        f"{1 / ways:.3g}, {policy.false_discovery_rate:g} is needed to tell them apart"
    )


def _test_column(
    reference: pl.DataFrame, current: pl.DataFrame, feature: Feature, policy: DriftPolicy, day: str
) -> tuple[float, float]:
    """Effect and p-value of one column by permuting whole days (Phipson and Smyth, 2010)."""
    import numpy as np

    counts, days_reference = _daily_counts(reference, current, feature, day)
    is_current = np.zeros(len(counts), dtype=bool)
    is_current[days_reference:] = True
    generator = np.random.default_rng(policy.seed)
    draws = np.stack(
        [is_current] + [generator.permutation(is_current) for _ in range(policy.permutations)]
    ).astype(float)
    inside = draws @ counts
    effects = _effects(inside, counts.sum(axis=0) - inside, feature.kind)
    larger = int((effects[1:] >= effects[0] - 1e-12).sum())
    return float(effects[0]), (larger + 1) / (policy.permutations + 1)


def _daily_counts(
    reference: pl.DataFrame, current: pl.DataFrame, feature: Feature, day: str
) -> tuple[npt.NDArray[np.float64], int]:
    """Rows per day and bin, reference days first; missing values are a bin of their own."""
    import polars as pl

    value = pl.col(feature.name).cast(pl.Float64 if feature.kind == "numeric" else pl.String)
    both = pl.concat(
        [
            table.select(day=pl.col(day), value=value, side=pl.lit(side))
            for side, table in enumerate((reference, current))
        ]
    )
    labels = _numeric_bins(both) if feature.kind == "numeric" else _category_bins(both)
    table = (
        # The prefix keeps a category called "day" apart from the column of that name.
        both.select("side", "day", bin="bin " + labels)
        .group_by("side", "day", "bin")
        .len()
        .pivot("bin", index=["side", "day"], values="len")
        .fill_null(0)
        .sort("side", "day")
    )
    ordered = sorted(name for name in table.columns if name not in ("side", "day"))
    return table.select(ordered).to_numpy().astype(float), int((table["side"] == 0).sum())


def _numeric_bins(both: pl.DataFrame) -> pl.Series:
    """Tenths of the reference, by name in rising order; each edge is a bin of its own, so that
    moving away from a common value shows, upwards and downwards alike.
    """
    import numpy as np
    import polars as pl

    values = both["value"].fill_nan(None)
    known = values.filter(both["side"] == 0).drop_nulls()
    known = known if known.len() else values.drop_nulls()
    tenths = (
        np.quantile(known.to_numpy(), np.linspace(0, 1, _BINS + 1)[1:-1])
        if known.len()
        else np.array([0.0])
    )
    edges = np.unique(np.concatenate([tenths, np.nextafter(tenths, -np.inf)]))
    index = np.searchsorted(edges, values.fill_null(0.0).to_numpy(), side="left")
    names = pl.Series([f"{i:02d}" for i in range(len(edges) + 1)])
    return pl.select(
        pl.when(values.is_null()).then(pl.lit(_MISSING)).otherwise(names.gather(index))
    ).to_series()


def _category_bins(both: pl.DataFrame) -> pl.Series:
    """The most frequent categories by name, the rest together."""
    import polars as pl

    values = both["value"].fill_null(_MISSING)
    top = values.value_counts(sort=True).head(_CATEGORIES).to_series()
    return pl.select(
        pl.when(values.is_in(top.to_list())).then(values).otherwise(pl.lit(_OTHER))
    ).to_series()


def _effects(
    current: npt.NDArray[np.float64],
    reference: npt.NDArray[np.float64],
    kind: Literal["numeric", "categorical"],
) -> npt.NDArray[np.float64]:
    """Per draw: the Kolmogorov distance over bins, or the total variation distance."""
    import numpy as np

    gaps = current / current.sum(axis=1, keepdims=True) - reference / reference.sum(
        axis=1, keepdims=True
    )
    if kind == "numeric":
        largest: npt.NDArray[np.float64] = np.abs(np.cumsum(gaps, axis=1)).max(axis=1)
        return largest
    total: npt.NDArray[np.float64] = np.abs(gaps).sum(axis=1) / 2
    return total


def _normalised(
    features: Sequence[Feature], weights: Mapping[str, float] | None
) -> dict[str, float]:
    """Non-negative weights that add up to 1; equal ones when nothing is known to matter."""
    raw = {f.name: max((weights or {}).get(f.name, 0.0), 0.0) for f in features}
    total = sum(raw.values())
    return {name: value / total if total else 1 / len(raw) for name, value in raw.items()}
