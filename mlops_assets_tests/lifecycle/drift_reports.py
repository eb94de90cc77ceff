"""Drift reports as ``measure_drift`` would make them, column by column."""

from __future__ import annotations

import math
from collections.abc import Callable

from mlops_assets.lifecycle.drift.report import ColumnDrift, ColumnSummary, DriftReport, Finding
from mlops_assets.lifecycle.performance import PerformanceReport
from mlops_assets.lifecycle.verdicts import Outcome, Verdict

SHARES = [step / 20 for step in range(1, 20)]


def summary(shape: Callable[[float], float], missing: float = 0.0) -> ColumnSummary:
    """A side of a column whose value at each share of the rows is ``shape`` of it."""
    ends = shape(0.0), shape(1.0)
    return ColumnSummary(missing, tuple(map(shape, SHARES)), min(ends), max(ends))


def miles(share: float) -> float:
    """Distances: many short, few very long."""
    return 100 + 4800 * share**3


def warm(share: float) -> float:
    """Fahrenheit of a spring: 38 to 72."""
    return 55 + 17 * math.sin(math.pi * (share - 0.5))


def column(
    name: str,
    weight: float,
    *found: Finding,
    before: ColumnSummary | None = None,
    now: ColumnSummary | None = None,
    drifted: bool = True,
    role: str = "feature",
) -> ColumnDrift:
    effect, p = (0.4, 0.001) if drifted else (0.02, 0.6)
    kind = "numeric" if before else "categorical"
    return ColumnDrift(name, kind, effect, p, p, weight, drifted, role, found, before, now)


def numeric(
    name: str,
    weight: float,
    before: Callable[[float], float],
    now: Callable[[float], float],
    *found: Finding,
    drifted: bool = True,
) -> ColumnDrift:
    sides = {"before": summary(before), "now": summary(now)}
    return column(name, weight, *found, **sides, drifted=drifted)


def missing(now: float) -> Finding:
    return Finding("missing", 0.0, now, f"missing in {now:.0%} of the rows, 0% before")


UNSEEN = Finding("unseen", 0.0, 0.02, "2% of the rows hold levels never seen: XX")
BEYOND = Finding("range", 0.0, 0.01, "1% of the rows lie beyond the reference's range")


def report(*columns: ColumnDrift, outcome: Outcome | None = None) -> DriftReport:
    """As ``measure_drift`` would make it, with an alarm at 0.3; quiet columns fill the weight."""
    share = math.fsum(c.weight for c in columns if c.drifted and c.role == "feature")
    rest = 1 - math.fsum(c.weight for c in columns)
    everything = (*columns, column("quiet", rest, drifted=False))
    judged = outcome or ("failed" if share >= 0.3 else "passed")
    verdict = Verdict("reference_still_holds", judged, f"{share:.0%} by importance drifted")
    found = any(c.findings for c in columns)
    intact = Verdict("values_are_intact", "failed" if found else "passed", "findings")
    return DriftReport(everything, share, verdict, intact, 50_000, 6_000)


def performance(
    value: float | None = 0.03, low: float | None = 0.01, brier: float = 0.15
) -> PerformanceReport:
    gap = {"value": value, "low": low, "high": 0.05, "days": 7.0}
    return PerformanceReport(6000, 5800, 0.2, {}, "partial", {"brier": brier}, {}, gap)
