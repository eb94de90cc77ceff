"""A model's life in one picture, as PNG bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mlops_assets.adapters.matplotlib_canvas import BLUE, GREY, RED, new_figure, to_png

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlops_assets.lifecycle.overview import MonitoredPartition

_TICKS = 12
GREEN = "#2e7d32"


def draw_overview(partitions: Sequence[MonitoredPartition]) -> bytes:
    """Above the Brier score, measured and estimated, and the rate of positives; below what
    happened: alarms, drift, data bugs, retrainings, new versions.
    """
    figure, (above, below) = new_figure(9.0, 4.6, 2, 1, sharex=True, height_ratios=(3, 2))
    draw_scores(above, partitions)
    draw_events(below, partitions)
    keys = [p.partition for p in partitions]
    every = max(len(keys) // _TICKS, 1)
    below.set_xticks(range(0, len(keys), every), keys[::every], fontsize=7, rotation=30)
    return to_png(figure)


def draw_scores(axes: Any, partitions: Sequence[MonitoredPartition]) -> None:
    """Lines of the measured and the estimated Brier score, and the positives behind them."""
    numbers = range(len(partitions))
    rate = axes.twinx()
    rate.spines["top"].set_visible(False)
    rate.bar(numbers, _values(partitions, "positive_rate"), color=GREY, alpha=0.35, width=0.8)
    rate.set_ylabel("rate of positives (bars)", fontsize=8, color=GREY)
    axes.plot(numbers, _values(partitions, "realised"), color=BLUE, marker="o", markersize=3)
    axes.plot(numbers, _values(partitions, "estimated"), color=BLUE, linestyle=":", linewidth=1)
    axes.set_zorder(rate.get_zorder() + 1)
    axes.patch.set_visible(False)
    axes.set_ylabel("Brier score", fontsize=8, color=BLUE)
    axes.set_title("Brier score measured (line) and estimated (dotted)", fontsize=9)


def draw_events(axes: Any, partitions: Sequence[MonitoredPartition]) -> None:
    """A row of marks per kind of event."""
    rows = (
        ("a column flagged", GREY, [p.alarm for p in partitions]),
        ("reference gone", RED, [p.drift == "failed" for p in partitions]),
        ("data bug", "black", [p.cause == "data_bug" for p in partitions]),
        ("retraining asked", BLUE, [p.retrain_as_of is not None for p in partitions]),
        ("new version", GREEN, [p.first for p in partitions]),
    )
    for row, (_, colour, happened) in enumerate(rows):
        at = [number for number, yes in enumerate(happened) if yes]
        axes.scatter(at, [row] * len(at), color=colour, marker="s", s=28)
    axes.set_yticks(range(len(rows)), [name for name, _, _ in rows], fontsize=8)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_xlim(-0.7, max(len(partitions), 6) - 0.3)
    axes.grid(axis="x", linewidth=0.3)


def _values(partitions: Sequence[MonitoredPartition], name: str) -> list[float]:
    """What each partition has of it, not a number where there is nothing yet."""
    found = [getattr(p, name) for p in partitions]
    return [float("nan") if value is None else value for value in found]
