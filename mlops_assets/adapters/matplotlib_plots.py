"""Pictures of drift and of a rollout, as PNG bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlops_assets.adapters.matplotlib_canvas import BLUE, GREY, RED, draw_bars, new_figure, to_png

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mlops_assets.lifecycle.monitoring import DriftReport


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


def draw_rollout(weights: Sequence[int], arms: Mapping[str, tuple[int, int]]) -> bytes:
    """The canary's share over the steps, and each arm's (requests, errors) in the last one."""
    figure, axes = new_figure(5.5, 3.2)
    axes.step(range(len(weights)), weights, where="post", marker="o", color=BLUE)
    axes.set(xlabel="step", ylabel="share of requests, %", ylim=(-3, 105), title="Rollout")
    for line, (version, (requests, errors)) in enumerate(arms.items()):
        axes.text(
            0.02,
            0.9 - 0.09 * line,
            f"{version}: {errors} of {requests} failed",
            transform=axes.transAxes,
            color=RED if errors else "black",
        )
    return to_png(figure)
