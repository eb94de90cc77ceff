"""Backtests: no partition is answered by a model that could not be there yet."""

from __future__ import annotations

import statistics
from bisect import bisect_right
from datetime import date
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_assets.lifecycle.backtest import (
    mean_of,
    plan_drift_triggered,
    plan_frozen,
    plan_scheduled,
    replay,
)
from mlops_assets.lifecycle.calendar import Calendar
from mlops_assets.lifecycle.retraining.policy import RetrainingBudget, RetrainingPolicy
from mlops_assets.lifecycle.verdicts import Verdict

WEEKLY = Calendar(date(2013, 1, 7), date(2013, 7, 8))
KEYS = WEEKLY.keys
EAGER = RetrainingPolicy(
    "enabled", windows=1, violated=1, cooldown=0, budget=RetrainingBudget(52, 52)
)

TRAINED = st.lists(st.sampled_from(KEYS), min_size=1, unique=True)
PARTITIONS = st.lists(st.sampled_from(KEYS), unique=True)
POLICIES = st.builds(
    lambda windows, violated, cooldown, mode: RetrainingPolicy(
        mode, windows=windows, violated=min(windows, violated), cooldown=cooldown
    ),
    st.integers(1, 4),
    st.integers(1, 4),
    st.integers(0, 4),
    st.sampled_from(["disabled", "dry_run", "enabled"]),
)


def judging(*drifted: str, always: bool = False):
    """Drift in the named partitions, whatever model answers there."""

    def judge(as_of: str, partition: str) -> Verdict:
        failed = always or partition in drifted
        return Verdict("drift", "failed" if failed else "passed", f"{as_of} in {partition}")

    return judge


def drift_plan(trained, partitions, policy, judge) -> dict[str, str]:
    return plan_drift_triggered(trained, partitions, WEEKLY, policy, judge)


# --- rules every plan keeps ---------------------------------------------------------------------


@given(trained=TRAINED, partitions=PARTITIONS, policy=POLICIES, drifted=PARTITIONS)
def test_no_partition_is_answered_by_a_model_trained_as_of_a_later_one(
    trained, partitions, policy, drifted
):
    plans = (
        plan_frozen(trained, partitions),
        plan_scheduled(trained, partitions),
        drift_plan(trained, partitions, policy, judging(*drifted)),
    )
    for plan in plans:
        assert all(as_of in trained and as_of <= partition for partition, as_of in plan.items())
        # all strategies answer the same partitions, so that their means compare
        assert set(plan) == {partition for partition in partitions if partition >= min(trained)}


@given(trained=TRAINED, partitions=PARTITIONS, policy=POLICIES, drifted=PARTITIONS)
def test_a_newer_model_is_never_followed_by_an_older_one(trained, partitions, policy, drifted):
    for plan in (
        plan_scheduled(trained, partitions),
        drift_plan(trained, partitions, policy, judging(*drifted)),
    ):
        answered = [plan[partition] for partition in sorted(plan)]
        assert answered == sorted(answered)


@given(trained=TRAINED, partitions=PARTITIONS)
def test_scheduled_is_the_newest_model_there_is(trained, partitions):
    ordered = sorted(trained)
    plan = plan_scheduled(trained, partitions)
    assert plan == {p: ordered[bisect_right(ordered, p) - 1] for p in partitions if p >= ordered[0]}


@given(trained=TRAINED, partitions=PARTITIONS, policy=POLICIES)
def test_given_nothing_ever_drifts_then_drift_triggered_is_frozen(trained, partitions, policy):
    assert drift_plan(trained, partitions, policy, judging()) == plan_frozen(trained, partitions)


@given(trained=TRAINED)
def test_given_all_drifts_and_one_window_is_enough_then_drift_triggered_is_scheduled(trained):
    plan = drift_plan(trained, KEYS, EAGER, judging(always=True))
    assert plan == plan_scheduled(trained, KEYS)


@given(trained=TRAINED, policy=POLICIES, drifted=PARTITIONS)
def test_a_model_serves_at_least_as_long_as_the_cooldown(trained, policy, drifted):
    plan = drift_plan(trained, KEYS, policy, judging(*drifted))
    begins = {as_of: min(p for p in plan if plan[p] == as_of) for as_of in set(plan.values())}
    changes = sorted(begins)
    for before, after in pairwise(changes):
        assert KEYS.index(begins[after]) - KEYS.index(before) >= max(policy.cooldown, 1)


@given(trained=TRAINED, policy=POLICIES, drifted=PARTITIONS)
def test_each_change_follows_as_much_drift_as_the_policy_asks_for(trained, policy, drifted):
    plan = drift_plan(trained, KEYS, policy, judging(*drifted))
    changes = sorted(set(plan.values()))
    for before in changes[:-1]:
        served = [partition for partition in plan if plan[partition] == before]
        assert sum(partition in drifted for partition in served) >= policy.violated


# --- how drift leads to another model, week by week ---------------------------------------------


def weeks(*numbers: int) -> list[str]:
    return [KEYS[number] for number in numbers]


def by_number(plan: dict[str, str]) -> list[int]:
    """Which model answers in the weeks from the first on, as numbers of weeks."""
    return [KEYS.index(plan[key]) for key in sorted(plan)]


