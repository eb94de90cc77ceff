"""Quality gates: what an evaluation must show before its model may become a challenger."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from mlops_assets.lifecycle.evaluation import EvaluationReport
from mlops_assets.lifecycle.gate_policies import ChampionGate, GatePolicy, SliceGate
from mlops_assets.lifecycle.resampling import Interval, compare_models
from mlops_assets.lifecycle.slice_gates import FEWEST_DAYS, ComparedRows, judge_slices
from mlops_assets.lifecycle.verdicts import Outcome, Verdict

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

_NO_CHAMPION = "there is no other champion to compare with"


@dataclass(frozen=True, eq=False, kw_only=True)
class Evidence:
    """What gates are judged on.

    ``report`` and ``champion``, None at first, were measured on the same rows. ``truth``,
    ``probability``, ``champion_probability`` and ``days`` have one value per such row, and so has
    each of ``slices``, by name. ``incomparable`` says why a champion that is there cannot be
    compared with on these rows. ``leaks``, ``staged`` and ``behaviours`` were judged before.
    """

    report: EvaluationReport
    leaks: Verdict
    champion: EvaluationReport | None = None
    truth: npt.NDArray[Any] | None = None
    probability: npt.NDArray[np.float64] | None = None
    champion_probability: npt.NDArray[np.float64] | None = None
    days: npt.NDArray[Any] | None = None
    slices: Mapping[str, npt.NDArray[Any]] = field(default_factory=dict)
    staged: Sequence[Verdict] = ()
    behaviours: Sequence[Verdict] = ()
    incomparable: str | None = None

    @property
    def rows(self) -> ComparedRows:
        """The rows as arrays. Raises ``ValueError`` when some that are needed are missing."""
        arrays = (self.truth, self.probability, self.days)
        truth, probability, days = arrays
        lacks_champion = self.champion is not None and self.champion_probability is None
        if truth is None or probability is None or days is None or lacks_champion:
            raise ValueError(
                "evidence: judging rows takes truth, probability and days, and of a champion "
                "champion_probability; pass what is missing"
            )
        other = None if self.champion is None else self.champion_probability
        return ComparedRows(truth, probability, other, days)


def judge_gates(evidence: Evidence, policy: GatePolicy, *, seed: int) -> list[Verdict]:
    """One verdict per gate, in the order of ``policy.names``.

    ``seed`` draws the resampled days. Raises ``ValueError`` when a gate that is judged elsewhere
    has no verdict in the evidence, or two: nothing is skipped in silence.
    """
    verdicts = [
        *_judge_bounds(evidence.report, policy),
        *([_judge_champion(evidence, policy.champion, policy, seed)] if policy.champion else []),
        *([_judge_slices(evidence, policy.slices, policy, seed)] if policy.slices else []),
        evidence.leaks,
        *evidence.staged,
        *evidence.behaviours,
    ]
    times = Counter(verdict.name for verdict in verdicts)
    wrong = [f"{name} {times[name]} times" for name in policy.names if times[name] != 1]
    if wrong:
        raise ValueError(
            f"gates: each has to be judged once, judged were {', '.join(wrong)}; "
            "pass one verdict of each along"
        )
    judged = {verdict.name: verdict for verdict in verdicts}
    return [judged[name] for name in policy.names]


def _judge_bounds(report: EvaluationReport, policy: GatePolicy) -> Iterator[Verdict]:
    for metric, limit in policy.minimum.items():
        yield _judge_bound(report, metric, limit, higher=True, policy=policy)
    for metric, limit in policy.maximum.items():
        yield _judge_bound(report, metric, limit, higher=False, policy=policy)


def _judge_bound(
    report: EvaluationReport, metric: str, limit: float, *, higher: bool, policy: GatePolicy
) -> Verdict:
    name = f"{metric}_is_{'high' if higher else 'low'}_enough"
    value = report.metrics[metric]
    evidence = {"value": value, "limit": limit, "rows": report.rows}
    if report.rows < policy.minimum_rows:
        return _too_few(name, report, policy)
    holds = value >= limit if higher else value <= limit
    said = f"{metric} {value:.4f}, {'at least' if higher else 'at most'} {limit:g} is asked"
    return Verdict(name, "passed" if holds else "failed", said, evidence)


def _judge_champion(
    evidence: Evidence, gate: ChampionGate, policy: GatePolicy, seed: int
) -> Verdict:
    """Non-inferiority: to pass, a challenger has to show that it is not worse beyond the margin.

    With two-sided 95 %, one that is worse by just the margin passes in about 2.5 % of cases.
    """
    name = "is_no_worse_than_champion"
    if evidence.incomparable:
        return Verdict(name, "inconclusive", evidence.incomparable)
    if evidence.champion is None:
        return Verdict(name, "passed", _NO_CHAMPION)
    if evidence.report.rows < policy.minimum_rows:
        return _too_few(name, evidence.report, policy)
    rows = evidence.rows
    assert rows.champion is not None
    worse = compare_models(
        rows.truth,
        rows.probability,
        rows.champion,
        rows.days,
        gate.metric,
        confidence=gate.confidence,
        seed=seed,
    )
    value, other = (of.metrics[gate.metric] for of in (evidence.report, evidence.champion))
    shown = {"value": value, "champion": other, "margin": gate.margin}
    interval = {**worse.plain, "worse_by": worse.value, "confidence": gate.confidence}
    said = (
        f"{gate.metric} {value:.4f} against the champion's {other:.4f} on the same "
        f"{evidence.report.rows} rows: {_say_difference(worse, gate)}"
    )
    return Verdict(name, _decide(worse, gate), said, {**interval, **shown})


def _decide(worse: Interval, gate: ChampionGate) -> Outcome:
    """Anything that is no number decides nothing."""
    if worse.days < FEWEST_DAYS:
        return "inconclusive"
    if worse.high <= gate.margin:
        return "passed"
    return "failed" if worse.low > gate.margin else "inconclusive"


def _say_difference(worse: Interval, gate: ChampionGate) -> str:
    said = f"{'worse' if worse.value > 0 else 'better'} by {abs(worse.value):.4f}"
    if worse.days < FEWEST_DAYS:
        return f"{said}, over {worse.days} day(s), at least {FEWEST_DAYS} are needed to judge"
    said += (
        f" ({gate.confidence:.0%} interval {worse.low:.4f} to {worse.high:.4f} worse, "
        f"over {worse.days} days), at most {gate.margin:g} worse is allowed"
    )
    inside = _decide(worse, gate) == "inconclusive"
    return f"{said}: too close to say, test on more days" if inside else said


def _judge_slices(evidence: Evidence, gate: SliceGate, policy: GatePolicy, seed: int) -> Verdict:
    name = "no_slice_is_worse"
    if evidence.champion is None and gate.limit is None:
        if evidence.incomparable:
            return Verdict(name, "inconclusive", evidence.incomparable)
        return Verdict(name, "passed", f"{_NO_CHAMPION}, and no limit is set")
    if evidence.report.rows < policy.minimum_rows:
        return _too_few(name, evidence.report, policy)
    judged = judge_slices(evidence.rows, evidence.slices, gate, seed=seed)
    if evidence.incomparable and judged.passed:
        return Verdict(name, "inconclusive", evidence.incomparable, judged.evidence)
    return judged


def _too_few(name: str, report: EvaluationReport, policy: GatePolicy) -> Verdict:
    said = f"{report.rows} test rows, at least {policy.minimum_rows} are needed to judge"
    return Verdict(name, "inconclusive", said, {"rows": report.rows})
