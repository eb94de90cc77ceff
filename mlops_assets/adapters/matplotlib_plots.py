"""Pictures where people would rather look than read, as PNG bytes."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mlops_assets.lifecycle.evaluation import EvaluationReport
    from mlops_assets.lifecycle.monitoring import DriftReport

_BLUE, _RED, _GREY = "#3355aa", "#c0392b", "#9aa3ad"


def draw_roc(report: EvaluationReport, champion: EvaluationReport | None) -> bytes:
    """The ROC curve, with the champion's behind it."""
    figure, axes = _figure(4.6, 4.2)
    axes.plot([0, 1], [0, 1], color=_GREY, linewidth=1, linestyle=":")
    for measured, name, colour in ((champion, "champion", _GREY), (report, "this", _BLUE)):
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
    return _png(figure)


def draw_calibration(report: EvaluationReport) -> bytes:
    """Mean prediction against what happened, in ten equally full bins."""
    figure, axes = _figure(4.6, 4.2)
    predicted, observed = report.calibration["predicted"], report.calibration["observed"]
    top = max([*predicted, *observed, 0.1]) * 1.05
    axes.plot([0, top], [0, top], color=_GREY, linewidth=1, linestyle=":")
    axes.plot(predicted, observed, marker="o", color=_BLUE)
    error = report.metrics["calibration_error"]
    axes.set(xlabel="predicted", ylabel="observed", title=f"Calibration, error {error:.3f}")
    return _png(figure)


def draw_importance(report: EvaluationReport) -> bytes:
    """The features whose shuffling costs most AUC."""
    top = list(report.importance.items())[:15][::-1]
    return _bars(
        [n for n, _ in top],
        [v for _, v in top],
        [_BLUE] * len(top),
        "AUC lost when shuffled",
        "Importance",
    )


def draw_slices(report: EvaluationReport) -> bytes:
    """Brier score per slice, the largest slices first."""
    rows = [
        (f"{column} {value}", float(measured["brier"] or 0.0), float(measured["rows"] or 0.0))
        for column, values in report.slices.items()
        for value, measured in values.items()
    ]
    rows = sorted(rows, key=lambda row: -row[2])[:20][::-1]
    worse = [_RED if brier > report.metrics["brier"] * 1.25 else _BLUE for _, brier, _ in rows]
    return _bars(
        [n for n, _, _ in rows],
        [b for _, b, _ in rows],
        worse,
        "Brier score (red: over 1.25 times the whole)",
        "Slices",
    )


def draw_drift(report: DriftReport) -> bytes:
    """The shift of each column; red where it drifted."""
    columns = sorted(report.columns, key=lambda column: column.effect)[-20:]
    return _bars(
        [column.column for column in columns],
        [column.effect for column in columns],
        [_RED if column.drifted else _GREY for column in columns],
        "effect (red: drifted)",
        f"Drift, {report.share:.0%} by importance",
    )


def draw_trials(values: Sequence[float]) -> bytes:
    """The value of each trial and the best so far."""
    figure, axes = _figure(5.5, 3.2)
    best = [min(values[: end + 1]) for end in range(len(values))]
    numbers = range(1, len(values) + 1)
    axes.scatter(numbers, values, color=_GREY, label="trial")
    axes.step(numbers, best, where="post", color=_BLUE, label="best so far")
    axes.set(xlabel="trial", ylabel="validation log loss", title="Study")
    axes.legend(frameon=False)
    return _png(figure)


def draw_rollout(weights: Sequence[int], arms: Mapping[str, tuple[int, int]]) -> bytes:
    """The canary's share over the steps, and each arm's (requests, errors) in the last one."""
    figure, axes = _figure(5.5, 3.2)
    axes.step(range(len(weights)), weights, where="post", marker="o", color=_BLUE)
    axes.set(xlabel="step", ylabel="share of requests, %", ylim=(-3, 105), title="Rollout")
    for line, (version, (requests, errors)) in enumerate(arms.items()):
        axes.text(
            0.02,
            0.9 - 0.09 * line,
            f"{version}: {errors} of {requests} failed",
            transform=axes.transAxes,
            color=_RED if errors else "black",
        )
    return _png(figure)


def _bars(
    names: Sequence[str], values: Sequence[float], colours: Sequence[str], label: str, title: str
) -> bytes:
    figure, axes = _figure(6.0, 0.9 + 0.24 * max(len(names), 3))
    axes.barh(range(len(names)), values, color=colours)
    axes.set_yticks(range(len(names)), names, fontsize=8)
    axes.set(xlabel=label, title=title)
    return _png(figure)


def _figure(width: float, height: float) -> tuple[Any, Any]:
    """A figure of its own, so that parallel steps share no state of pyplot's."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.subplots()
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _png(figure: Any) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=90)
    return buffer.getvalue()
