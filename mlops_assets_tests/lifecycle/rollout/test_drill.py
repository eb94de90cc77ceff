"""Drills judged: in time, and without a lost request."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_assets.lifecycle.rollout.drill import RollbackDrill, judge_drill

DRILLS = st.lists(
    st.builds(
        RollbackDrill,
        seconds=st.floats(0, 100),
        requests=st.integers(1, 1000),
        failed=st.integers(0, 2),
    ),
    min_size=1,
)


@given(DRILLS, st.floats(0.01, 100))
def test_drills_pass_exactly_when_each_was_in_time_and_lost_nothing(drills, limit):
    verdict = judge_drill(drills, limit)
    sound = all(drill.seconds <= limit and drill.failed == 0 for drill in drills)
    assert verdict.outcome == ("passed" if sound else "failed")
    assert verdict.name == "rolls_back_in_time"


@given(DRILLS, st.floats(0.01, 100))
def test_one_more_drill_never_mends_a_verdict(drills, limit):
    if judge_drill(drills[:-1] or drills, limit).outcome == "failed":
        assert judge_drill(drills, limit).outcome == "failed"


def test_no_drill_is_no_proof():
    assert judge_drill([], 1.0).outcome == "inconclusive"


def test_the_verdict_says_what_was_seen_and_allowed():
    verdict = judge_drill([RollbackDrill(0.25, 40, 0), RollbackDrill(0.75, 60, 1)], 1.0)
    assert verdict.reason == "0.75 s of at most 1 s, 1 of 100 requests failed"
    assert verdict.evidence == {
        "seconds": 0.75,
        "limit_seconds": 1.0,
        "requests": 100,
        "failed": 1,
    }


@pytest.mark.parametrize("seconds", [math.inf, math.nan])
def test_a_drill_that_was_never_through_fails(seconds):
    assert judge_drill([RollbackDrill(seconds, 10, 0)], 1.0).outcome == "failed"
