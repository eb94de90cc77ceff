"""The picture of drift over many partitions, as PNG bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mlops_assets.adapters.drift_journal import SHAPE
from mlops_assets.adapters.matplotlib_canvas import BLUE, GREY, RED, new_figure, to_png

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mlops_assets.adapters.drift_journal import PastWindow

GREEN, ORANGE, PURPLE, EMPTY = "#b7d7b0", "#d98a1e", "#7d3c98", "#eef0f2"
_OUTCOMES = {"passed": GREEN, "failed": RED, "inconclusive": GREY}
_CAUSES = {
    "nothing": (GREEN, ""),
    "data_bug": (PURPLE, "B"),
    "covariate_drift": (ORANGE, "V"),
    "concept_drift": (BLUE, "C"),
}
_MARKS = {SHAPE: "\u25cf", "missing": "m", "unseen": "u", "range": "r"}
_ROWS, _WIDE = 40, 8
_DARKEST = 0.3
"""The effect from which cells are as dark as they get, unless one is larger."""


def draw_drift_history(windows: Sequence[PastWindow]) -> bytes:
    """Columns by partitions, oldest first: the darker, the further a column had moved; marked
    where it was flagged. Above it what was concluded, and a line where another version served.

    The columns that weighed most in the newest window are on top; of many those ever flagged stay.
    """
    names = _choose(windows)
    width = 3.4 + 0.29 * max(len(windows), _WIDE)
    lines = max(len(names), 3)
    figure, (above, below) = new_figure(
        width, 1.9 + 0.2 * lines, 2, 1, height_ratios=(3, lines), sharex=True
    )
    _draw_conclusions(above, windows)
    _draw_columns(below, windows, names)
    _mark_versions(above, below, windows)
    return to_png(figure)


def _choose(windows: Sequence[PastWindow]) -> list[str]:
    """The columns to draw, heaviest first; the flagged ones before others where some must go."""
    weights: Mapping[str, float] = next((w.weights for w in reversed(windows) if w.weights), {})
    known = dict.fromkeys(name for window in reversed(windows) for name in window.effects)
    flagged = {name for window in windows for name in window.flags}

    def order(name: str) -> float:
        return -weights.get(name, 0.0)

    kept = sorted(known, key=lambda name: (name not in flagged, order(name)))[:_ROWS]
    return sorted(kept, key=order)


def _draw_conclusions(axes: Any, windows: Sequence[PastWindow]) -> None:
    lines = [
        [(_OUTCOMES[window.outcome], "") for window in windows],
        [(_OUTCOMES.get(window.intact or "", EMPTY), "") for window in windows],
        [_cause(window) for window in windows],
    ]
    for line, cells in enumerate(lines):
        for place, (colour, letter) in enumerate(cells):
            axes.barh(line, 0.92, left=place - 0.46, height=0.86, color=colour)
            axes.text(place, line, letter, color="white", fontsize=7, ha="center", va="center")
    axes.set_yticks(range(3), ["reference still holds", "values are intact", "cause"], fontsize=7)
    axes.invert_yaxis()
    axes.tick_params(axis="x", length=0, labelbottom=False)
    axes.spines[:].set_visible(False)
    axes.set_title(
        "Drift by partition (green: as in training, red: not, grey: cannot tell;\n"
        "B data bug, V covariate drift, C concept drift)",
        fontsize=9,
        pad=16,
    )


def _cause(window: PastWindow) -> tuple[str, str]:
    """Nothing behind a window that could not be judged is no good news."""
    if window.outcome == "inconclusive" and window.cause == "nothing":
        return GREY, ""
    return _CAUSES.get(window.cause, (EMPTY, "?"))


def _draw_columns(axes: Any, windows: Sequence[PastWindow], names: Sequence[str]) -> None:
    import numpy as np

    effects = np.full((max(len(names), 1), max(len(windows), 1)), np.nan)
    for place, window in enumerate(windows):
        for line, name in enumerate(names):
            effects[line, place] = window.effects.get(name, np.nan)
            mark = "".join(_MARKS.get(flag, "?") for flag in window.flags.get(name, ()))
            axes.text(
                place,
                line,
                mark,
                color=RED,
                fontsize=8,
                weight="bold",
                ha="center",
                va="center_baseline",
            )
    axes.set_facecolor(EMPTY)
    darkest = max(_DARKEST, np.nan_to_num(effects).max(initial=0.0))
    axes.imshow(effects, cmap="Blues", vmin=0, vmax=darkest * 2, aspect="auto")
    axes.set_xlim(-0.5, max(len(windows), _WIDE) - 0.5)
    axes.set_yticks(range(len(names)), names, fontsize=7)
    axes.set_xticks(range(len(windows)), [w.partition for w in windows], fontsize=7, rotation=90)
    axes.spines[:].set_visible(False)
    axes.set_xlabel(
        "the darker, the larger the effect (grey: not compared)\n"
        "flagged: \u25cf shape, m missing, u unseen, r range",
        fontsize=7,
    )


def _mark_versions(above: Any, below: Any, windows: Sequence[PastWindow]) -> None:
    """A line before each partition that another version was compared in, and its name."""
    before = None
    for place, window in enumerate(windows):
        if window.version != before:
            above.text(place - 0.5, -0.62, window.version, fontsize=7, va="bottom")
            for axes in (above, below):
                axes.axvline(place - 0.5, color="black", linewidth=0.8)
        before = window.version
