"""What all pictures share: colours, an empty figure, bars, PNG bytes."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

BLUE, RED, GREY = "#3355aa", "#c0392b", "#9aa3ad"


def new_figure(width: float, height: float, *grid: int, **shape: Any) -> tuple[Any, Any]:
    """A figure and its axes, in inches, of its own: parallel steps share no state of pyplot's.

    ``grid`` and ``shape``: several axes, as ``Figure.subplots`` takes them.
    """
    import numpy as np
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.subplots(*grid, **shape)
    for each in np.ravel(axes):
        each.spines[["top", "right"]].set_visible(False)
    return figure, axes


def draw_bars(
    names: Sequence[str],
    values: Sequence[float],
    colours: Sequence[str],
    label: str,
    title: str,
    *,
    ends: Sequence[tuple[float, float] | None] = (),
) -> bytes:
    """Lying bars, the first at the bottom, as PNG. ``ends``: the interval of each, where known."""
    figure, axes = new_figure(6.0, 0.9 + 0.24 * max(len(names), 3))
    axes.barh(range(len(names)), values, color=colours)
    for line, end in enumerate(ends):
        if end is not None:
            axes.plot(end, [line, line], color="black", linewidth=1, marker="|", markersize=5)
    axes.set_yticks(range(len(names)), names, fontsize=8)
    axes.set(xlabel=label, title=title)
    return to_png(figure)


def to_png(figure: Any) -> bytes:
    """The figure as PNG; the same figure gives the same bytes."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=90)
    return buffer.getvalue()
