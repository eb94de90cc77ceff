"""Retraining: asked for by what persists, once per episode, not too soon, not too often."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_assets.lifecycle.calendar import Calendar
from mlops_assets.lifecycle.retraining.decision import (
    RetrainingDecision,
    count_budget_left,
    decide_retraining,
)
from mlops_assets.lifecycle.retraining.history import Ask, RetrainingHistory
from mlops_assets.lifecycle.retraining.policy import (
    PerformanceTrigger,
    RetrainingBudget,
    RetrainingPolicy,
    Triggers,
)
from mlops_assets.lifecycle.retraining.window import MonitoredWindow
from mlops_assets.lifecycle.rollout.state import Champion

CALENDAR = Calendar(date(2013, 1, 7), date(2013, 6, 24))
KEYS = CALENDAR.keys  # 24 weeks
CHAMPION = Champion("v3", "digest", train_as_of=KEYS[2])
ENABLED = RetrainingPolicy("enabled", windows=3, violated=2, cooldown=2)
OUTCOMES = {"x": "failed", ".": "passed", "?": "inconclusive", "b": "failed"}
BOTH = Triggers(performance=PerformanceTrigger())
WORSE = Triggers(drift=False, performance=PerformanceTrigger())


def seen(
    marks: str, *, first: int = 2, version: str = "v3", worse: str = ""
) -> list[MonitoredWindow]:
    """One window a week: ``x`` drifted, ``.`` did not, ``?`` could not be judged, ``b`` drifted by
    a bug in the data. ``worse``: the same for performance, by default nothing is known of it."""
    judged = worse or "?" * len(marks)
    return [
        MonitoredWindow(
            KEYS[first + n],
            version,
            OUTCOMES[mark],
            f"reason {n}",
            "data_bug" if mark == "b" else "nothing",
            OUTCOMES[judged[n]],
            f"performance {n}",
        )
        for n, mark in enumerate(marks)
    ]


def ask(week: int, **more: Any) -> Ask:
    """What was asked for with that week as the newest window, against the champion."""
    return Ask(KEYS[week], KEYS[week + 1], **{"version": "v3", "fate": "not trained yet"} | more)


def by_hand(week: int | None, as_of: int, **more: str) -> Ask:
    said = {"version": "v3", "episode": "by hand 1", "by": "the desk", "reason": "new routes"}
    return Ask(KEYS[week] if week else None, KEYS[as_of], "by_hand", **said | more)


def decide(
    windows: list[MonitoredWindow],
    policy: RetrainingPolicy = ENABLED,
    champion: Champion | None = CHAMPION,
    asked: tuple[Ask, ...] = (),
    **more,
) -> RetrainingDecision:
    return decide_retraining(RetrainingHistory(champion, windows, asked, **more), CALENDAR, policy)


class TestPersistence:
    @pytest.mark.parametrize(
        ("marks", "said"),
        [
            (".xx", None),
            ("x.x", None),
            ("xxx", None),
            ("xx", None),
            ("?xx", None),
            ("xbx", None),
            ("xx.", "the newest window 2013-02-04 did not drift"),
            ("xx?", "the newest window 2013-02-04 could not be judged"),
            ("xxb", "the newest window 2013-02-04 has a bug in its data: paged, not retrained"),
            ("...", "the newest window 2013-02-04 did not drift"),
            ("..x", "too few windows drifted"),
            ("xx..x", "too few windows drifted"),
            (".?x", "too few windows drifted"),
            ("bbx", "too few windows drifted"),
            ("x", "too few windows drifted"),
        ],
    )
    def test_enough_of_the_last_windows_and_the_newest_among_them_must_have_drifted(
        self, marks, said
    ):
        decision = decide(seen(marks))
        assert decision.action == ("skip" if said else "retrain")
        assert decision.window == KEYS[1 + len(marks)]
        assert said is None or decision.reason.startswith(said)

    def test_a_retraining_is_asked_for_as_of_the_partition_after_the_newest_window(self):
        decision = decide(seen(".xx"))
        assert (decision.window, decision.as_of) == (KEYS[4], KEYS[5])
        assert (decision.trigger, decision.episode) == ("drift", f"v3/{KEYS[3]}")
        assert decision.reason == (
            "2 of the last 3 windows drifted from v3 (2 of 3 are needed); "
            "newest 2013-02-04: reason 2"
        )

    def test_windows_left_out_for_a_bug_are_named(self):
        assert "not counting data bugs in 2013-01-28" in decide(seen("xbx")).reason

    @pytest.mark.parametrize(
        ("worse", "said"),
        [
            ("xx", None),
            (".x?x??", None),  # labels are late: the newest that can be judged counts
            ("x.", "the newest window 2013-01-28 was as good as the test"),
            (".x", "too few windows were worse"),
            ("??", "no window with enough labels against v3 yet"),
        ],
    )
    def test_windows_that_were_worse_than_the_test_ask_the_same_way(self, worse, said):
        policy = RetrainingPolicy("enabled", WORSE, cooldown=0)
        decision = decide(seen("." * len(worse), worse=worse), policy)
        assert decision.action == ("skip" if said else "retrain")
        assert decision.trigger == (None if said else "performance")
        assert said is None or decision.reason.startswith(said)
        assert decision.as_of in (None, KEYS[2 + len(worse)])

    def test_windows_with_a_bug_in_their_data_are_not_worse_either(self):
        policy = RetrainingPolicy("enabled", WORSE, cooldown=0)
        assert decide(seen("bb", worse="xx"), policy).action == "skip"

    def test_what_drifted_and_what_was_worse_are_counted_apart(self):
        policy = RetrainingPolicy("enabled", BOTH, windows=2, violated=2, cooldown=0)
        assert decide(seen("x.", worse=".x"), policy).action == "skip"


class TestModes:
    @pytest.mark.parametrize("mode", ["disabled", "dry_run"])
    def test_only_an_enabled_policy_retrains(self, mode):
        assert decide(seen("xxx"), RetrainingPolicy(mode)).action == "skip"

    def test_a_dry_run_says_what_it_would_do(self):
        decision = decide(seen(".xx"), RetrainingPolicy("dry_run"))
        assert decision.reason.startswith("dry run, would retrain as of 2013-02-11: 2 of the last")
        assert (decision.window, decision.as_of, decision.trigger) == (KEYS[4], KEYS[5], "drift")
        assert decision.ask is None
        assert decide(seen("..."), RetrainingPolicy("dry_run")).reason == decide(seen("...")).reason

    def test_a_disabled_policy_is_silent(self):
        decision = decide(seen("xxx"), RetrainingPolicy())
        assert decision == RetrainingDecision("skip", "retraining is disabled", KEYS[4])

    def test_without_a_champion_there_is_nothing_to_retrain(self):
        decision = decide(seen("xxx"), champion=None)
        assert (decision.action, decision.reason) == (
            "skip",
            "there is no champion to compare with",
        )

    @pytest.mark.parametrize("windows", [[], seen("xxx", version="v2")])
    def test_without_a_report_against_the_champion_there_is_nothing_to_go_by(self, windows):
        assert decide(windows).reason == "no drift report against v3 yet"

    def test_given_all_triggers_off_then_only_a_person_asks(self):
        off = RetrainingPolicy("enabled", Triggers(drift=False))
        assert decide(seen("xxx"), off).reason.startswith("only a person asks")
        assert decide(seen("xxx"), off, asked=(by_hand(4, 5),)).action == "retrain"

    def test_at_the_end_of_the_calendar_there_is_nothing_to_train_as_of(self):
        decision = decide(seen("xxx", first=21))
        assert decision.action == "skip"
        assert decision.reason.startswith("the calendar ends with this window")

    def test_each_trigger_says_a_sentence(self):
        said = decide(seen("..x")).considered
        assert [sentence.split(": ")[0] for sentence in said] == [
            "by hand",
            "performance",
            "drift",
            "new data",
            "schedule",
        ]
        assert said[0] == "by hand: nobody asked"
        assert said[1] == "performance: off in defs.yaml"


class TestVersions:
    def test_windows_that_other_versions_answered_before_are_ignored(self):
        before = seen("xxx", first=2, version="v2")
        assert decide(before + seen(".x", first=5)).action == "skip"
        assert decide(before + seen("xx", first=5)) == decide(seen("xx", first=5))

    def test_windows_from_before_its_training_that_were_monitored_again_are_ignored(self):
        young = Champion("v3", "digest", train_as_of=KEYS[5])
        eager = replace(ENABLED, cooldown=0)
        assert decide(seen("xxx"), eager, young).reason == "no drift report against v3 yet"
        assert decide(seen("xxx.x"), eager, young).reason.startswith("too few windows drifted")

    def test_going_back_to_a_version_begins_anew(self):
        between = seen("xx", first=3) + seen("..", first=5, version="v4")
        assert decide(between).reason == "no drift report against v3 yet"
        assert decide(between + seen("x", first=7)).reason.startswith("too few windows drifted")

    def test_the_decision_names_the_champion_it_would_replace(self):
        assert decide(seen("xxx")).version == "v3"
        assert decide(seen("xxx")).ask == Ask(KEYS[4], KEYS[5], "drift", "v3", f"v3/{KEYS[2]}")


class TestCooldownAndBudget:
    @pytest.mark.parametrize(("trained", "action"), [(2, "retrain"), (3, "retrain"), (4, "skip")])
    def test_the_cooldown_counts_partitions_since_the_champion_was_trained(self, trained, action):
        champion = Champion("v3", "digest", train_as_of=KEYS[trained])
        eager = replace(ENABLED, violated=1)
        decision = decide(seen("xxx"), eager, champion)  # as of KEYS[5]
        assert decision.action == action
        if action == "skip":
            assert decision.reason.startswith(
                f"trained or asked for {5 - trained} partition(s) ago, the cooldown is 2"
            )

    @pytest.mark.parametrize(("week", "action"), [(2, "retrain"), (3, "skip")])
    def test_an_earlier_request_starts_the_cooldown_too(self, week, action):
        assert decide(seen("xxx"), asked=(ask(week, version="v2"),)).action == action

    @pytest.mark.parametrize(
        ("budget", "action"),
        [
            (RetrainingBudget(1, 52), "skip"),
            (RetrainingBudget(2, 52), "retrain"),
            (RetrainingBudget(1, 5), "retrain"),  # the one before lies 5 partitions back
            (RetrainingBudget(1, 6), "skip"),
        ],
    )
    def test_at_most_so_many_in_so_many_partitions(self, budget, action):
        policy = RetrainingPolicy("enabled", cooldown=0, budget=budget)
        decision = decide(seen("xx", first=6), policy, asked=(ask(2, version="v2"),))  # as of 8, 3
        assert decision.action == action
        if action == "skip":
            assert decision.reason.startswith("the budget of 1 retraining(s) in ")

    def test_the_budget_left_is_what_was_not_asked_for(self):
        policy = RetrainingPolicy("enabled", budget=RetrainingBudget(3, 10))
        asked = (ask(2), ask(5), by_hand(3, 4))
        history = RetrainingHistory(CHAMPION, seen("." * 10), asked)
        assert count_budget_left(history, CALENDAR, policy, KEYS[12]) == 1
        assert count_budget_left(history, CALENDAR, policy, KEYS[13]) == 2
        assert count_budget_left(RetrainingHistory(CHAMPION), CALENDAR, policy, KEYS[12]) == 3


class TestEpisodes:
    EAGER = RetrainingPolicy("enabled", windows=1, violated=1, cooldown=0)

    @pytest.mark.parametrize("marks", ["xxxx", "xx?x", "xxbx", "xxxxxxxxxxxx"])
    def test_one_episode_is_asked_for_once(self, marks):
        decision = decide(seen(marks), self.EAGER, asked=(ask(3),))
        assert decision.action == "skip"
        assert decision.reason.startswith(
            f"asked for already in {KEYS[3]} by drift, as of {KEYS[4]}: not trained yet; one "
            f"retraining for the episode that began in {KEYS[2]}, ask by hand for another"
        )

    def test_what_was_withdrawn_answers_nothing_and_starts_the_cooldown(self):
        asked = (replace(ask(3), withdrawn=True),)
        assert decide(seen("xxx"), self.EAGER, asked=asked).action == "retrain"
        said = decide(seen("xxx"), replace(self.EAGER, cooldown=2), asked=asked).reason
        assert said.startswith("trained or asked for 1 partition(s) ago, the cooldown is 2")

    def test_what_became_of_it_is_said(self):
        refused = ask(3, fate="refused by its gates: auc 0.5 is below 0.6")
        said = decide(seen("xxxx"), self.EAGER, asked=(refused,)).reason
        assert "as of 2013-02-04: refused by its gates: auc 0.5 is below 0.6; " in said

    def test_a_window_that_is_fine_ends_it(self):
        decision = decide(seen("xx.x"), self.EAGER, asked=(ask(3),))
        assert (decision.action, decision.episode) == ("retrain", f"v3/{KEYS[5]}")

    def test_a_new_champion_ends_it(self):
        windows = seen("xx") + seen("x", first=4, version="v4")
        champion = Champion("v4", "digest", KEYS[4])
        assert decide(windows, self.EAGER, champion, (ask(3),)).action == "retrain"

    def test_an_episode_keeps_its_name_from_week_to_week(self):
        names = {decide(seen("x" * weeks), self.EAGER).episode for weeks in range(1, 6)}
        assert names == {f"v3/{KEYS[2]}"}

    def test_labels_that_come_late_do_not_make_a_second_episode(self):
        policy = RetrainingPolicy("enabled", WORSE, windows=1, violated=1, cooldown=0)
        assert decide(seen("...", worse="?x?"), policy).episode == f"v3/{KEYS[3]}"
        asked = (ask(4, trigger="performance"),)
        assert decide(seen("....", worse="xx??"), policy, asked=asked).action == "skip"
        assert decide(seen("....", worse="xxxx"), policy, asked=asked).action == "skip"
        assert decide(seen("....", worse="xx.x"), policy, asked=asked).action == "retrain"
        assert decide(seen(".....", worse="xxx.x"), policy, asked=asked).action == "retrain"

    @pytest.mark.parametrize("marks", ["xxxx", "x.xx", "?xxx"])
    def test_what_is_learned_late_does_not_rename_what_was_asked_for_in_this_window(self, marks):
        told = ask(5, trigger="schedule", episode="v3/since 2013-01-21")
        found = decide(seen(marks), asked=(told,))
        assert (found.action, found.trigger, found.episode) == ("retrain", "schedule", told.episode)
        assert found.as_of == told.as_of

    def test_drift_that_turns_into_bad_answers_is_the_same_episode(self):
        policy = RetrainingPolicy("enabled", BOTH, windows=1, violated=1, cooldown=0)
        decision = decide(seen("xx..", worse="??xx"), policy, asked=(ask(2),))
        assert decision.action == "skip"
        assert "performance: asked for already in 2013-01-21 by drift" in decision.reason


class TestScheduleAndNewData:
    @pytest.mark.parametrize(("weeks", "action"), [(3, "skip"), (4, "retrain"), (7, "retrain")])
    def test_so_many_partitions_after_the_last_training(self, weeks, action):
        policy = RetrainingPolicy("enabled", Triggers(drift=False, every=4))
        decision = decide(seen("." * weeks), policy)  # as of KEYS[2 + weeks]
        assert decision.action == action
        assert decision.reason.startswith(
            f"{weeks} partition(s) since the training as of {KEYS[2]}, one is due every 4"
        )

    @pytest.mark.parametrize("every", [22, 23])
    def test_at_the_calendars_end_the_partitions_are_counted_all_the_same(self, every):
        policy = RetrainingPolicy("enabled", Triggers(drift=False, every=every))
        said = decide(seen("." * 22), policy).reason
        assert said.startswith("the calendar ends with this window; " if every == 22 else "22 part")
        assert f"22 partition(s) since the training as of {KEYS[2]}, one is due every" in said

    def test_a_training_that_was_asked_for_counts_as_the_last(self):
        policy = RetrainingPolicy("enabled", Triggers(drift=False, every=4))
        asked = (ask(5, trigger="schedule"),)
        assert decide(seen("." * 6), policy, asked=asked).action == "skip"
        again = decide(seen("." * 8), policy, asked=asked)
        assert (again.action, again.episode) == ("retrain", f"v3/since {KEYS[6]}")

    def test_one_that_was_refused_makes_no_champion_younger_and_is_asked_again_after_the_cooldown(
        self,
    ):
        policy = RetrainingPolicy("enabled", Triggers(drift=False, every=4), cooldown=2)
        refused = (ask(5, trigger="schedule", ended=True),)
        assert "the cooldown is 2" in decide(seen("." * 5), policy, asked=refused).reason
        again = decide(seen("." * 6), policy, asked=refused)
        assert (again.action, again.episode) == ("retrain", f"v3/since {KEYS[6]}")
        assert f"since the training as of {KEYS[2]}, one is due every 4" in again.reason

    def test_the_schedule_needs_no_report_against_the_champion(self):
        policy = RetrainingPolicy("enabled", Triggers(every=4))
        decision = decide(seen("....", version="v2"), policy)
        assert (decision.action, decision.trigger) == ("retrain", "schedule")

    @pytest.mark.parametrize(("needed", "action"), [(700, "retrain"), (701, "skip")])
    def test_so_many_labelled_rows_since_the_last_training(self, needed, action):
        policy = RetrainingPolicy("enabled", Triggers(drift=False, new_rows=needed))
        rows = {KEYS[1]: 5_000, KEYS[2]: 300, KEYS[3]: 400}
        decision = decide(seen("..."), policy, labelled=rows)
        assert decision.action == action
        assert decision.reason.startswith(f"700 labelled rows since the training as of {KEYS[2]}")

    def test_within_an_episode_that_was_answered_the_schedule_may_still_ask(self):
        policy = RetrainingPolicy("enabled", Triggers(every=4), windows=1, violated=1)
        decision = decide(seen("x" * 6), policy, asked=(ask(3),))  # 4 since the one as of 4
        assert (decision.action, decision.trigger) == ("retrain", "schedule")

    def test_several_triggers_that_do_not_ask_are_said_by_name(self):
        policy = RetrainingPolicy("enabled", Triggers(every=4))
        assert decide(seen("."), policy).reason.startswith("drift: the newest window 2013-01-21 ")
        assert "; schedule: 1 partition(s) since" in decide(seen("."), policy).reason


class TestByHand:
    def test_a_person_passes_cooldown_budget_and_episode(self):
        policy = RetrainingPolicy("enabled", cooldown=9, budget=RetrainingBudget(1, 52))
        decision = decide(seen("xxx"), policy, asked=(ask(3), by_hand(4, 5)))
        assert (decision.action, decision.trigger, decision.as_of) == (
            "retrain",
            "by_hand",
            KEYS[5],
        )
        assert (decision.reason, decision.episode) == ("the desk asked: new routes", "by hand 1")

    def test_once_the_next_window_is_there_the_request_is_past(self):
        assert decide(seen("...."), asked=(by_hand(4, 5),)).action == "skip"

    def test_a_person_starts_the_cooldown(self):
        one = RetrainingPolicy("enabled", windows=1, violated=1)
        decision = decide(seen("...x"), one, asked=(by_hand(4, 5),))  # as of KEYS[6]
        assert decision.reason.startswith("trained or asked for 1 partition(s) ago")

    def test_what_a_person_asked_for_as_of_much_later_holds_up_nothing_before(self):
        asked = (by_hand(3, 20),)
        assert decide(seen("...xx"), asked=asked).action == "retrain"
        every = RetrainingPolicy("enabled", Triggers(drift=False, every=4))
        assert decide(seen("...."), every, asked=asked).trigger == "schedule"

    def test_what_a_person_asked_for_answers_the_episode(self):
        decision = decide(seen("xxxx"), asked=(by_hand(4, 5),))
        assert decision.reason.startswith(
            "asked for already in 2013-02-04 by a person, as of 2013-02-11: what became of it is "
        )

    def test_the_last_of_several_requests_counts(self):
        asked = (by_hand(4, 5), by_hand(4, 4, episode="by hand 2"))
        assert decide(seen("..."), asked=asked).episode == "by hand 2"

    def test_a_person_asks_before_anything_serves_or_is_monitored(self):
        decision = decide([], champion=None, asked=(by_hand(None, 5),))
        assert (decision.action, decision.as_of, decision.window) == ("retrain", KEYS[5], None)

    def test_a_dry_run_acts_for_nobody(self):
        decision = decide(seen("..."), RetrainingPolicy("dry_run"), asked=(by_hand(4, 5),))
        assert decision.action == "skip"
        assert (
            decision.reason == "dry run, would retrain as of 2013-02-11: the desk asked: new routes"
        )


MARKS = st.text("x.?b", min_size=1, max_size=20)
TRIGGERS = st.builds(
    Triggers,
    drift=st.booleans(),
    performance=st.sampled_from([None, PerformanceTrigger()]),
    every=st.sampled_from([None, 1, 3, 6]),
    new_rows=st.sampled_from([None, 1, 250, 1000]),
)
POLICIES = st.integers(1, 4).flatmap(
    lambda windows: st.builds(
        RetrainingPolicy,
        st.sampled_from(["enabled", "dry_run"]),
        TRIGGERS,
        windows=st.just(windows),
        violated=st.integers(1, windows),
        cooldown=st.integers(0, 4),
        budget=st.builds(RetrainingBudget, st.integers(1, 4), st.integers(1, 20)),
    )
)


def live_through(windows, policy, hands=frozenset()) -> list[RetrainingDecision]:
    """Each week's decision; persons ask in the weeks ``hands``; nothing comes to serve."""
    asked: list[Ask] = []
    decisions = []
    rows = {window.partition: 100 for window in windows}
    for weeks in range(1, len(windows) + 1):
        newest = windows[weeks - 1].partition
        if weeks in hands:
            as_of = CALENDAR.next(newest) or newest
            asked.append(Ask(newest, as_of, "by_hand", "v3", f"by hand {weeks}"))
        now = {key: count for key, count in rows.items() if key <= newest}
        decision = decide(windows[:weeks], policy, asked=tuple(asked), labelled=now)
        decisions.append(decision)
        if decision.ask and decision.trigger != "by_hand":
            asked.append(decision.ask)
    return decisions


