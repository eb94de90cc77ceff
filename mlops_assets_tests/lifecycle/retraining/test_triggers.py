"""Each trigger says in one sentence whether it asks, and why or why not."""

from __future__ import annotations

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_assets.lifecycle.calendar import Calendar
from mlops_assets.lifecycle.retraining.history import Ask, RetrainingHistory
from mlops_assets.lifecycle.retraining.policy import (
    PerformanceTrigger,
    RetrainingPolicy,
    Triggers,
)
from mlops_assets.lifecycle.retraining.triggers import (
    OFF,
    consider_by_hand,
    consider_new_data,
    consider_schedule,
    consider_signal,
    count_partitions,
)
from mlops_assets.lifecycle.retraining.window import MonitoredWindow
from mlops_assets.lifecycle.rollout.state import Champion

CALENDAR = Calendar(date(2013, 1, 7), date(2013, 4, 1))
KEYS = CALENDAR.keys
CHAMPION = Champion("v1", "digest", KEYS[0])
ALL = RetrainingPolicy(
    "enabled", Triggers(performance=PerformanceTrigger(), every=3, new_rows=100), 2, 2
)
NONE = RetrainingPolicy("enabled", Triggers(drift=False))


def history(*drifts: str, **more) -> RetrainingHistory:
    windows = [MonitoredWindow(KEYS[n], "v1", drift, "it rains") for n, drift in enumerate(drifts)]
    return RetrainingHistory(CHAMPION, windows, **more)


@pytest.mark.parametrize("signal", ["drift", "performance"])
def test_a_signal_that_is_off_says_so_whatever_was_seen(signal):
    found = consider_signal(signal, history("failed", "failed"), NONE)
    assert (found.trigger, found.due, found.said) == (signal, False, OFF)


def test_schedule_and_new_data_are_off_by_default():
    assert consider_schedule(history("passed"), CALENDAR, NONE, KEYS[1]).said == OFF
    assert consider_new_data(history("passed"), NONE).said == OFF


def test_drift_that_asks_names_the_episode_and_the_newest_reason():
    found = consider_signal("drift", history("failed", "failed"), ALL)
    assert (found.due, found.episode) == (True, f"v1/{KEYS[0]}")
    assert found.said.endswith(f"newest {KEYS[1]}: it rains")


def test_an_episode_that_was_answered_says_by_what_and_what_to_do():
    answered = Ask(KEYS[0], KEYS[1], "schedule", "v1", fate="v2 is in rollout at 10 %")
    found = consider_signal("drift", history("failed", "failed", asked=[answered]), ALL)
    assert not found.due
    assert found.said.startswith(
        f"asked for already in {KEYS[0]} by schedule, as of {KEYS[1]}: v2 is in rollout at 10 %; "
        f"one retraining for the episode that began in {KEYS[0]}, ask by hand for another"
    )


@given(st.integers(0, 11), st.integers(1, 12))
def test_the_schedule_asks_once_so_many_partitions_have_passed(week, every):
    policy = RetrainingPolicy("enabled", Triggers(every=every))
    found = consider_schedule(history(), CALENDAR, policy, KEYS[week])
    assert found.due is (week >= every)
    assert found.episode == f"v1/since {KEYS[0]}"


@given(st.dictionaries(st.sampled_from(KEYS), st.integers(0, 200)))
def test_new_data_asks_once_so_many_rows_have_a_label(labelled):
    found = consider_new_data(history(*["passed"] * len(KEYS), labelled=labelled), ALL)
    assert found.due is (sum(labelled.values()) >= 100)
    assert found.said.startswith(f"{sum(labelled.values()):,} labelled rows since")


def test_rows_of_a_partition_that_is_not_monitored_yet_are_not_new_data_yet():
    labelled = {KEYS[0]: 60, KEYS[1]: 60}
    assert not consider_new_data(history("passed", labelled=labelled), ALL).due
    assert consider_new_data(history("passed", "passed", labelled=labelled), ALL).due


def test_a_person_is_quoted_by_name():
    hand = Ask(None, KEYS[3], "by_hand", episode="by hand 1", by="the desk", reason="new routes")
    found = consider_by_hand(RetrainingHistory(None, asked=[hand]))
    assert (found.due, found.said, found.episode) == (
        True,
        "the desk asked: new routes",
        "by hand 1",
    )
    assert consider_by_hand(history()).said == "nobody asked"


@given(st.integers(0, 11), st.integers(0, 11))
def test_partitions_are_counted_from_the_first_up_to_the_last(first, last):
    assert count_partitions(CALENDAR, KEYS[first], KEYS[last]) == max(last - first, 0)
