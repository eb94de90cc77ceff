"""Pictures of one drift report, as PNG bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mlops_assets.adapters.matplotlib_canvas import BLUE, GREY, RED, draw_bars, new_figure, to_png

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlops_assets.lifecycle.drift.report import ColumnDrift, ColumnSummary, DriftReport

ORANGE = "#d98a1e"
_BARS, _CURVES, _ACROSS = 20, 6, 3
_LEVELS = [5 * step for step in range(1, 20)]


def draw_drift(report: DriftReport) -> bytes:
    """The shift of each column, flagged ones on top; red where the shape drifted, orange where
    only something else was flagged, blue predictions and labels that were not."""
    columns = sorted(report.columns, key=lambda c: (c.flagged, c.effect))[-_BARS:]
    return draw_bars(
        [_label(column) for column in columns],
        [column.effect for column in columns],
        [_colour(column) for column in columns],
        "effect (red: shape flagged, orange: else)",
        f"Drift, {report.share:.0%} by importance",
    )


def draw_shifts(columns: Sequence[ColumnDrift]) -> bytes | None:
    """How flagged numeric columns moved: their quantiles in the reference (grey) and now (red).

    The heaviest few, predictions and labels last; None when there is none to draw.
    """
    flagged = [column for column in columns if column.flagged]
    drawn = [(c, before, now) for c in flagged for before, now in _known(c)]
    drawn = sorted(drawn, key=lambda each: -each[0].weight)[:_CURVES]
    if not drawn:
        return None
    down = -(-len(drawn) // _ACROSS)
    across = min(len(drawn), _ACROSS)
    width, height = 1.2 + 3.0 * max(across, 2), 0.6 + 2.3 * down
    figure, grid = new_figure(width, height, down, across, squeeze=False)
    for axes, (column, before, now) in zip(grid.flat, drawn, strict=False):
        _draw_quantiles(axes, column, before, now)
    for axes in grid.flat[len(drawn) :]:
        axes.set_axis_off()
    figure.suptitle("Quantiles from 5 % to 95 %: reference (grey), this window (red)", fontsize=9)
    return to_png(figure)


def _known(column: ColumnDrift) -> list[tuple[ColumnSummary, ColumnSummary]]:
    """Both sides of a column, none unless both have quantiles."""
    before, now = column.reference, column.current
    if before is None or now is None:
        return []
    whole = len(before.quantiles) == len(now.quantiles) == len(_LEVELS)
    return [(before, now)] if whole else []


def _draw_quantiles(
    axes: Any, column: ColumnDrift, before: ColumnSummary, now: ColumnSummary
) -> None:
    axes.plot(_LEVELS, before.quantiles, color=GREY, linewidth=2.5)
    axes.plot(_LEVELS, now.quantiles, color=RED, linewidth=1.6)
    axes.tick_params(labelsize=7)
    axes.set_title(f"{column.column}\n{_ends(before)} to {_ends(now)}", fontsize=8)


def _ends(side: ColumnSummary) -> str:
    return f"[{side.lowest or 0:.4g}, {side.highest or 0:.4g}], {side.missing:.1%} missing"


def _label(column: ColumnDrift) -> str:
    """The name, the role where it is no feature, and what was found beside the shape."""
    role = "" if column.role == "feature" else f" ({column.role})"
    found = ", ".join(finding.aspect for finding in column.findings)
    return f"{column.column}{role}" + (f": {found}" if found else "")


def _colour(column: ColumnDrift) -> str:
    if column.drifted:
        return RED
    if column.findings:
        return ORANGE
    return GREY if column.role == "feature" else BLUE
