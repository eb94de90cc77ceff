"""Retraining: asked for by drift that persists, once per episode, not too soon."""

from __future__ import annotations

from datetime import date
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlops_assets.lifecycle.calendar import Calendar
from mlops_assets.lifecycle.retraining.decision import RetrainingDecision, decide_retraining
from mlops_assets.lifecycle.retraining.policy import RetrainingPolicy
from mlops_assets.lifecycle.retraining.window import MonitoredWindow
from mlops_assets.lifecycle.rollout.state import Champion

CALENDAR = Calendar(date(2013, 1, 7), date(2013, 4, 1))
KEYS = CALENDAR.keys  # twelve weeks
CHAMPION = Champion("v3", "digest", train_as_of=KEYS[2])
ENABLED = RetrainingPolicy("enabled", windows=3, violated=2, cooldown=2)
OUTCOMES = {"x": "failed", ".": "passed", "?": "inconclusive"}


def seen(marks: str, *, first: int = 2, version: str = "v3") -> list[MonitoredWindow]:
    """One window a week: ``x`` drifted, ``.`` did not, ``?`` could not be judged."""
    return [
        MonitoredWindow(KEYS[first + n], version, OUTCOMES[mark], f"reason {n}")
        for n, mark in enumerate(marks)
    ]


def decide(
    windows: list[MonitoredWindow],
    policy: RetrainingPolicy = ENABLED,
    champion: Champion | None = CHAMPION,
    asked: tuple[tuple[str, str], ...] = (),
) -> RetrainingDecision:
    return decide_retraining(windows, champion, CALENDAR, policy, asked=asked)


@pytest.mark.parametrize(
    ("marks", "said"),
    [
        (".xx", None),
        ("x.x", None),
        ("xxx", None),
        ("xx", None),
        ("?xx", None),
        ("xx.", "the newest window 2013-02-04 did not drift"),
        ("xx?", "the newest window 2013-02-04 did not drift"),
        ("...", "the newest window 2013-02-04 did not drift"),
        ("..x", "too few windows drifted"),
        ("xx..x", "too few windows drifted"),
        (".?x", "too few windows drifted"),
        ("x", "too few windows drifted"),
    ],
)
def test_enough_of_the_last_windows_and_the_newest_among_them_must_have_drifted(marks, said):
    decision = decide(seen(marks))
    assert decision.action == ("skip" if said else "retrain")
    assert decision.window == KEYS[1 + len(marks)]
    assert said is None or decision.reason.startswith(said)


def test_a_retraining_is_asked_for_as_of_the_partition_after_the_newest_window():
    decision = decide(seen(".xx"))
    assert (decision.window, decision.as_of) == (KEYS[4], KEYS[5])
    assert decision.reason == (
        "2 of the last 3 windows drifted from v3 (2 of 3 are needed); newest 2013-02-04: reason 2"
    )


@pytest.mark.parametrize("mode", ["disabled", "dry_run"])
def test_only_an_enabled_policy_retrains(mode):
    assert decide(seen("xxx"), RetrainingPolicy(mode)).action == "skip"


def test_a_dry_run_says_what_it_would_do():
    decision = decide(seen(".xx"), RetrainingPolicy("dry_run"))
    assert decision.reason.startswith("dry run, would retrain as of 2013-02-11: 2 of the last 3")
    assert (decision.window, decision.as_of) == (KEYS[4], KEYS[5])
    assert decide(seen("..."), RetrainingPolicy("dry_run")).reason == decide(seen("...")).reason


def test_a_disabled_policy_is_silent():
    decision = decide(seen("xxx"), RetrainingPolicy())
    assert decision == RetrainingDecision("skip", "retraining is disabled")


def test_without_a_champion_there_is_nothing_to_retrain():
    decision = decide(seen("xxx"), champion=None)
    assert decision == RetrainingDecision("skip", "there is no champion to compare with")


@pytest.mark.parametrize("windows", [[], seen("xxx", version="v2")])
def test_without_a_report_against_the_champion_there_is_nothing_to_go_by(windows):
    assert decide(windows) == RetrainingDecision("skip", "no drift report against v3 yet")


def test_windows_of_other_versions_are_ignored():
    others = seen("xxx", first=2, version="v2") + seen("...", first=6, version="v4")
    assert decide(others + seen(".x", first=5)).action == "skip"
    assert decide(others + seen("xx", first=3)) == decide(seen("xx", first=3))


