"""Quality gates: what an evaluation must show before its model may become a challenger."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from mlops_assets.lifecycle.errors import did_you_mean
from mlops_assets.lifecycle.evaluation import HIGHER_IS_BETTER, METRICS, EvaluationReport
from mlops_assets.lifecycle.verdicts import Verdict


@dataclass(frozen=True)
class ChampionGate:
    """The challenger may be worse than the champion by at most ``margin`` in ``metric``."""

    metric: str = "brier"
    margin: float = 0.0

    def __post_init__(self) -> None:
        _require_metrics([self.metric])
        if self.margin < 0:
            raise ValueError(f"margin must not be negative, got {self.margin}")


@dataclass(frozen=True)
class GatePolicy:
    """``minimum`` and ``maximum`` bound metrics; ``champion`` compares on the same rows.

    ``minimum_rows``: fewer test rows than this leave a gate inconclusive, which blocks too.
    """

    minimum: Mapping[str, float] = field(default_factory=dict)
    maximum: Mapping[str, float] = field(default_factory=dict)
    champion: ChampionGate | None = None
    minimum_rows: int = 500

    def __post_init__(self) -> None:
        _require_metrics([*self.minimum, *self.maximum])
        if self.minimum_rows < 1:
            raise ValueError(f"minimum_rows must be at least 1, got {self.minimum_rows}")

    @property
    def names(self) -> list[str]:
        """The gates' names, known before anything is judged."""
        bounds = [f"{metric}_is_high_enough" for metric in self.minimum]
        bounds += [f"{metric}_is_low_enough" for metric in self.maximum]
        return [*bounds, *(["is_no_worse_than_champion"] if self.champion else [])]


def judge_gates(
    report: EvaluationReport,
    champion: EvaluationReport | None,
    policy: GatePolicy,
    *,
    incomparable: str | None = None,
) -> list[Verdict]:
    """One verdict per gate. ``champion``, None at first, was measured on the same rows.

    ``incomparable`` says why a champion that is there cannot be compared with on these rows;
    its gate is then inconclusive.
    """
    bounds = [
        _judge_bound(report, metric, limit, higher=True, policy=policy)
        for metric, limit in policy.minimum.items()
    ] + [
        _judge_bound(report, metric, limit, higher=False, policy=policy)
        for metric, limit in policy.maximum.items()
    ]
    if policy.champion:
        bounds.append(
            Verdict("is_no_worse_than_champion", "inconclusive", incomparable)
            if incomparable
            else _judge_champion(report, champion, policy.champion, policy)
        )
    return bounds


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
    report: EvaluationReport,
    champion: EvaluationReport | None,
    gate: ChampionGate,
    policy: GatePolicy,
) -> Verdict:
    name = "is_no_worse_than_champion"
    if champion is None:
        return Verdict(name, "passed", "there is no other champion to compare with")
    if report.rows < policy.minimum_rows:
        return _too_few(name, report, policy)
    value, other = report.metrics[gate.metric], champion.metrics[gate.metric]
    worse_by = other - value if gate.metric in HIGHER_IS_BETTER else value - other
    said = (
        f"{gate.metric} {value:.4f} against the champion's {other:.4f} on the same "
        f"{report.rows} rows: {'worse' if worse_by > 0 else 'better'} by {abs(worse_by):.4f}, "
        f"at most {gate.margin:g} worse is allowed"
    )
    evidence = {"value": value, "champion": other, "worse_by": worse_by, "margin": gate.margin}
    return Verdict(name, "passed" if worse_by <= gate.margin else "failed", said, evidence)


def _too_few(name: str, report: EvaluationReport, policy: GatePolicy) -> Verdict:
    said = f"{report.rows} test rows, at least {policy.minimum_rows} are needed to judge"
    return Verdict(name, "inconclusive", said, {"rows": report.rows})


def _require_metrics(names: list[str]) -> None:
    for name in names:
        if name not in METRICS:
            hint = did_you_mean(name, METRICS)
            raise ValueError(f"unknown metric '{name}', allowed are {', '.join(METRICS)}{hint}")
