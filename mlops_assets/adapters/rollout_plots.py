"""Pictures of a rollout and of its drills, as PNG bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlops_assets.adapters.matplotlib_canvas import BLUE, GREY, RED, new_figure, to_png

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

LOWEST, HIGHEST = 0.5, 1.5
"""Where bars are cut off, below 0 and above."""


def draw_rollout(
    weights: Sequence[int], harm: Mapping[str, float], proof: Mapping[str, float]
) -> bytes:
    """The version's share over the steps, and how near each guardrail is to its limit.

    ``harm`` and ``proof``: per guardrail the logarithm of the evidence over that of its limit.
    From 1 on harm takes the version back (red) and proof lets it go on; below 0 the data speak
    for the opposite.
    """
    bars = [(name, value, RED if value >= 1 else GREY) for name, value in harm.items()]
    bars += [(f"{name} (proof)", value, BLUE) for name, value in proof.items()]
    height = 1.9 + 0.24 * max(len(bars), 3)
    figure, (left, right) = new_figure(8.6, height, 1, 2, width_ratios=(2, 3))
    left.step(range(len(weights)), weights, where="post", marker="o", color=BLUE)
    left.set(xlabel="step", ylabel="share of requests, %", ylim=(-3, 105), title="Rollout")
    right.barh(
        range(len(bars)),
        [min(max(value, -LOWEST), HIGHEST) for _, value, _ in bars],
        color=[colour for _, _, colour in bars],
    )
    right.axvline(1, color="black", linewidth=1, linestyle="--")
    right.set_yticks(range(len(bars)), [name for name, _, _ in bars], fontsize=7)
    right.set(xlabel="evidence as a share of its limit", title="Guardrails")
    right.set_xlim(-LOWEST, HIGHEST)
    right.invert_yaxis()
    return to_png(figure)


def draw_drills(seconds: Sequence[float], limit: float) -> bytes:
    """How long each drill took, oldest first; red beyond the limit."""
    figure, axes = new_figure(5.5, 2.6)
    colours = [RED if value > limit else BLUE for value in seconds]
    axes.bar(range(1, len(seconds) + 1), seconds, color=colours)
    axes.axhline(limit, color="black", linewidth=1, linestyle="--")
    axes.set(xlabel="drill", ylabel="seconds to go back", title="Drilled rollbacks")
    return to_png(figure)
