"""The picture of a drift report, as PNG bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlops_assets.adapters.matplotlib_canvas import GREY, RED, draw_bars

if TYPE_CHECKING:
    from mlops_assets.lifecycle.drift.report import DriftReport


def draw_drift(report: DriftReport) -> bytes:
    """The shift of each column; red where it drifted."""
    columns = sorted(report.columns, key=lambda column: column.effect)[-20:]
    return draw_bars(
        [column.column for column in columns],
        [column.effect for column in columns],
        [RED if column.drifted else GREY for column in columns],
        "effect (red: drifted)",
        f"Drift, {report.share:.0%} by importance",
    )
