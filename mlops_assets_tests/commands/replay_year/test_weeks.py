"""What is kept of a week adds up, and comes back from its file as it was."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_assets.commands.replay_year.weeks import Course, Week, read_course, write_course

DAYS = st.dictionaries(
    st.dates().map(str),
    st.tuples(st.floats(0, 1000), st.integers(1, 1000)),
    min_size=1,
    max_size=7,
)
WEEKS = st.builds(
    Week,
    week=st.dates().map(str),
    champion=st.just("v1"),
    rows=st.integers(0, 9000),
    late_rate=st.floats(0, 1),
    days=DAYS,
    estimated=st.none() | st.floats(0, 1),
    alarm=st.booleans(),
    asked=st.none() | st.just("2013-05-06"),
    promoted=st.lists(st.just("v2"), max_size=1).map(tuple),
)


def test_the_brier_score_of_a_week_is_over_answers_and_not_over_days():
    week = Week("2013-05-06", "v1", 4, 0.25, {"a": (0.3, 3), "b": (0.5, 1)})
    assert week.brier == pytest.approx(0.2)


def test_a_course_counts_what_was_trained_and_means_over_weeks():
    first = Week("2013-05-06", "v1", 1, 0.2, {"a": (0.1, 1)})
    second = Week("2013-05-13", "v1", 3, 0.2, {"b": (0.9, 3)}, asked="2013-05-20")
    course = Course("monthly", [first, second])
    assert course.fits == 1
    assert course.mean_brier == pytest.approx(0.2)


@given(st.lists(WEEKS, min_size=1, max_size=3))
def test_a_course_comes_back_as_it_was_written(tmp_path_factory, found):
    path = tmp_path_factory.mktemp("course") / "never.json"
    course = Course("never", found, 1.5)
    write_course(course, path)
    assert read_course(path) == course
    assert [entry.name for entry in path.parent.iterdir()] == ["never.json"]
