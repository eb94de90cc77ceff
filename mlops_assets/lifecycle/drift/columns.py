"""Columns that are compared beside the features."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import polars as pl


@dataclass(frozen=True)
class OtherColumn:
    """Predictions or labels, with rows of their own on both sides.

    ``reference`` and ``current`` hold ``column`` and the column of days. With too few rows or
    days on a side, after the policy, the column is left out of the report: labels that have not
    come yet say nothing.
    """

    column: str
    kind: Literal["numeric", "categorical"]
    role: Literal["prediction", "label"]
    reference: pl.DataFrame
    current: pl.DataFrame
