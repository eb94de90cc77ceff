"""What a decision rests on: the windows of today's champion, and what was asked for before."""

from __future__ import annotations

import pytest

from mlops_assets.lifecycle.retraining.episode import find_answer, find_episode, is_violated
from mlops_assets.lifecycle.retraining.history import Ask, RetrainingHistory
from mlops_assets.lifecycle.retraining.policy import PerformanceTrigger, Triggers
from mlops_assets.lifecycle.retraining.window import MonitoredWindow
from mlops_assets.lifecycle.rollout.state import Champion

CHAMPION = Champion("v2", "digest", "03")


def window(key: str, version: str = "v2", drift: str = "failed", **more) -> MonitoredWindow:
    return MonitoredWindow(key, version, drift, "reason", **more)


def test_the_newest_window_is_that_of_any_version_whatever_order_they_come_in():
    history = RetrainingHistory(CHAMPION, [window("05"), window("07", "v1"), window("06")])
    assert history.newest == "07"
    assert RetrainingHistory(CHAMPION).newest is None


def test_only_the_last_unbroken_stretch_of_the_champions_windows_was_served_by_it():
    windows = [window("06"), window("04"), window("05", "v1"), window("07"), window("03", "v1")]
    history = RetrainingHistory(CHAMPION, windows)
    assert [each.partition for each in history.served] == ["06", "07"]
    assert RetrainingHistory(None, windows).served == []


def test_what_was_asked_for_in_the_newest_window_is_no_earlier_request():
    asked = [Ask("07", "08"), Ask("05", "06"), Ask(None, "04", "by_hand")]
    history = RetrainingHistory(CHAMPION, [window("07")], asked)
    assert [ask.as_of for ask in history.earlier] == ["04", "06"]
    assert history.last_training == "06"


def test_the_last_training_is_the_champions_when_nothing_was_asked_for_since():
    history = RetrainingHistory(CHAMPION, [window("07")], [Ask("01", "02")])
    assert history.last_training == "03"
    assert RetrainingHistory(None).last_training == ""


def test_a_request_by_hand_is_open_until_the_next_window():
    asked = [Ask("06", "07", "by_hand"), Ask("07", "08", "drift")]
    assert RetrainingHistory(CHAMPION, [window("07")], asked).by_hand == []
    assert RetrainingHistory(CHAMPION, [window("06")], asked).by_hand == asked[:1]


def test_of_requests_by_hand_as_of_one_partition_the_last_is_answered():
    asked = [
        Ask("06", as_of, "by_hand", episode=str(n)) for n, as_of in enumerate(["07", "06", "07"])
    ]
    assert RetrainingHistory(CHAMPION, [window("06")], asked).by_hand == asked[1:]


@pytest.mark.parametrize(
    ("drift", "performance", "cause", "triggers", "violated"),
    [
        ("failed", "passed", "nothing", Triggers(), True),
        ("failed", "passed", "data_bug", Triggers(), False),
        ("failed", "passed", "covariate_drift", Triggers(drift=False), False),
        ("passed", "failed", "concept_drift", Triggers(), False),
        ("passed", "failed", "concept_drift", Triggers(performance=PerformanceTrigger()), True),
        ("inconclusive", "passed", "nothing", Triggers(), False),
    ],
)
def test_a_window_is_violated_by_what_the_policy_watches(
    drift, performance, cause, triggers, violated
):
    found = window("05", drift=drift, performance=performance, cause=cause)
    assert is_violated(found, triggers) is violated


@pytest.mark.parametrize(
    ("drifts", "first"),
    [
        ("xx", "0"),
        (".xx", "1"),
        ("x.x", "2"),
        ("x?x", "0"),
        ("x?", "0"),
        ("x.", None),
        ("?", None),
        ("", None),
    ],
)
def test_an_episode_reaches_back_to_the_last_window_that_was_fine(drifts, first):
    outcomes = {"x": "failed", ".": "passed", "?": "inconclusive"}
    windows = [window(str(n), drift=outcomes[mark]) for n, mark in enumerate(drifts)]
    assert find_episode(windows, Triggers(), "drift") == first


def test_an_episode_is_answered_by_what_was_asked_for_in_it_against_the_same_version():
    asked = [Ask("03", "04", version="v2"), Ask("05", "06", version="v1")]
    assert find_answer(asked, "v2", "03") == asked[0]
    assert find_answer(asked, "v2", "04") is None