@st.composite
def lives(draw):
    marks = draw(MARKS)
    worse = draw(st.text("x.?", min_size=len(marks), max_size=len(marks)))
    hands = draw(st.frozensets(st.integers(1, len(marks)), max_size=3))
    policy = draw(POLICIES)
    windows = seen(marks, worse=worse)
    return windows, policy, live_through(windows, policy, hands)


@given(lives())
def test_no_two_retrainings_are_asked_for_in_one_episode(life):
    windows, policy, decisions = life
    asks = [n for n, decision in enumerate(decisions) if decision.action == "retrain"]
    signals = ["drift"] * policy.triggers.drift
    signals += ["performance"] * (policy.triggers.performance is not None)
    for week in asks:
        trigger = decisions[week].trigger
        if trigger not in signals:
            continue
        for before in (n for n in asks if n < week):
            told = [w for w in windows[: week + 1] if w.cause != "data_bug"]
            bad = [w.partition for w in told if "failed" in {getattr(w, s) for s in signals}]
            fine = [
                w.partition
                for w in told
                if getattr(w, trigger) == "passed" and w.partition not in bad
            ]
            began = [key for key in bad if key > max(fine, default="")]
            assert min(began) > windows[before].partition, "asked for in the same episode"


@given(lives())
def test_no_retraining_but_a_persons_is_closer_to_the_last_than_the_cooldown(life):
    _, policy, decisions = life
    asks = [d for d in decisions if d.action == "retrain"]
    moments = [(KEYS.index(CHAMPION.train_as_of), None)]
    moments += [(KEYS.index(d.as_of), d.trigger) for d in asks]
    for (before, _), (after, trigger) in pairwise(moments):
        assert trigger == "by_hand" or after - before >= policy.cooldown


