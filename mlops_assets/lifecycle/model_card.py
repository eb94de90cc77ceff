"""A model card: what the evidence says about one model, for a person to read.

It says what was measured and nothing else. After Mitchell et al., "Model Cards for Model
Reporting", 2019.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mlops_assets.lifecycle.evaluation import EvaluationReport
from mlops_assets.lifecycle.resampling import Interval
from mlops_assets.lifecycle.training import Feature, ModelSignature
from mlops_assets.lifecycle.verdicts import Verdict

_MOST_SLICES = 15
_MOST_FEATURES = 15
_Row = Sequence[Any]


@dataclass(frozen=True)
class RowsUsed:
    """Rows of one ``part`` of the training set (fit, calibration, test) and its partitions."""

    part: str
    rows: int
    first: str
    last: str


@dataclass(frozen=True)
class MakingFacts:
    """What was chosen and why: a candidate or an ensemble with ``weights``, and the calibration
    that was applied, ``none`` where it did not help."""

    chosen: str
    chosen_because: str
    weights: Mapping[str, float] = field(default_factory=dict)
    calibration: str = "none"
    calibrated_because: str = ""


@dataclass(frozen=True)
class ChampionFacts:
    """The champion on the same rows. ``worse_by``: per metric, how much worse this model is."""

    version: str
    report: EvaluationReport
    worse_by: Mapping[str, Interval] = field(default_factory=dict)


@dataclass(frozen=True)
class CardFacts:
    """All a card says. ``digest`` names the model's files; ``verdict`` is over the ``gates``.

    ``override`` says in one line who let the model out although its verdict did not pass.
    """

    signature: ModelSignature
    digest: str
    report: EvaluationReport
    verdict: Verdict
    gates: Sequence[Verdict] = ()
    description: str = ""
    owners: Sequence[str] = ()
    rows: Sequence[RowsUsed] = ()
    making: MakingFacts | None = None
    champion: ChampionFacts | None = None
    override: str | None = None


def write_card(facts: CardFacts) -> str:
    """The card as Markdown. A section without evidence is left out."""
    sections = (
        ("", _head(facts)),
        ("Inputs", _inputs(facts.signature)),
        ("Rows", _rows_used(facts)),
        ("How it was made", _making(facts)),
        ("Metrics on later rows", _metrics(facts.report)),
        ("Against the champion", _champion(facts)),
        ("Gates", _gates(facts.gates)),
        ("Slices, worst first", _slices(facts.report)),
        ("Calibration", _calibration(facts.report)),
        ("Costs", _costs(facts.report.costs)),
        ("Importance", _importance(facts.report.importance)),
    )
    texts = [(title, "\n".join(lines)) for title, lines in sections]
    written = [f"## {title}\n\n{text}" if title else text for title, text in texts if text]
    return "\n\n".join(written) + "\n"


def _head(facts: CardFacts) -> Iterator[str]:
    signature = facts.signature
    yield f"# {signature.model}, as of {signature.train_as_of}"
    yield ""
    if facts.description:
        yield f"{facts.description}\n"
    yield f"Verdict **{facts.verdict.outcome}**: {_line(facts.verdict.reason)}"
    if facts.override:
        yield f"\n**{_line(facts.override)}**"
    yield f"\nModel `{facts.digest[:12]}`, training set `{signature.training_set[:12]}`."
    if facts.owners:
        yield f"Owners: {', '.join(facts.owners)}."


def _inputs(signature: ModelSignature) -> Iterator[str]:
    yield (
        f"The probability of `{signature.label}`, one row per `{signature.entity_key}`, "
        f"from {len(signature.features)} features."
    )
    for kind in ("numeric", "categorical"):
        names = _of_kind(signature.features, kind)
        if names:
            yield f"- {len(names)} {kind}: {', '.join(f'`{name}`' for name in names)}"


def _of_kind(features: Sequence[Feature], kind: str) -> list[str]:
    return [feature.name for feature in features if feature.kind == kind]


def _rows_used(facts: CardFacts) -> Iterator[str]:
    used = [(of.part, f"{of.rows:,}", of.first, of.last) for of in facts.rows]
    yield from _table(("part", "rows", "first partition", "last partition"), used)


def _making(facts: CardFacts) -> Iterator[str]:
    signature, making = facts.signature, facts.making
    yield f"Estimator `{signature.estimator}`{_parameters(signature.parameters)}."
    if making:
        yield f"\nChosen **{making.chosen}**: {_line(making.chosen_because)}"
        if making.weights:
            listed = ", ".join(f"{name} {weight:.3f}" for name, weight in making.weights.items())
            yield f"\nWeights: {listed}."
        why = f": {_line(making.calibrated_because)}" if making.calibrated_because else ""
        yield f"\nCalibration **{making.calibration}**{why}"


def _parameters(parameters: Mapping[str, Any]) -> str:
    listed = ", ".join(f"`{name}` {value}" for name, value in sorted(parameters.items()))
    return f" with {listed}" if listed else ""


def _metrics(report: EvaluationReport) -> Iterator[str]:
    yield f"{report.rows:,} rows, {report.positive_rate:.1%} of them positive."
    if report.intervals:
        days = next(iter(report.intervals.values()))["days"]
        yield f"Intervals of {report.confidence:.0%}, whole days resampled ({days} days)."
    yield ""
    measured = [
        (metric, f"{value:.4f}", _range(report.intervals.get(metric, {}), "low", "high"))
        for metric, value in report.metrics.items()
    ]
    yield from _table(("metric", "value", "interval"), measured)


def _champion(facts: CardFacts) -> Iterator[str]:
    champion = facts.champion
    if champion is None:
        return
    yield f"{champion.version} on the same {champion.report.rows:,} rows.\n"
    compared = [
        (
            metric,
            f"{value:.4f}",
            f"{champion.report.metrics[metric]:.4f}",
            _worse_by(champion.worse_by.get(metric)),
        )
        for metric, value in facts.report.metrics.items()
        if metric in champion.report.metrics
    ]
    yield from _table(("metric", "this model", champion.version, "worse by (interval)"), compared)


def _worse_by(interval: Interval | None) -> str:
    if interval is None:
        return ""
    return f"{interval.value:+.4f} ({_range(interval.plain, 'low', 'high')})"


def _gates(gates: Sequence[Verdict]) -> Iterator[str]:
    judged = [(gate.name, gate.outcome, gate.reason) for gate in gates]
    yield from _table(("gate", "outcome", "why"), judged)


def _slices(report: EvaluationReport) -> Iterator[str]:
    """By Brier score: it is measured for any number of rows and classes."""
    parts = [
        (name, value, measured)
        for name, values in report.slices.items()
        for value, measured in values.items()
    ]
    worst = sorted(parts, key=lambda part: -(part[2]["brier"] or 0.0))[:_MOST_SLICES]
    if len(parts) > len(worst):
        yield f"The worst {len(worst)} of {len(parts)} by Brier score.\n"
    rows = [
        (
            name,
            value,
            f"{measured['rows']:,.0f}",
            _percent(measured.get("positive_rate")),
            f"{measured['brier']:.4f}",
            _range(measured, "brier_low", "brier_high"),
            _number(measured.get("auc")),
        )
        for name, value, measured in worst
    ]
    yield from _table(("slice", "value", "rows", "positive", "brier", "interval", "auc"), rows)


def _calibration(report: EvaluationReport) -> Iterator[str]:
    bins = report.calibration
    if not bins:
        return
    yield f"Calibration error {report.metrics['calibration_error']:.4f}.\n"
    rows = [
        (f"{predicted:.3f}", f"{observed:.3f}", f"{count:,.0f}")
        for predicted, observed, count in zip(
            bins["predicted"], bins["observed"], bins["rows"], strict=True
        )
    ]
    yield from _table(("mean prediction", "share of positives", "rows"), rows)


def _costs(costs: Mapping[str, Any]) -> Iterator[str]:
    if not costs:
        return
    yield (
        f"A false alarm costs {costs['false_alarm']:g}, a miss {costs['miss']:g}. "
        f"Rows of probability {costs['threshold']:.3f} or more are flagged: "
        f"{costs['flagged_share']:.1%} of the rows, precision {_percent(costs['precision'])}, "
        f"recall {_percent(costs['recall'])}.\n"
    )
    rows = [
        (
            "at the threshold",
            f"{costs['cost']:.4f}",
            _range(costs.get("interval", {}), "low", "high"),
        ),
        ("flagging no row", f"{costs['cost_never']:.4f}", ""),
        ("flagging every row", f"{costs['cost_always']:.4f}", ""),
    ]
    yield from _table(("decision", "cost per row", "interval"), rows)


def _importance(importance: Mapping[str, float]) -> Iterator[str]:
    top = [(name, f"{loss:.4f}") for name, loss in list(importance.items())[:_MOST_FEATURES]]
    if len(importance) > len(top):
        yield f"The first {len(top)} of {len(importance)} features.\n"
    yield from _table(("feature", "AUC lost when shuffled"), top)


def _table(head: Sequence[str], rows: Sequence[_Row]) -> Iterator[str]:
    """A Markdown table, or nothing where there are no rows."""
    if not rows:
        return
    yield f"| {' | '.join(head)} |"
    yield f"|{'---|' * len(head)}"
    for row in rows:
        yield f"| {' | '.join(_line(cell).replace('|', chr(92) + '|') for cell in row)} |"


def _line(text: Any) -> str:
    """One line, so that no text ends a table or begins a heading."""
    return " ".join(str(text).split())


def _range(of: Mapping[str, Any], low: str, high: str) -> str:
    if low not in of:
        return ""
    if of[low] is None or of[high] is None:
        return "too few days"
    return f"{of[low]:.4f} to {of[high]:.4f}"


def _number(value: float | None) -> str:
    return "none" if value is None else f"{value:.4f}"


def _percent(value: float | None) -> str:
    return "none" if value is None else f"{value:.1%}"
