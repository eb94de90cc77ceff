"""What the tests of one column gave, before all tests of a window are looked at together."""

from __future__ import annotations

from dataclasses import dataclass

from mlops_assets.lifecycle.drift.report import ColumnSummary, Finding, Role
from mlops_assets.lifecycle.training import Feature


@dataclass(frozen=True)
class Suspicion:
    """A test of one aspect of a column. ``finding`` is None when it is too small to matter."""

    p_value: float
    finding: Finding | None


@dataclass(frozen=True)
class Examined:
    """One column: effect and p-value of its shape, what else is suspected, what stands without a
    test among the others, both summaries."""

    feature: Feature
    role: Role
    effect: float
    p_value: float
    suspicions: tuple[Suspicion, ...]
    found: Finding | None
    reference: ColumnSummary
    current: ColumnSummary
