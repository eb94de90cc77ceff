"""Pictures of a study, as PNG bytes."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from mlops_assets.adapters.matplotlib_canvas import (
    BLUE,
    GREY,
    RED,
    draw_bars,
    new_figure,
    to_png,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mlops_assets.lifecycle.tuning import Dimension, Trial, TuningResult


def draw_history(result: TuningResult) -> bytes:
    """The value of each trial and the best so far; a red cross where one was given up."""
    figure, axes = new_figure(5.5, 3.2)
    complete = [(trial.number, trial.value) for trial in result.trials if trial.value is not None]
    pruned = [(trial.number, trial.mean) for trial in result.trials if trial.pruned]
    best = [min(result.values[: end + 1]) for end in range(len(result.values))]
    axes.scatter(*zip(*complete, strict=True), color=GREY, label="trial")
    if pruned:
        axes.scatter(*zip(*pruned, strict=True), color=RED, marker="x", label="pruned")
    numbers = [number for number, _ in complete]
    axes.step(numbers, best, where="post", color=BLUE, linewidth=2, label="best so far")
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.set(xlabel="trial", ylabel="validation loss", title=_title(result))
    axes.legend(frameon=False)
    return to_png(figure)


def draw_parameter_importance(result: TuningResult) -> bytes:
    """Each parameter's share in reaching good values, the largest on top; none when unknown."""
    shares = sorted(result.importance.items(), key=lambda item: item[1])
    return draw_bars(
        [name for name, _ in shares],
        [share for _, share in shares],
        [BLUE] * len(shares),
        "share in reaching good values" if shares else "too few trials to tell",
        "Importance of parameters",
    )


def draw_parallel_coordinates(
    result: TuningResult, space: Mapping[str, Dimension] | None = None
) -> bytes:
    """A line per complete trial across its parameters to its value; the best one in blue.

    An axis spans what was tried; it is logarithmic where ``space`` says the range is.
    """
    complete = [trial for trial in result.trials if not trial.pruned]
    names = list(result.parameters)
    logs = {name for name, dimension in (space or {}).items() if dimension.log}
    scales = [_scale([t.parameters[name] for t in complete], name in logs) for name in names]
    scales.append(_scale(list(result.values), log=False))
    figure, axes = new_figure(min(1.6 + 1.3 * len(scales), 12.0), 3.6)
    for trial in complete:
        axes.plot(_heights(trial, names, scales), color=GREY, linewidth=1.6)
    best = next(trial for trial in complete if trial.value == result.value)
    axes.plot(_heights(best, names, scales), color=BLUE, linewidth=2.2, marker="o", zorder=3)
    for place, scale in enumerate(scales):
        axes.axvline(place, color="black", linewidth=0.6)
        for label, height in _ends(scale):
            axes.annotate(label, (place, height), (3, 4), textcoords="offset points", fontsize=7)
    axes.set_xticks(range(len(scales)), [*names, "value"], fontsize=8, rotation=20, ha="right")
    axes.set(yticks=[], title="Trials by their parameters", xlim=(-0.1, len(scales) - 0.5))
    axes.spines[["left", "bottom"]].set_visible(False)
    return to_png(figure)


def _title(result: TuningResult) -> str:
    given_up = len(result.trials) - len(result.values)
    pruned = f", {given_up} pruned" if given_up else ""
    late = ", stopped by time" if result.stopped == "time" else ""
    return f"Study: {len(result.trials)} trials{pruned}{late}"


def _scale(values: Sequence[Any], log: bool) -> dict[Any, float]:
    """The height of each value on its axis, from 0 to 1; choices stand in the order of names."""
    if all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
        placed = {value: math.log(value) if log else float(value) for value in values}
    else:
        placed = {value: float(n) for n, value in enumerate(sorted(set(values), key=str))}
    low, high = min(placed.values()), max(placed.values())
    span = high - low
    return {value: (at - low) / span if span else 0.5 for value, at in placed.items()}


def _heights(
    trial: Trial, names: Sequence[str], scales: Sequence[Mapping[Any, float]]
) -> list[float]:
    values = [*(trial.parameters[name] for name in names), trial.value]
    return [scale[value] for scale, value in zip(scales, values, strict=True)]


def _ends(scale: Mapping[Any, float]) -> list[tuple[str, float]]:
    """The labels of an axis: its lowest and highest number, or every choice."""
    numbers = all(isinstance(value, float | int) for value in scale)
    marked = [min(scale, key=scale.__getitem__), max(scale, key=scale.__getitem__)]
    values = dict.fromkeys(marked if numbers else scale)
    return [
        (f"{value:.4g}" if isinstance(value, float) else str(value), scale[value])
        for value in values
    ]