@given(lives())
def test_no_stretch_of_partitions_holds_more_retrainings_than_the_budget(life):
    _, policy, decisions = life
    asked = {
        KEYS.index(d.as_of) for d in decisions if d.action == "retrain" and d.trigger != "by_hand"
    }
    for start in range(len(KEYS)):
        stretch = range(start, start + policy.budget.partitions)
        assert len(asked & set(stretch)) <= policy.budget.retrainings


@given(marks=MARKS, policy=POLICIES)
def test_a_window_with_a_bug_counts_as_one_that_nobody_could_judge(marks, policy):
    bugs = [(d.action, d.trigger, d.episode) for d in live_through(seen(marks), policy)]
    unknown = live_through(seen(marks.replace("b", "?")), policy)
    assert bugs == [(d.action, d.trigger, d.episode) for d in unknown]


@given(lives(), st.data())
def test_asking_about_the_same_window_again_gives_the_same_answer(life, data):
    windows, policy, decisions = life
    weeks = data.draw(st.integers(1, len(windows)))
    past = tuple(d.ask for d in decisions[: weeks - 1] if d.ask)
    first = decide(windows[:weeks], policy, asked=past)
    after = (*past, first.ask) if first.ask else past
    assert decide(windows[:weeks], policy, asked=after) == first
    shuffled = data.draw(st.permutations(windows[:weeks]))
    assert decide(shuffled, policy, asked=after) == first


@given(marks=MARKS, policy=POLICIES, hand=st.booleans())
def test_a_dry_run_never_acts(marks, policy, hand):
    dry = replace(policy, mode="dry_run")
    hands = frozenset({1}) if hand else frozenset()
    assert {d.action for d in live_through(seen(marks), dry, hands)} == {"skip"}


@given(marks=MARKS, policy=POLICIES)
def test_a_retraining_by_drift_rests_on_as_many_drifted_windows_as_the_policy_asks(marks, policy):
    for decision in live_through(seen(marks), policy):
        if decision.trigger == "drift":
            end = KEYS.index(decision.window) - 1
            last = marks[max(end - policy.windows, 0) : end]
            assert last.count("x") >= policy.violated
            assert last.endswith("x")
