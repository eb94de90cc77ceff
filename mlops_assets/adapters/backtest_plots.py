"""The picture of a backtest."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlops_assets.adapters.matplotlib_canvas import BLUE, GREY, RED, new_figure, to_png

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mlops_assets.lifecycle.backtest import Replayed


def draw_backtest(done: Mapping[str, Replayed], metric: str) -> bytes:
    """A metric per partition and strategy; a mark where drift asked for another model."""
    figure, axes = new_figure(9.0, 3.6)
    colours = {"frozen": GREY, "scheduled": BLUE, "drift_triggered": RED}
    for strategy, replayed in done.items():
        keys = list(replayed.metrics)
        label = f"{strategy.replace('_', ' ')}, {replayed.models} models, mean "
        label += f"{replayed.means[metric]:.3f}"
        values = [replayed.metrics[key][metric] for key in keys]
        axes.plot(keys, values, color=colours[strategy], label=label, linewidth=1.4)
    drifted = done.get("drift_triggered")
    if drifted:
        axes.vlines(
            [key for key in drifted.metrics if _is_new(key, drifted)],
            *axes.get_ylim(),
            color=RED,
            linewidth=0.7,
            linestyle=":",
        )
    every = max(len(axes.get_lines()[0].get_xdata()) // 10, 1)
    axes.set_xticks(axes.get_xticks()[::every])
    axes.tick_params(axis="x", labelsize=7)
    axes.set(ylabel=metric, title=f"Backtest: {metric} per partition (dotted: retrained on drift)")
    axes.legend(frameon=False, fontsize=8)
    return to_png(figure)


def _is_new(partition: str, replayed: Replayed) -> bool:
    """Whether the partition is the first that its model answers in."""
    plan = replayed.answered_by
    earlier = [key for key in plan if key < partition]
    return bool(earlier) and plan[max(earlier)] != plan[partition]