@pytest.mark.parametrize(
    ("trained", "action"), [(2, "retrain"), (3, "retrain"), (4, "skip"), (5, "skip")]
)
def test_the_cooldown_counts_partitions_since_the_champion_was_trained(trained, action):
    champion = Champion("v3", "digest", train_as_of=KEYS[trained])
    decision = decide(seen("xxx"), champion=champion)  # as of KEYS[5]
    assert decision.action == action
    if action == "skip":
        assert decision.reason.startswith(
            f"trained or asked for {5 - trained} partition(s) ago, the cooldown is 2"
        )


@pytest.mark.parametrize(("asked", "action"), [(2, "retrain"), (3, "skip")])
def test_an_earlier_request_starts_the_cooldown_too(asked, action):
    request = (KEYS[asked], KEYS[asked + 1])
    assert decide(seen("xxx"), asked=(request,)).action == action


def test_a_cooldown_of_zero_lets_every_drifted_window_ask():
    eager = RetrainingPolicy("enabled", windows=1, violated=1, cooldown=0)
    for weeks in range(1, 6):
        decision = decide(seen("x" * weeks), eager, asked=((KEYS[weeks], KEYS[weeks + 1]),))
        assert decision.action == "retrain"


def test_at_the_end_of_the_calendar_there_is_nothing_to_train_as_of():
    decision = decide(seen("xxx", first=9))
    assert decision.action == "skip"
    assert decision.reason.startswith("the calendar ends with this window")


MARKS = st.text("x.?", min_size=1, max_size=9)
POLICIES = st.integers(1, 4).flatmap(
    lambda windows: st.builds(
        RetrainingPolicy,
        st.sampled_from(["enabled", "dry_run"]),
        windows=st.just(windows),
        violated=st.integers(1, windows),
        cooldown=st.integers(0, 4),
    )
)


@settings(deadline=None)
@given(marks=MARKS, policy=POLICIES, data=st.data())
def test_asking_about_the_same_window_again_gives_the_same_answer(marks, policy, data):
    windows = seen(marks)
    earlier = data.draw(st.sets(st.integers(0, len(marks)), max_size=3))
    asked = [(KEYS[n], KEYS[n + 1]) for n in sorted(earlier)]
    first = decide(windows, policy, asked=tuple(asked))
    if first.action == "retrain":
        asked.append((first.window, first.as_of))
    assert decide(windows, policy, asked=tuple(asked)) == first
    assert decide(list(reversed(windows)), policy, asked=tuple(reversed(asked))) == first


@settings(deadline=None)
@given(marks=MARKS, policy=POLICIES)
def test_requests_of_one_champion_are_never_closer_than_the_cooldown(marks, policy):
    asked: list[tuple[str, str]] = []
    for week in range(1, len(marks) + 1):
        decision = decide(seen(marks[:week]), policy, asked=tuple(asked))
        if decision.action == "retrain":
            asked.append((decision.window, decision.as_of))
    moments = [KEYS.index(key) for key in (CHAMPION.train_as_of, *(as_of for _, as_of in asked))]
    assert all(b - a >= policy.cooldown for a, b in pairwise(moments))


@settings(deadline=None)
@given(marks=MARKS, policy=POLICIES)
def test_a_retraining_rests_on_as_many_drifted_windows_as_the_policy_asks(marks, policy):
    decision = decide(seen(marks), policy)
    last = marks[-policy.windows :]
    drifted = last.count("x") >= policy.violated and last.endswith("x")
    waited = len(marks) >= policy.cooldown  # trained as of the first window
    would = decision.as_of is not None
    assert would == (drifted and waited)
    assert decision.action == ("retrain" if would and policy.mode == "enabled" else "skip")


@pytest.mark.parametrize(("windows", "violated"), [(3, 0), (3, 4), (1, 2)])
def test_more_violated_windows_than_windows_or_none_are_refused(windows, violated):
    with pytest.raises(ValueError, match=f"between 1 and windows, got {violated} of {windows}"):
        RetrainingPolicy(windows=windows, violated=violated)


def test_a_negative_cooldown_is_refused():
    with pytest.raises(ValueError, match="cooldown must not be negative, got -1"):
        RetrainingPolicy(cooldown=-1)
