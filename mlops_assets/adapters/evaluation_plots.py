"""Pictures of an evaluation and of a choice between members, as PNG bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlops_assets.adapters.matplotlib_canvas import (
    BLUE,
    GREY,
    RED,
    draw_bars,
    new_figure,
    to_png,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mlops_assets.lifecycle.ensembles import EnsembleChoice
    from mlops_assets.lifecycle.evaluation import EvaluationReport


def draw_roc(report: EvaluationReport, champion: EvaluationReport | None) -> bytes:
    """The ROC curve, with the champion's behind it."""
    figure, axes = new_figure(4.6, 4.2)
    axes.plot([0, 1], [0, 1], color=GREY, linewidth=1, linestyle=":")
    for measured, name, colour in ((champion, "champion", GREY), (report, "this", BLUE)):
        if measured:
            label = f"{name}, AUC {measured.metrics['auc']:.3f}"
            axes.plot(
                measured.roc["false_positive_rate"],
                measured.roc["true_positive_rate"],
                color=colour,
                label=label,
            )
    axes.set(xlabel="false positive rate", ylabel="true positive rate", title="ROC")
    axes.legend(loc="lower right", frameon=False)
    return to_png(figure)


def draw_calibration(report: EvaluationReport) -> bytes:
    """Mean prediction against what happened, in ten equally full bins."""
    figure, axes = new_figure(4.6, 4.2)
    predicted, observed = report.calibration["predicted"], report.calibration["observed"]
    top = max([*predicted, *observed, 0.1]) * 1.05
    axes.plot([0, top], [0, top], color=GREY, linewidth=1, linestyle=":")
    axes.plot(predicted, observed, marker="o", color=BLUE)
    error = report.metrics["calibration_error"]
    axes.set(xlabel="predicted", ylabel="observed", title=f"Calibration, error {error:.3f}")
    return to_png(figure)


def draw_importance(report: EvaluationReport) -> bytes:
    """The features whose shuffling costs most AUC."""
    top = list(report.importance.items())[:15][::-1]
    return draw_bars(
        [name for name, _ in top],
        [value for _, value in top],
        [BLUE] * len(top),
        "AUC lost when shuffled",
        "Importance",
    )


def draw_slices(report: EvaluationReport) -> bytes:
    """Brier score per slice with its interval, the largest slices first."""
    rows = [
        (f"{column} {value}", measured)
        for column, values in report.slices.items()
        for value, measured in values.items()
    ]
    rows = sorted(rows, key=lambda row: -(row[1]["rows"] or 0.0))[:20][::-1]
    scores = [measured["brier"] or 0.0 for _, measured in rows]
    return draw_bars(
        [name for name, _ in rows],
        scores,
        [RED if brier > report.metrics["brier"] * 1.25 else BLUE for brier in scores],
        "Brier score (red: over 1.25 times the whole)",
        "Slices",
        ends=[_ends(measured, "brier_low", "brier_high") for _, measured in rows],
    )


def draw_costs(report: EvaluationReport) -> bytes:
    """Cost per row along the thresholds; the one decided by is marked, with its interval."""
    costs = report.costs
    figure, axes = new_figure(5.5, 3.6)
    for name, label in (("cost_never", "flagging none"), ("cost_always", "flagging all")):
        axes.axhline(costs[name], color=GREY, linewidth=1, linestyle=":")
        axes.annotate(
            label,
            (costs["thresholds"][-1], costs[name]),
            fontsize=8,
            ha="right",
            va="bottom",
        )
    axes.plot(costs["thresholds"], costs["cost_per_row"], color=BLUE)
    ends = _ends(costs.get("interval", {}), "low", "high")
    if ends:
        axes.vlines(costs["threshold"], *ends, color=RED, linewidth=3)
    axes.plot([costs["threshold"]], [costs["cost"]], color=RED, marker="o")
    title = f"Costs: {costs['cost']:.3f} per row at threshold {costs['threshold']:.2f}"
    top = 1.12 * max([*costs["cost_per_row"], costs["cost_never"], costs["cost_always"]])
    axes.set(xlabel="threshold", ylabel="cost per row", title=title, ylim=(0, top or 1))
    return to_png(figure)


def draw_ensemble(choice: EnsembleChoice) -> bytes:
    """The log loss of each member and of the ensemble; the names say the weights."""
    names = list(choice.losses)[::-1]
    values = [choice.losses[name] for name in names]
    figure, axes = new_figure(6.0, 1.1 + 0.3 * max(len(names), 3))
    colours = [BLUE if name == choice.chosen else GREY for name in names]
    axes.hlines(range(len(names)), min(values), values, color=colours, linewidth=1)
    axes.scatter(values, range(len(names)), color=colours, s=45, zorder=3)
    for line, value in enumerate(values):
        axes.annotate(
            f"{value:.4f}",
            (value, line),
            xytext=(0, 6),
            textcoords="offset points",
            fontsize=8,
            ha="center",
        )
    labels = [_with_weight(name, choice.weights) for name in names]
    axes.set_yticks(range(len(names)), labels, fontsize=9)
    axes.margins(x=0.12, y=0.25)
    axes.set(
        xlabel="log loss on later rows (in brackets: weight; blue: chosen)", title=_gain(choice)
    )
    return to_png(figure)


def _with_weight(name: str, weights: Mapping[str, float]) -> str:
    return f"{name} ({weights[name]:.2f})" if name in weights else name


def _gain(choice: EnsembleChoice) -> str:
    gain = choice.gain
    if gain is None:
        return "Ensemble: nothing was compared"
    return f"Ensemble, gain {gain.value:.4f} ({gain.low:.4f} to {gain.high:.4f})"


def _ends(of: Mapping[str, float | None], low: str, high: str) -> tuple[float, float] | None:
    """The ends of an interval, None where it has none."""
    first, last = of.get(low), of.get(high)
    return None if first is None or last is None else (first, last)
