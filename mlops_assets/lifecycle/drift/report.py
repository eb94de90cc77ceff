"""What a comparison of reference and current rows found, column by column."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from mlops_assets.lifecycle.verdicts import Verdict

Aspect = Literal["missing", "unseen", "range"]
"""What is looked at beside the shape of a column: shares of rows that a shape does not show."""

Role = Literal["feature", "prediction", "label"]


@dataclass(frozen=True)
class Finding:
    """One aspect of a column that got worse: ``before`` and ``now`` are shares of the rows.

    ``said`` is a sentence, such as ``missing in 12.0 % of the rows, 0.2 % in the reference``.
    """

    aspect: Aspect
    before: float
    now: float
    said: str


@dataclass(frozen=True)
class ColumnSummary:
    """One side of a column: the share that is missing and, of a numeric one, the quantiles from
    5 % to 95 % in steps of 5 and the extremes of what is known, without a few strays."""

    missing: float
    quantiles: tuple[float, ...] = ()
    lowest: float | None = None
    highest: float | None = None


@dataclass(frozen=True)
class ColumnDrift:
    """One column. ``effect``: largest gap between the cumulative shares of a numeric column, or
    half the summed gaps between the shares of categories, 0 to 1. ``adjusted_p_value`` is after
    Benjamini-Hochberg. ``weight``: the importance of a feature, all of them add up to 1; 0 for
    predictions and labels. ``drifted``: its shape was flagged. ``findings``: what else was.
    """

    column: str
    kind: Literal["numeric", "categorical"]
    effect: float
    p_value: float
    adjusted_p_value: float
    weight: float
    drifted: bool
    role: Role = "feature"
    findings: tuple[Finding, ...] = ()
    reference: ColumnSummary | None = None
    current: ColumnSummary | None = None

    @property
    def flagged(self) -> bool:
        """Whether anything about the column stands out."""
        return self.drifted or bool(self.findings)


@dataclass(frozen=True)
class DriftReport:
    """All columns of one window, and two verdicts: ``reference_still_holds``, by the weight of
    the features that drifted, and ``values_are_intact``, by the findings of all columns."""

    columns: tuple[ColumnDrift, ...]
    share: float
    verdict: Verdict
    intact: Verdict
    reference_rows: int
    current_rows: int

    @property
    def alarm(self) -> bool:
        """Whether any column is flagged: what the false-alarm rate of a window speaks of."""
        return any(column.flagged for column in self.columns)