@pytest.mark.parametrize(
    ("policy", "drifted", "answers"),
    [
        (EAGER, [], [0, 0, 0, 0, 0, 0]),
        (EAGER, [1], [0, 0, 2, 2, 2, 2]),  # the model as of the partition after the drift
        (EAGER, [1, 3], [0, 0, 2, 2, 4, 4]),
        (
            RetrainingPolicy("enabled", windows=2, violated=2, cooldown=0),
            [1, 3],
            [0, 0, 0, 0, 0, 0],
        ),
        (
            RetrainingPolicy("enabled", windows=3, violated=2, cooldown=0),
            [1, 3],
            [0, 0, 0, 0, 4, 4],
        ),
        # the reports against the model before do not count against the next one
        (
            RetrainingPolicy("enabled", windows=2, violated=2, cooldown=0),
            [1, 2, 3],
            [0, 0, 0, 3, 3, 3],
        ),
        (
            RetrainingPolicy("enabled", windows=1, violated=1, cooldown=3),
            [0, 2, 3],
            [0, 0, 0, 3, 3, 3],
        ),
    ],
)
def test_drift_is_answered_as_the_policy_says(policy, drifted, answers):
    plan = drift_plan(KEYS[:6], KEYS[:6], policy, judging(*weeks(*drifted)))
    assert by_number(plan) == answers


@pytest.mark.parametrize(
    ("trained", "answers"),
    [
        ([0, 1], [0, 0, 0, 0, 0, 0]),  # the model there was before the drift is no answer to it
        ([0, 4], [0, 0, 0, 0, 4, 4]),  # put off until there is one
        ([0, 3, 2], [0, 0, 2, 2, 2, 2]),
    ],
)
def test_given_no_model_as_of_the_partition_asked_for_then_the_next_one_is_waited_for(
    trained, answers
):
    plan = drift_plan(weeks(*trained), KEYS[:6], EAGER, judging(*weeks(1)))
    assert by_number(plan) == answers


@pytest.mark.parametrize("mode", ["disabled", "dry_run", "enabled"])
def test_what_retraining_would_do_is_replayed_in_whatever_mode_it_is(mode):
    policy = RetrainingPolicy(mode, windows=1, violated=1, cooldown=0)
    plan = drift_plan(KEYS[:4], KEYS[:4], policy, judging(*weeks(1)))
    assert by_number(plan) == [0, 0, 2, 2]


def test_each_partition_is_judged_once_against_the_model_that_answers_in_it():
    asked = []

    def judge(as_of: str, partition: str) -> Verdict:
        asked.append((partition, as_of))
        return judging(*weeks(1))(as_of, partition)

    plan = drift_plan(KEYS[:5], reversed(KEYS[:5]), EAGER, judge)
    assert dict(asked) == plan
    assert len(asked) == 5


def test_given_the_last_partition_of_the_calendar_drifts_then_nothing_follows():
    plan = drift_plan(KEYS, KEYS, EAGER, judging(KEYS[-1]))
    assert set(plan.values()) == {KEYS[0]}


# --- what a plan would have given ---------------------------------------------------------------


def test_a_replay_measures_each_partition_with_the_model_that_answers_in_it():
    plan = {KEYS[1]: KEYS[0], KEYS[2]: KEYS[0], KEYS[3]: KEYS[3]}
    loss = {KEYS[0]: 0.5, KEYS[3]: 0.125}

    def measure(as_of: str, partition: str) -> dict[str, float]:
        return {"brier": loss[as_of] + KEYS.index(partition)}

    replayed = replay("scheduled", plan, measure)
    assert (replayed.strategy, replayed.answered_by, replayed.models) == ("scheduled", plan, 2)
    assert {key: found["brier"] for key, found in replayed.metrics.items()} == {
        KEYS[1]: 1.5,
        KEYS[2]: 2.5,
        KEYS[3]: 3.125,
    }
    assert replayed.means == {"brier": pytest.approx(statistics.mean([1.5, 2.5, 3.125]))}


def test_a_partition_that_cannot_be_measured_is_left_out_of_the_means_and_kept_in_the_plan():
    plan = dict.fromkeys(KEYS[:3], KEYS[0])
    found = {KEYS[0]: {"auc": 0.5}, KEYS[1]: {}, KEYS[2]: {"auc": 0.75}}
    replayed = replay("frozen", plan, lambda _, partition: found[partition])
    assert list(replayed.metrics) == [KEYS[0], KEYS[2]]
    assert replayed.means == {"auc": 0.625}
    assert replayed.answered_by == plan


def test_given_nothing_could_be_measured_then_there_are_no_means():
    assert replay("frozen", {KEYS[0]: KEYS[0]}, lambda *_: {}).means == {}


@given(
    values=st.dictionaries(
        st.sampled_from(KEYS),
        st.fixed_dictionaries({"auc": st.floats(0, 1), "brier": st.floats(0, 1)}),
        min_size=1,
    )
)
def test_means_count_each_partition_the_same(values):
    expected = {
        name: pytest.approx(statistics.fmean(found[name] for found in values.values()))
        for name in ("auc", "brier")
    }
    assert mean_of(values) == expected
