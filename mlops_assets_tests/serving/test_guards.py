"""The rule by which the endpoint cuts a version off."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_assets.serving.answering.guards import Guard, GuardPolicy, judge_attempts

POLICY = GuardPolicy()


def cut_after(attempts: list[bool]) -> int | None:
    """How many attempts a version got before it was cut off."""
    guard = Guard()
    for count, answered in enumerate(attempts, start=1):
        if guard.record("delays", "d", answered=answered):
            return count
    return None


def cut_after_by_the_book(attempts: list[bool]) -> int | None:
    """The same, by looking at every stretch from the start each time."""
    for count in range(1, len(attempts) + 1):
        seen = "".join("." if answered else "x" for answered in attempts[:count])
        if seen.endswith("x") and (seen.endswith("xxxxx") or seen[-20:].count("x") >= 10):
            return count
    return None


@given(st.lists(st.booleans(), max_size=80))
def test_a_version_is_cut_off_after_5_in_a_row_or_10_of_20(attempts: list[bool]) -> None:
    assert cut_after(attempts) == cut_after_by_the_book(attempts)


@given(st.lists(st.booleans(), max_size=60), st.integers(0, 59))
def test_one_more_failure_never_keeps_a_version(attempts: list[bool], place: int) -> None:
    worse = [answered and index != place for index, answered in enumerate(attempts)]
    cut, cut_worse = cut_after(attempts), cut_after(worse)
    assert cut is None or (cut_worse is not None and cut_worse <= cut)


@given(st.lists(st.just(True), max_size=60))
def test_a_version_that_answers_is_never_cut_off(attempts: list[bool]) -> None:
    assert cut_after(attempts) is None


def test_a_broken_version_is_out_after_5_attempts() -> None:
    assert cut_after([False] * 20) == 5
    assert judge_attempts([True, *[False] * 5], POLICY) == "5 attempts in a row failed"


def test_a_version_that_fails_every_other_time_is_out_within_20() -> None:
    assert cut_after([False, True] * 20) == 19
    assert judge_attempts([False, True] * 10, POLICY) == "10 of its last 20 attempts failed"


def test_9_failures_of_20_are_left_to_statistics() -> None:
    assert cut_after(([False, True] * 9 + [True] * 2) * 5) is None


@given(st.lists(st.booleans(), max_size=40), st.lists(st.booleans(), min_size=20, max_size=20))
def test_only_the_last_20_attempts_count(earlier: list[bool], last: list[bool]) -> None:
    assert judge_attempts(earlier + last, POLICY) == judge_attempts(last, POLICY)


def test_each_version_of_each_model_has_attempts_of_its_own() -> None:
    guard = Guard()
    said = [
        guard.record(model, digest, answered=False)
        for _ in range(4)
        for model in ("delays", "fraud")
        for digest in ("d1", "d2")
    ]
    assert said == [None] * 16
    assert guard.record("delays", "d1", answered=False)
    assert guard.record("delays", "d2", answered=True) is None


@pytest.mark.parametrize(
    "limits", [{"in_a_row": 0}, {"in_a_row": 21}, {"failures": 0}, {"failures": 21}]
)
def test_a_rule_that_cannot_be_is_refused(limits: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="between 1 and the window"):
        GuardPolicy(**limits)
