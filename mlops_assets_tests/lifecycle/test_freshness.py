"""When something is overdue."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_assets.lifecycle.freshness import FreshnessLimit, FreshnessPolicy, find_staleness

NOW = datetime(2013, 6, 5, 12, tzinfo=UTC)
WEEK = timedelta(days=7)


@pytest.mark.parametrize(
    ("age", "stale"),
    [(timedelta(0), False), (WEEK - timedelta(seconds=1), False), (WEEK, True), (2 * WEEK, True)],
)
def test_stale_from_the_limit_on(age, stale):
    assert bool(find_staleness(NOW - age, WEEK, NOW)) is stale


def test_what_was_never_made_is_not_stale():
    assert find_staleness(None, WEEK, NOW) is None


def test_it_is_stale_since_the_limit_passed_and_says_both_durations():
    found = find_staleness(NOW - timedelta(days=9), WEEK, NOW)
    assert found.since == NOW - timedelta(days=2)
    assert found.describe() == "last made 216 hours ago, at most 168 hours are expected"


def test_short_durations_are_told_in_minutes():
    found = find_staleness(NOW - timedelta(minutes=90), timedelta(minutes=30), NOW)
    assert found.describe() == "last made 90 minutes ago, at most 30 minutes are expected"


@given(
    made=st.integers(-(10**6), 10**6),
    limit=st.integers(1, 10**6),
    looks=st.lists(st.integers(0, 10**6), min_size=2),
)
def test_how_long_it_is_stale_never_changes_since_when(made, limit, looks):
    at = NOW + timedelta(seconds=made)
    found = [
        find_staleness(at, timedelta(seconds=limit), at + timedelta(seconds=limit + look))
        for look in looks
    ]
    assert {staleness.since for staleness in found} == {at + timedelta(seconds=limit)}


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"hours": 0}, "hours must be at least a minute, got 0 hours"),
        ({"hours": -1}, "hours must be at least a minute"),
        ({"hours": 0.01}, "hours must be at least a minute"),
        ({"hours": float("nan")}, "hours must be at least a minute"),
        ({"hours": float("inf")}, "hours must be at most 1000000, got inf; or leave it out"),
        ({"hours": 1e12}, "hours must be at most 1000000"),
        ({"hours": 24, "warn_hours": 0}, "warn_hours must be at least a minute"),
        ({"hours": 24, "warn_hours": 24}, "warn_hours must be below hours, got 24 and 24"),
    ],
)
def test_an_impossible_limit_is_refused(values, said):
    with pytest.raises(ValueError, match=said):
        FreshnessLimit(**values)


def test_unless_told_otherwise_nothing_has_a_limit():
    assert FreshnessPolicy() == FreshnessPolicy(data=None, model=None, monitoring=None)
