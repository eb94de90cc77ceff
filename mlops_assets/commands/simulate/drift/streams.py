"""Years without drift, week by week: how often the policy would train again for nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

import numpy as np
import polars as pl

from mlops_assets.commands.simulate.drift.real_days import DAY, TRUTH, RealDays
from mlops_assets.commands.simulate.drift.windows import START, draw_weeks
from mlops_assets.components.definition import ModelDefinition
from mlops_assets.lifecycle.calendar import Calendar
from mlops_assets.lifecycle.drift.measure import measure_drift
from mlops_assets.lifecycle.drift.report import DriftReport
from mlops_assets.lifecycle.metrics import measure_metrics
from mlops_assets.lifecycle.performance import PerformanceReport
from mlops_assets.lifecycle.retraining.decision import decide_retraining
from mlops_assets.lifecycle.retraining.history import Ask, RetrainingHistory
from mlops_assets.lifecycle.retraining.performance import judge_performance
from mlops_assets.lifecycle.retraining.policy import (
    PerformanceTrigger,
    RetrainingPolicy,
    Triggers,
)
from mlops_assets.lifecycle.retraining.window import MonitoredWindow
from mlops_assets.lifecycle.rollout.state import Champion
from mlops_assets.lifecycle.verdicts import Outcome, Verdict

WEEKS = 52
"""Of a year, each monitored."""


@dataclass(frozen=True)
class Regime:
    """A retraining policy under test. ``any_flag``: a window counts as drifted when anything at
    all is flagged in it, not when enough of the model's importance is."""

    name: str
    policy: RetrainingPolicy
    any_flag: bool = False


def build_regimes(model: ModelDefinition) -> tuple[Regime, ...]:
    """The model's own policy, as far as it answers what it sees, and others on the same years."""
    written = model.spec.retraining
    seen = replace(written.triggers, every=None, new_rows=None)
    own = replace(written, mode="enabled", triggers=seen)
    hasty = replace(own, windows=1, violated=1)
    worse = replace(own, triggers=Triggers(drift=False, performance=PerformanceTrigger()))
    return (
        Regime("as in defs.yaml", own),
        Regime("the first window is enough", hasty),
        Regime("any flag is drift", own, any_flag=True),
        Regime("Brier worse than tested by 10 %", worse),
    )


def count_retrains(
    real: RealDays, model: ModelDefinition, seed: Sequence[int], weeks: int = WEEKS
) -> dict[str, int]:
    """Of one year, by the name of the regime."""
    year = Year(model, real, seed, weeks)
    return {regime.name: play_year(year, regime) for regime in build_regimes(model)}


class Year:
    """Weeks of the same world, and what is seen of each by a champion of any week before."""

    def __init__(
        self, model: ModelDefinition, real: RealDays, seed: Sequence[int], weeks: int = WEEKS
    ) -> None:
        self.model, self.weights = model, real.weights
        self.reference = model.spec.monitoring.reference
        self.test = model.spec.training.split.test
        self.begin = max(self.reference, self.test)
        self.weeks = draw_weeks(real, self.begin + weeks, np.random.default_rng(seed))
        # One more than there are weeks, so that the last can be answered.
        self.calendar = Calendar(START, START + timedelta(weeks=len(self.weeks) + 1))
        self._reports: dict[tuple[int, int], DriftReport] = {}

    def measure(self, as_of: int, week: int) -> DriftReport:
        """A week beside the weeks before a training date; regimes that agree share the work."""
        known = self._reports.get((as_of, week))
        if known is None:
            known = self._reports[as_of, week] = measure_drift(
                pl.concat(self.weeks[as_of - self.reference : as_of]),
                self.weeks[week],
                self.model.features,
                self.model.spec.monitoring,
                day=DAY,
                weights=self.weights,
            )
        return known

    def compare(self, as_of: int, week: int, trigger: PerformanceTrigger) -> Verdict:
        """The answers of a week beside those of the weeks that the champion was tested on."""
        now = _score(self.weeks[week : week + 1])
        tested = _score(self.weeks[as_of - self.test : as_of])
        return judge_performance(now, tested.metrics, trigger)


def play_year(year: Year, regime: Regime) -> int:
    """How often a year is answered by a training. Each gives a champion as of the next week, and
    with it a reference and a test of the weeks before that."""
    keys = year.calendar.keys
    champion = Champion("v1", "", keys[year.begin])
    windows: list[MonitoredWindow] = []
    asked: list[Ask] = []
    for week in range(year.begin, len(year.weeks)):
        windows.append(_monitor(year, week, champion, regime))
        history = RetrainingHistory(champion, windows, asked)
        if ask := decide_retraining(history, year.calendar, regime.policy).ask:
            asked.append(ask)
            champion = Champion(f"v{len(asked) + 1}", "", ask.as_of)
    return len(asked)


def _monitor(year: Year, week: int, champion: Champion, regime: Regime) -> MonitoredWindow:
    """What the regime's triggers look at; the rest is left inconclusive."""
    keys, triggers = year.calendar.keys, regime.policy.triggers
    as_of = keys.index(champion.train_as_of)
    drift: Outcome = "inconclusive"
    if triggers.drift:
        report = year.measure(as_of, week)
        drift = report.verdict.outcome
        if regime.any_flag:
            drift = "failed" if report.alarm else "passed"
    performance: Outcome = "inconclusive"
    if triggers.performance:
        performance = year.compare(as_of, week, triggers.performance).outcome
    return MonitoredWindow(keys[week], champion.version, drift, "", performance=performance)


def _score(weeks: Sequence[pl.DataFrame]) -> PerformanceReport:
    """Metrics of the rows whose truth is known; none while one class is missing."""
    rows = pl.concat(weeks)
    known = rows.drop_nulls(TRUTH)
    truth = known[TRUTH].to_numpy().astype(int)
    both = 0 < truth.sum() < truth.size
    metrics = measure_metrics(truth, known["probability"].to_numpy()) if both else {}
    return PerformanceReport(rows.height, known.height, None, metrics)
