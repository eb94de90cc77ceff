"""What is ingested when: what is missing, what looked back on it, and what has to wait."""

from __future__ import annotations

from datetime import date, timedelta
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlops_assets.lifecycle.calendar import Calendar
from mlops_assets.lifecycle.ingestion import find_due, plan_ingestion

WEEKS = Calendar(date(2013, 1, 7), date(2013, 7, 8))
KEYS = WEEKS.keys
END = WEEKS.finish(KEYS[-1])
ALL = dict.fromkeys(KEYS, 1)


def due(built: dict[str, int], inputs: dict[str, int], lookback: int = 2) -> tuple[int, ...]:
    found = find_due(WEEKS, END, lookback, built, inputs)
    return tuple(KEYS.index(key) for key in found)


def ranges(wanted: list[int], closed: list[int] | None = None, lookback: int = 2, changing=KEYS):
    refused = {KEYS[place]: "broken" for place in closed or ()}
    keys = [KEYS[place] for place in sorted({*wanted, *(closed or ())})]
    plan = plan_ingestion(WEEKS, END, lookback, keys, changing, refused)
    return (
        [(KEYS.index(first), KEYS.index(last)) for first, last in plan.ranges],
        [KEYS.index(key) for key in plan.later],
    )


def test_what_has_no_features_is_due_once_it_has_ended():
    begun = WEEKS.begin(KEYS[4])
    assert find_due(WEEKS, begun, 2, {KEYS[0]: 1, KEYS[2]: 1}, {}) == (KEYS[1], KEYS[3])
    assert find_due(WEEKS, begun - timedelta(microseconds=1), 2, {}, {}) == KEYS[:3]


def test_what_looked_back_on_something_newer_is_due_and_nothing_else():
    inputs = ALL | {KEYS[10]: 5}
    assert due(ALL, inputs) == (10, 11, 12)
    assert due(ALL | {KEYS[10]: 6, KEYS[11]: 6, KEYS[12]: 6}, inputs) == ()


def test_what_was_made_in_one_run_is_not_due():
    assert due(dict.fromkeys(KEYS, 9), dict.fromkeys(KEYS, 8)) == ()


@pytest.mark.parametrize(
    ("wanted", "closed", "expected", "later"),
    [
        ([], [], [], []),
        ([25], [], [(25, 25)], []),
        ([3], [], [(3, 5)], []),  # late: with those that look back on it
        ([3, 4, 5], [], [(3, 7)], []),
        ([3, 5], [], [(3, 7)], []),  # near each other: one run
        ([3, 20], [], [(3, 5), (20, 22)], []),  # far apart: two that do not touch
        ([24, 25], [24], [(25, 25)], []),  # one that is broken costs itself alone
        ([3], [4], [(3, 3)], []),
        ([3, 5], [4], [(3, 3)], [5]),  # what looks back on the first range waits
        ([3, 6], [4], [(3, 3), (6, 8)], []),
        (list(range(26)), [20], [(0, 19)], [21, 22, 23, 24, 25]),
    ],
)
def test_ranges_hold_what_is_due_and_what_looks_back_on_it(wanted, closed, expected, later):
    good = [place for place in wanted if place not in closed]
    assert ranges(good, closed) == (expected, later)


def test_nothing_is_built_again_behind_weeks_whose_own_rows_stay_as_they_are():
    assert ranges([10, 11, 12], changing=()) == ([(10, 12)], [])
    assert ranges([10, 11, 12], changing=(KEYS[10],)) == ([(10, 12)], [])
    assert ranges([10, 11, 12], changing=(KEYS[11],)) == ([(10, 13)], [])


PLACES = st.sets(st.integers(0, len(KEYS) - 1))


@settings(max_examples=150)
@given(wanted=PLACES, closed=PLACES, lookback=st.integers(0, 6))
def test_ranges_never_meet_what_is_refused_nor_each_other_and_nothing_is_forgotten(
    wanted, closed, lookback
):
    found, later = ranges(sorted(wanted - closed), sorted(closed), lookback)
    covered = {place for first, last in found for place in range(first, last + 1)}
    assert not covered & closed
    assert wanted - closed <= covered | set(later)
    assert not covered & set(later)
    for (_, last), (first, _) in pairwise(found):
        assert first > last
    for place in wanted - closed - set(later):
        followers = range(place, min(place + lookback + 1, len(KEYS)))
        wall = min((other for other in closed if other > place), default=len(KEYS))
        assert {other for other in followers if other < wall} <= covered


@settings(max_examples=80)
@given(wanted=PLACES, closed=PLACES, lookback=st.integers(0, 6))
def test_asked_again_until_nothing_is_left_every_good_partition_comes_in(wanted, closed, lookback):
    left = wanted - closed
    for _ in range(len(KEYS) + 1):
        if not left:
            break
        found, _ = ranges(sorted(left), sorted(closed), lookback)
        assert found
        left -= {place for first, last in found for place in range(first, last + 1)}
    assert not left


@settings(max_examples=80)
@given(wanted=PLACES, closed=PLACES, lookback=st.integers(0, 6))
def test_no_range_looks_back_on_due_rows_of_another_that_runs_beside_it(wanted, closed, lookback):
    good = wanted - closed
    found, _ = ranges(sorted(good), sorted(closed), lookback)
    for first, last in found:
        seen = {place for begin, _ in [(first, last)] for place in range(begin - lookback, begin)}
        beside = {
            place
            for begin, end in found
            if (begin, end) != (first, last)
            for place in range(begin, end + 1)
        }
        assert not seen & beside & good


def test_those_refused_are_told_with_what_is_wrong():
    plan = plan_ingestion(WEEKS, END, 2, KEYS[:2], KEYS, {KEYS[0]: "no file"})
    assert dict(plan.refused) == {KEYS[0]: "no file"}
    assert plan.ranges == ((KEYS[1], KEYS[3]),)
