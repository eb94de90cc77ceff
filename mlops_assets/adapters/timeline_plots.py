"""The picture of a replayed year: how late flights were, and how each policy did."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from mlops_assets.adapters.matplotlib_canvas import BLUE, GREY, RED, new_figure, to_png

GREEN, ORANGE = "#2e8b57", "#d98c00"


@dataclass(frozen=True)
class Timeline:
    """One policy: Brier scores per partition, and the positions at which something happened.

    ``estimated`` has None where nothing was estimated.
    """

    title: str
    realised: Sequence[float]
    estimated: Sequence[float | None]
    alarms: Sequence[int] = ()
    retrained: Sequence[int] = ()
    promoted: Sequence[int] = ()
    rolled_back: Sequence[int] = ()


def draw_year(
    partitions: Sequence[str],
    rate: Sequence[float],
    timelines: Sequence[Timeline],
    yardstick: Sequence[float],
) -> bytes:
    """A panel for the rate of the event, one per policy beside the yardstick, as PNG."""
    height, ratios = 1.6 + 2.1 * len(timelines), [1.0, *[1.6] * len(timelines)]
    figure, grid = new_figure(
        11.0, height, len(ratios), 1, sharex=True, height_ratios=ratios, squeeze=False
    )
    axes = grid[:, 0]
    places = range(len(partitions))
    axes[0].bar(places, rate, color=GREY)
    axes[0].set(ylabel="late rate", title="late rate")
    low, high = _limits(timelines, yardstick)
    for panel, timeline in zip(axes[1:], timelines, strict=True):
        _draw_policy(panel, timeline, yardstick, low)
        panel.set_ylim(low, high)
    every = max(len(partitions) // 11, 1)
    axes[-1].set_xticks(places[::every], partitions[::every], fontsize=7)
    for panel in axes:
        panel.title.set_fontsize(9)
        panel.tick_params(axis="y", labelsize=7)
    handles, labels = axes[-1].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4, frameon=False, fontsize=8)
    return to_png(figure)


def _limits(timelines: Sequence[Timeline], yardstick: Sequence[float]) -> tuple[float, float]:
    """Room for all lines, and below them for the marks of alarms."""
    told = [value for line in timelines for value in (*line.realised, *line.estimated)]
    values = [*yardstick, *(value for value in told if value is not None)]
    span = max(values) - min(values) or 1.0
    return min(values) - 0.18 * span, max(values) + 0.05 * span


def _draw_policy(axes: Any, timeline: Timeline, yardstick: Sequence[float], floor: float) -> None:
    places = range(len(yardstick))
    guessed = [float("nan") if value is None else value for value in timeline.estimated]
    axes.plot(places, yardstick, color=GREY, linewidth=1, label="realised, trained every week")
    axes.plot(places, guessed, color=BLUE, linewidth=1, linestyle="--", label="estimated")
    axes.plot(places, timeline.realised, color=BLUE, linewidth=1.6, label="realised")
    marks = (
        (timeline.alarms, "s", RED, "drift alarm"),
        (timeline.retrained, "v", ORANGE, "retrained"),
        (timeline.promoted, "^", GREEN, "promoted"),
        (timeline.rolled_back, "x", RED, "rolled back"),
    )
    span = axes.get_ylim()[1] - floor
    for row, (where, marker, colour, label) in enumerate(marks):
        heights = [floor + span * (0.03 + 0.035 * row)] * len(where)
        axes.scatter(where, heights, marker=marker, color=colour, s=20, label=label)
    axes.set(ylabel="Brier", title=timeline.title)
