"""Another unit is told from another season, as far as the two can be told apart."""

from __future__ import annotations

import math
from collections.abc import Callable
from statistics import NormalDist

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlops_assets.lifecycle.drift.report import ColumnSummary
from mlops_assets.lifecycle.triage import Cause, triage
from mlops_assets.lifecycle.unit_changes import FACTORS, TEMPERATURES, find_unit_change
from mlops_assets_tests.lifecycle.drift_reports import miles, numeric, report, summary, warm

Change = tuple[str, Callable[[float], float], Callable[[float], float], Cause, str]


def changed(name: str, now: Callable[[float], float], cause: Cause, said: str) -> Change:
    """A column of miles that is now something else."""
    return name, miles, now, cause, said


def heated(name: str, now: Callable[[float], float], cause: Cause, said: str) -> Change:
    """A column of temperatures that is now something else."""
    return name, warm, now, cause, said


CHANGES = [
    changed("kilometres", lambda s: 1.609344 * miles(s), "data_bug", "as miles written in kilom"),
    changed(
        "miles of kilometres", lambda s: miles(s) / 1.609344, "data_bug", "as kilometres writt"
    ),
    changed("metres of feet", lambda s: 0.3048 * miles(s), "data_bug", "as feet written in metres"),
    changed("minutes of hours", lambda s: 60 * miles(s), "data_bug", "as hours written in minutes"),
    changed("percent of shares", lambda s: 100 * miles(s), "data_bug", "as shares written in perc"),
    changed("thousands", lambda s: 1000 * miles(s), "data_bug", "as thousands written in ones"),
    changed(
        "a factor nobody knows", lambda s: 2.9 * miles(s), "data_bug", "too much for any season"
    ),
    changed(
        "kilometres and 2 % more",
        lambda s: 1.64 * miles(s),
        "data_bug",
        "as miles written in kilom",
    ),
    changed("a tenth more", lambda s: 1.1 * miles(s), "covariate_drift", "distribution moved"),
    changed(
        "twice as far in the middle, as far at the end",
        lambda s: min(2 * miles(s), 4900.0),
        "covariate_drift",
        "distribution moved",
    ),
    (
        "twice the share of late flights",
        lambda s: 0.4 * s,
        lambda s: 0.8 * s,
        "covariate_drift",
        "distribution moved",
    ),
    heated("Celsius", lambda s: (warm(s) - 32) / 1.8, "data_bug", "Fahrenheit would be in Celsius"),
    heated("Kelvin", lambda s: (warm(s) + 459.67) / 1.8, "data_bug", "would be in Kelvin"),
    heated("30 degrees warmer", lambda s: warm(s) + 30, "covariate_drift", "distribution moved"),
    heated("30 degrees colder", lambda s: warm(s) - 30, "covariate_drift", "distribution moved"),
]


@pytest.mark.parametrize(
    ("before", "now", "cause", "said"),
    [change[1:] for change in CHANGES],
    ids=[change[0] for change in CHANGES],
)
def test_what_is_made_of_a_column_that_became_something_else(before, now, cause, said):
    found = triage(report(numeric("x", 0.4, before, now)))
    assert (found.cause, found.columns) == (cause, ("x",))
    assert said in "\n".join((found.reason, *found.evidence))


@pytest.mark.parametrize("moved", [18.0, 24.0, 30.0])
def test_a_skewed_column_that_moved_as_a_whole_is_no_multiple_of_itself(moved):
    skewed = numeric("x", 0.4, skew, lambda s: skew(s) + moved)
    assert triage(report(skewed)).cause == "covariate_drift"


def skew(share: float) -> float:
    """Amounts: most small, few a hundred times as much."""
    return math.exp(1.5 * NormalDist().inv_cdf(min(max(share, 0.001), 0.999)))


@settings(max_examples=60)
@given(factor=st.floats(0.75, 1.35), offset=st.floats(-30, 30))
def test_no_stretching_or_shifting_within_a_season_is_called_a_unit(factor, offset):
    moved = numeric("temp", 0.4, warm, lambda s: 55 + offset + factor * (warm(s) - 55))
    assert triage(report(moved)).cause == "covariate_drift"


@pytest.mark.parametrize(("old", "new", "factor"), FACTORS)
def test_every_known_factor_is_recognised_both_ways_and_by_the_names_of_its_units(old, new, factor):
    there = find_unit_change(summary(miles), summary(lambda s: factor * miles(s)))
    back = find_unit_change(summary(miles), summary(lambda s: miles(s) / factor))
    for said, names in ((there, (old, new)), (back, (new, old))):
        assert said is not None
        # Units of the same ratio (12 inches, 100 for a percent) go by the name of either.
        same = [known for known in FACTORS if abs(known[2] / factor - 1) < 0.04]
        same += [known for known in FACTORS if abs(known[2] * factor - 1) < 0.04]
        assert len(same) > 1 or f"as {names[0]} written in {names[1]}" in said


@pytest.mark.parametrize(("old", "new", "factor", "offset"), TEMPERATURES)
def test_every_conversion_of_a_temperature_is_recognised(old, new, factor, offset):
    scales = {"Fahrenheit": warm, "Celsius": lambda s: (warm(s) - 32) / 1.8}
    scales["Kelvin"] = lambda s: (warm(s) + 459.67) / 1.8
    said = find_unit_change(summary(scales[old]), summary(scales[new]))
    assert said == f"its quantiles are where {old} would be in {new}"
    assert factor * scales[old](0.3) + offset == pytest.approx(scales[new](0.3))


ANY = st.lists(
    st.sampled_from([0.0, 1e-300, -1e-300, 1e-160, 1e150, 0.1, 1.0]) | st.floats(-1e6, 1e6),
    min_size=19,
    max_size=19,
)


@settings(max_examples=100)
@given(values=ANY, others=ANY)
def test_whatever_two_columns_hold_an_answer_is_given_and_none_when_they_are_equal(values, others):
    one, other = sorted(values), sorted(others)
    before = _summary(one)
    assert find_unit_change(before, before) is None
    said = find_unit_change(before, _summary(other))
    assert said is None or said


def _summary(values: list[float]) -> ColumnSummary:
    return ColumnSummary(0.0, tuple(values), values[0], values[-1])


@pytest.mark.parametrize("distinct", [1, 4])
def test_a_column_of_few_values_has_no_shape_to_be_recognised(distinct):
    steps = summary(lambda s: float(int(s * (distinct - 1))) + 1)
    scaled = summary(lambda s: 60 * (float(int(s * (distinct - 1))) + 1))
    assert find_unit_change(steps, scaled) is None


def test_given_no_quantiles_then_nothing_is_said():
    assert find_unit_change(ColumnSummary(1.0), ColumnSummary(0.0)) is None
    assert find_unit_change(summary(miles), ColumnSummary(1.0)) is None
