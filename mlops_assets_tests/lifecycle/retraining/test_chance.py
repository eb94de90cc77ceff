"""False retrainings a year: never more than the bound, on streams that do not drift."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from mlops_assets.lifecycle.calendar import Calendar
from mlops_assets.lifecycle.retraining.chance import expected_false_retrains
from mlops_assets.lifecycle.retraining.decision import decide_retraining
from mlops_assets.lifecycle.retraining.history import RetrainingHistory
from mlops_assets.lifecycle.retraining.policy import RetrainingBudget, RetrainingPolicy, Triggers
from mlops_assets.lifecycle.retraining.window import MonitoredWindow
from mlops_assets.lifecycle.rollout.state import Champion

BUDGET = RetrainingBudget(365, 365)
POLICIES = st.integers(1, 6).flatmap(
    lambda windows: st.builds(
        RetrainingPolicy,
        windows=st.just(windows),
        violated=st.integers(1, windows),
        cooldown=st.integers(0, 8),
        budget=st.builds(RetrainingBudget, st.integers(1, 20), st.integers(1, 60)),
    )
)


@pytest.mark.parametrize(("windows", "violated"), [(1, 1), (3, 2), (5, 3), (4, 1)])
def test_without_caps_it_is_the_chance_of_a_window_times_the_windows_of_a_year(windows, violated):
    policy = RetrainingPolicy(windows=windows, violated=violated, cooldown=0, budget=BUDGET)
    chance = 0.05 * binom.sf(violated - 2, windows - 1, 0.05)
    assert expected_false_retrains(0.05, policy, 52) == pytest.approx(52 * chance)


def test_cooldown_and_budget_cap_it():
    often = RetrainingPolicy(windows=1, violated=1, cooldown=10, budget=BUDGET)
    assert expected_false_retrains(1.0, often, 52) == 6
    few = RetrainingPolicy(windows=1, violated=1, cooldown=0, budget=RetrainingBudget(2, 26))
    assert expected_false_retrains(1.0, few, 52) == 4


def test_without_the_trigger_drift_nothing_is_asked_for_by_chance():
    policy = RetrainingPolicy(triggers=Triggers(drift=False, every=1))
    assert expected_false_retrains(0.5, policy, 52) == 0


@given(POLICIES, st.floats(0, 1), st.floats(0, 1), st.sampled_from([12, 52, 365]))
def test_a_higher_rate_never_asks_less(policy, one, other, a_year):
    low, high = sorted((one, other))
    rates = [expected_false_retrains(rate, policy, a_year) for rate in (0.0, low, high)]
    assert rates[0] == 0
    assert rates[1] <= rates[2] + 1e-9


@pytest.mark.parametrize("rate", [-0.1, 1.1])
def test_a_rate_that_is_no_chance_is_refused(rate):
    with pytest.raises(ValueError, match=f"false_alarm_rate must lie in .0, 1., got {rate}"):
        expected_false_retrains(rate, RetrainingPolicy(), 52)


@pytest.mark.parametrize(
    ("rate", "windows", "violated", "cooldown"), [(0.05, 1, 1, 2), (0.3, 3, 2, 2), (0.3, 2, 2, 0)]
)
def test_streams_without_drift_are_retrained_no_more_often_than_the_bound_says(
    rate, windows, violated, cooldown
):
    """The rule itself, lived through for many years of windows that drift by chance."""
    policy = RetrainingPolicy(
        "enabled", windows=windows, violated=violated, cooldown=cooldown, budget=BUDGET
    )
    start = date(2001, 1, 1)
    calendar = Calendar(start, start + timedelta(weeks=53))
    random, years, asks = np.random.default_rng(7), 60, []
    for _ in range(years):
        drifted = random.random(52) < rate
        seen, asked = [], []
        for key, failed in zip(calendar.keys, drifted, strict=False):
            seen.append(MonitoredWindow(key, "v1", "failed" if failed else "passed", ""))
            history = RetrainingHistory(Champion("v1", "", calendar.keys[0]), seen[-9:], asked)
            decision = decide_retraining(history, calendar, policy)
            asked += [decision.ask] if decision.ask else []
        asks.append(len(asked))
    noise = 3 * np.std(asks) / np.sqrt(years)
    assert np.mean(asks) <= expected_false_retrains(rate, policy, 52) + noise
    assert np.mean(asks) > 0
