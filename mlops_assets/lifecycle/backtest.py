"""A backtest: had models been replaced by this rule or that, how good were the answers?

Every model is walk-forward: as of a partition it has seen nothing from that partition on. So
models fitted as of many partitions can be replayed in any order of replacement.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from mlops_assets.lifecycle.retraining.decision import decide_retraining
from mlops_assets.lifecycle.retraining.history import Ask, RetrainingHistory
from mlops_assets.lifecycle.retraining.policy import RetrainingPolicy
from mlops_assets.lifecycle.retraining.window import MonitoredWindow
from mlops_assets.lifecycle.rollout.state import Champion

if TYPE_CHECKING:
    from mlops_assets.lifecycle.calendar import Calendar
    from mlops_assets.lifecycle.verdicts import Verdict

Strategy = Literal["frozen", "scheduled", "drift_triggered"]

Plan = Mapping[str, str]
"""Per partition that is answered: the partition that its model was trained as of."""


@dataclass(frozen=True)
class Replayed:
    """What one strategy would have given: ``answered_by`` which model in each partition, the
    metrics there and their means, and how many models it had fitted."""

    strategy: Strategy
    answered_by: Plan
    metrics: Mapping[str, Mapping[str, float]]
    means: Mapping[str, float]
    models: int


def plan_frozen(trained: Sequence[str], partitions: Sequence[str]) -> dict[str, str]:
    """The first model answers for ever."""
    first = min(trained)
    return {partition: first for partition in partitions if partition >= first}


def plan_scheduled(trained: Sequence[str], partitions: Sequence[str]) -> dict[str, str]:
    """The newest model trained as of a partition or before answers in it."""
    return {
        partition: max(as_of for as_of in trained if as_of <= partition)
        for partition in partitions
        if partition >= min(trained)
    }


def plan_drift_triggered(
    trained: Sequence[str],
    partitions: Sequence[str],
    calendar: Calendar,
    policy: RetrainingPolicy,
    judge: Callable[[str, str], Verdict],
) -> dict[str, str]:
    """A model answers until ``policy`` asks for another, as the sensor does while it serves.

    ``judge(as_of, partition)`` says whether the reference of the model trained as of a partition
    still holds in another; performance is not judged here. A retraining as of a partition without
    a model is put off until there is one.
    """
    champion, wanted = min(trained), None
    windows: list[MonitoredWindow] = []
    asked: list[Ask] = []
    plan: dict[str, str] = {}
    for partition in sorted(key for key in partitions if key >= min(trained)):
        if wanted and (newer := [a for a in trained if wanted <= a <= partition]):
            champion, wanted = max(newer), None
        plan[partition] = champion
        verdict = judge(champion, partition)
        windows.append(MonitoredWindow(partition, champion, verdict.outcome, verdict.reason))
        history = RetrainingHistory(Champion(champion, "", champion), windows, asked)
        decision = decide_retraining(history, calendar, replace(policy, mode="enabled"))
        if decision.ask:
            asked.append(decision.ask)
            wanted = decision.as_of
    return plan


def replay(
    strategy: Strategy, plan: Plan, measure: Callable[[str, str], Mapping[str, float]]
) -> Replayed:
    """The metrics of a plan; ``measure(as_of, partition)`` gives those of one model in one
    partition, and none where they cannot be measured (one class only): it is then left out."""
    measured = {key: measure(as_of, key) for key, as_of in plan.items()}
    metrics = {key: found for key, found in measured.items() if found}
    return Replayed(strategy, plan, metrics, mean_of(metrics), len(set(plan.values())))


def mean_of(metrics: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    """The mean of each metric over partitions, each counting the same."""
    names = dict.fromkeys(name for found in metrics.values() for name in found)
    return {name: sum(found[name] for found in metrics.values()) / len(metrics) for name in names}
