"""Drift between reference and current rows: every column looked at, every flag accounted for.

Each column has up to four tests: the shape of its known values, what is missing, what was never
seen, what lies far from nearly all. All tests of a window go through Benjamini-Hochberg together,
so that without any drift few windows have a flag at all, however many columns there are; and a flag
needs an effect worth it. Numbers beyond all measure speak for themselves.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from mlops_assets.lifecycle.drift.columns import OtherColumn
from mlops_assets.lifecycle.drift.examined import Examined
from mlops_assets.lifecycle.drift.missing import suspect_missing
from mlops_assets.lifecycle.drift.policy import DriftPolicy
from mlops_assets.lifecycle.drift.report import ColumnDrift, DriftReport, Role
from mlops_assets.lifecycle.drift.sample import Sample, pair_days
from mlops_assets.lifecycle.drift.shape import count_shape, measure_shape, thin
from mlops_assets.lifecycle.drift.summary import summarise
from mlops_assets.lifecycle.drift.tails import find_range, suspect_tails
from mlops_assets.lifecycle.drift.unseen import suspect_unseen
from mlops_assets.lifecycle.training import Feature
from mlops_assets.lifecycle.verdicts import Verdict

if TYPE_CHECKING:
    import polars as pl

_TESTS = 4
"""Tests of one column at most."""

_NAMED = 5
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
    also: Sequence[OtherColumn] = (),
) -> DriftReport:
    """Compare each feature between the two tables; ``day`` names the column of dates.

    Too few days to ever flag one column among all are inconclusive, unless many columns at once or
    values far out alarm all the same. ``weights`` is the importance of each feature (1 each when
    None); negative ones count as 0. ``also`` are predictions and labels: they weigh nothing, and
    come after the features. Raises ``FeatureError`` when a value does not fit the kind of its
    column.
    """
    features = [feature for feature in features if feature.name not in policy.ignore]
    few = _too_few(reference, current, day, policy)
    few = few or (None if features else "there is no feature that can be compared")
    if few:
        verdict = Verdict("reference_still_holds", "inconclusive", few)
        intact = Verdict("values_are_intact", "inconclusive", few)
        return DriftReport((), 0.0, verdict, intact, reference.height, current.height)
    tests = _TESTS * (len(features) + len(also))

    def pair(before: pl.DataFrame, now: pl.DataFrame, names: Sequence[Feature]) -> Sample:
        # Without enough permutations the smallest p-value could not pass among so many tests.
        number = max(policy.permutations, math.ceil(2 * tests / policy.false_discovery_rate))
        return pair_days(before, now, names, day=day, permutations=number, seed=policy.seed)

    sample = pair(reference, current, features)
    examined = [_examine(sample, feature, "feature", policy) for feature in features]
    for other in also:
        if not _too_few(other.reference, other.current, day, policy):
            alone = Feature(other.column, other.kind)
            sample = pair(other.reference, other.current, [alone])
            examined.append(_examine(sample, alone, other.role, policy))
    columns = _flag(examined, _normalised(features, weights), policy)
    drifted = math.fsum(column.weight for column in columns if column.drifted)
    done = sum(1 + len(one.suspicions) for one in examined)
    weak = _too_weak(reference[day].n_unique(), current[day].n_unique(), policy, done)
    verdict, intact = (
        replace(judged, outcome="inconclusive", reason=weak) if weak and judged.passed else judged
        for judged in (
            judge_drift([c for c in columns if c.role == "feature"], drifted, policy),
            judge_values(columns),
        )
    )
    return DriftReport(columns, drifted, verdict, intact, reference.height, current.height)


def judge_drift(columns: Sequence[ColumnDrift], share: float, policy: DriftPolicy) -> Verdict:
    """Failed when the drifted columns weigh at least ``drift_share``."""
    drifted = sorted((c for c in columns if c.drifted), key=lambda c: -c.weight)
    named = ", ".join(f"{c.column} (effect {c.effect:.2f})" for c in drifted[:_NAMED]) or "none"
    said = (
        f"{len(drifted)} of {len(columns)} columns drifted, {share:.0%} by importance "
        f"(alarm at {policy.drift_share:.0%}): {named}"
    )
    reached = share >= policy.drift_share - _ROUNDING
    outcome: Literal["failed", "passed"] = "failed" if reached else "passed"
    evidence = {"share": share, "drifted": [c.column for c in drifted]}
    return Verdict("reference_still_holds", outcome, said, evidence)


def judge_values(columns: Sequence[ColumnDrift]) -> Verdict:
    """Failed when any column has a finding; the reason gives the first ones, heaviest first."""
    found = [
        (column.column, finding.said)
        for column in sorted(columns, key=lambda c: -c.weight)
        for finding in column.findings
    ]
    if not found:
        return Verdict("values_are_intact", "passed", "nothing stands out")
    more = f"; and {len(found) - _NAMED} more" if len(found) > _NAMED else ""
    said = "; ".join(f"{name}: {words}" for name, words in found[:_NAMED]) + more
    evidence = {"columns": list(dict.fromkeys(name for name, _ in found))}
    return Verdict("values_are_intact", "failed", said, evidence)


def benjamini_hochberg(p_values: Sequence[float]) -> list[float]:
    """Adjusted p-values that control the false discovery rate (Benjamini and Hochberg, 1995)."""
    order = sorted(range(len(p_values)), key=lambda index: -p_values[index])
    adjusted, smallest = [0.0] * len(p_values), 1.0
    for rank, index in enumerate(order):
        smallest = min(smallest, p_values[index] * len(p_values) / (len(p_values) - rank))
        adjusted[index] = smallest
    return adjusted


def _examine(sample: Sample, feature: Feature, role: Role, policy: DriftPolicy) -> Examined:
    days, column = sample.days, sample.column(feature)
    counts = count_shape(column, days)
    thinned = thin(counts, days, policy.seed)
    effect, p_value = measure_shape(counts, thinned, column, days)
    found = find_range(column, days, policy)
    suspected = (
        suspect_missing(column, thinned, days, policy),
        suspect_unseen(column, days, policy),
        None if found else suspect_tails(column, days, policy),
    )
    tests = tuple(suspicion for suspicion in suspected if suspicion)
    return Examined(feature, role, effect, p_value, tests, found, *summarise(column, days))


def _flag(
    examined: Sequence[Examined], weights: Mapping[str, float], policy: DriftPolicy
) -> tuple[ColumnDrift, ...]:
    """What holds among all tests of the window."""
    every = [p for one in examined for p in (one.p_value, *(s.p_value for s in one.suspicions))]
    adjusted = iter(benjamini_hochberg(every))
    columns = []
    for one in examined:
        q_value = next(adjusted)
        held = [
            suspicion.finding
            for suspicion in one.suspicions
            if next(adjusted) <= policy.false_discovery_rate
        ]
        columns.append(
            ColumnDrift(
                column=one.feature.name,
                kind=one.feature.kind,
                effect=one.effect,
                p_value=one.p_value,
                adjusted_p_value=q_value,
                weight=weights[one.feature.name] if one.role == "feature" else 0.0,
                drifted=q_value <= policy.false_discovery_rate
                and one.effect >= policy.minimum_effect,
                role=one.role,
                findings=tuple(finding for finding in (*held, one.found) if finding),
                reference=one.reference,
                current=one.current,
            )
        )
    return tuple(columns)


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


def _too_weak(reference: int, current: int, policy: DriftPolicy, tests: int = 1) -> str | None:
    """Why no permutation of so few days can alarm for one test among so many, however far apart
    the two sides are. Many at once still can, so that green alone would be a lie."""
    # Swapping sides of equal length leaves the effect as it is: two of all ways to choose.
    ways = math.comb(reference + current, current) / (2 if reference == current else 1)
    needed = policy.false_discovery_rate / tests
    if 1 / ways <= needed:
        return None
    among = f" by one of {tests} tests" if tests > 1 else ""
    return (
        f"{reference} reference days and {current} current days give p-values of at least "
        f"{1 / ways:.3g}, {needed:.3g} is needed to tell them apart{among}"
    )


def _normalised(
    features: Sequence[Feature], weights: Mapping[str, float] | None
) -> dict[str, float]:
    """Non-negative weights that add up to 1; equal ones when nothing is known to matter."""
    raw = {f.name: max((weights or {}).get(f.name, 0.0), 0.0) for f in features}
    total = sum(raw.values())
    return {name: value / total if total else 1 / len(raw) for name, value in raw.items()}
