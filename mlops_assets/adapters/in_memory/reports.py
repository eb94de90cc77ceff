"""Reports that are only noted."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from mlops_assets.adapters.ports import ReportPage

if TYPE_CHECKING:
    import polars as pl

    from mlops_assets.lifecycle.drift.report import DriftReport


class InMemoryReports:
    """``Reports`` that keeps what was to be drawn in ``drawn``, by path, and draws nothing."""

    def __init__(self) -> None:
        self.drawn: dict[Path, tuple[pl.DataFrame, pl.DataFrame, DriftReport]] = {}

    def drift(
        self, name: str, reference: pl.DataFrame, current: pl.DataFrame, report: DriftReport
    ) -> ReportPage:
        path = Path("in-memory") / f"{name}.html"
        self.drawn[path] = (reference, current, report)
        return ReportPage(path, f"memory:{name}.html")
