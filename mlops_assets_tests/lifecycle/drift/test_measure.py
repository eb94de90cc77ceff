"""Real shifts are found, days that merely differ are not."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from datetime import date, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.stats import false_discovery_control, ks_2samp

from mlops_assets.lifecycle.drift.measure import benjamini_hochberg, judge_drift, measure_drift
from mlops_assets.lifecycle.drift.policy import DriftPolicy
from mlops_assets.lifecycle.drift.report import ColumnDrift
from mlops_assets.lifecycle.training import Feature

NUMBER, CATEGORY = Feature("x", "numeric"), Feature("c", "categorical")
BEGIN = date(2013, 1, 7)
POLICY = DriftPolicy(minimum_rows=10, permutations=200)


def by_day(values: Any, days: int, begin: date = BEGIN, name: str = "x") -> pl.DataFrame:
    """Values in equal shares over days, in order."""
    size = len(values) // days
    column = values if isinstance(values, pl.Series) else pl.Series(list(values))
    return pl.DataFrame(
        {
            name: column,
            "day": [begin + timedelta(days=n // size) for n in range(days * size)],
        }
    )


def drift(
    reference: pl.DataFrame,
    current: pl.DataFrame,
    *features: Feature,
    policy: DriftPolicy = POLICY,
    weights: dict[str, float] | None = None,
):
    return measure_drift(
        reference, current, features or (NUMBER,), policy, day="day", weights=weights
    )


def one(report) -> ColumnDrift:
    (column,) = report.columns
    return column


@pytest.fixture
def random() -> np.random.Generator:
    return np.random.default_rng(42)


# --- Benjamini-Hochberg -------------------------------------------------------------------------


@given(st.lists(st.floats(0, 1) | st.sampled_from([0.01, 0.05, 1.0]), min_size=1, max_size=30))
def test_adjusted_p_values_are_those_of_benjamini_and_hochberg(p_values):
    np.testing.assert_allclose(
        benjamini_hochberg(p_values), false_discovery_control(p_values), rtol=1e-12
    )


def test_nothing_to_adjust_is_nothing():
    assert benjamini_hochberg([]) == []


# --- effect and p-value -------------------------------------------------------------------------


@settings(max_examples=40)
@given(
    reference=st.lists(st.sampled_from([*"abcd", None]), min_size=12, max_size=60),
    current=st.lists(st.sampled_from([*"cdef", None]), min_size=12, max_size=60),
)
def test_the_effect_on_categories_is_half_the_summed_gaps_between_shares(reference, current):
    sides = [
        by_day(pl.Series(values[: len(values) // 4 * 4], dtype=pl.String), 4, name="c")
        for values in (reference, current)
    ]
    known = [side["c"].drop_nulls().to_list() for side in sides]
    assume(all(known))
    (before, total), (after, number) = ((Counter(values), len(values)) for values in known)
    gaps = [abs(before[c] / total - after[c] / number) for c in before | after]
    assert one(drift(*sides, CATEGORY)).effect == pytest.approx(sum(gaps) / 2)


@settings(max_examples=40)
@given(seed=st.integers(0, 10_000), shift=st.floats(0, 3))
def test_the_effect_on_numbers_is_the_kolmogorov_distance_up_to_the_width_of_a_bin(seed, shift):
    random = np.random.default_rng(seed)
    reference, current = random.normal(size=400), random.normal(shift, size=400)
    effect = one(drift(by_day(reference, 4), by_day(current, 4))).effect
    exact = ks_2samp(reference, current).statistic
    assert exact - 0.1 <= effect <= exact + 1e-9


def test_the_p_value_is_the_share_of_day_permutations_with_a_larger_effect(random):
    reference = by_day(random.choice(list("ab"), size=100), 5, name="c")
    current = by_day(random.choice(list("ab"), p=[0.3, 0.7], size=60), 3, name="c")
    days = [
        rows["c"].to_list() for part in (reference, current) for rows in part.partition_by("day")
    ]

    def gap(chosen: tuple[int, ...]) -> float:
        inside = [value for day in chosen for value in days[day]]
        outside = [value for day in range(8) if day not in chosen for value in days[day]]
        return abs(inside.count("a") / len(inside) - outside.count("a") / len(outside))

    observed = gap((5, 6, 7))
    effects = [gap(chosen) for chosen in itertools.combinations(range(8), 3)]
    exact = np.mean([effect >= observed - 1e-12 for effect in effects])
    drawn = one(
        drift(reference, current, CATEGORY, policy=DriftPolicy(minimum_rows=10, permutations=4000))
    )
    assert drawn.effect == pytest.approx(observed)
    assert drawn.p_value == pytest.approx(
        exact, abs=4 * math.sqrt(exact * (1 - exact) / 4000) + 1e-3
    )


@settings(max_examples=20)
@given(seed=st.integers(0, 100))
def test_drift_depends_neither_on_row_order_nor_on_the_hour_it_is_run(seed):
    random = np.random.default_rng(seed)
    reference, current = by_day(random.normal(size=200), 5), by_day(random.normal(size=120), 4)
    shuffled = drift(
        reference.sample(fraction=1, shuffle=True, seed=seed),
        current.sample(fraction=1, shuffle=True, seed=seed),
    )
    assert shuffled == drift(reference, current)


@settings(max_examples=20)
@given(scale=st.floats(0.01, 100), move=st.floats(-100, 100))
def test_a_change_of_unit_on_both_sides_is_no_drift(scale, move):
    random = np.random.default_rng(9)
    reference, current = random.normal(size=200), random.normal(0.5, size=120)
    plain = one(drift(by_day(reference, 5), by_day(current, 4)))
    scaled = one(drift(by_day(reference * scale + move, 5), by_day(current * scale + move, 4)))
    assert scaled.effect == pytest.approx(plain.effect, abs=0.02)


# --- what is found and what is not --------------------------------------------------------------


def weather(random: np.random.Generator, days: int, rows: int, shift: float = 0.0) -> pl.DataFrame:
    """Two columns whose rows share the effect of their day, two whose rows are independent."""
    effects = {name: np.repeat(random.normal(size=days), rows) for name in ("wind", "rain")}
    noise = {name: random.normal(size=days * rows) for name in ("wind", "rain", "x", "y")}
    frame = by_day(noise["x"] + shift, days)
    return frame.with_columns(
        y=noise["y"] + shift,
        **{name: effects[name] + 0.5 * noise[name] + shift for name in effects},
    )


DAILY = tuple(Feature(name, "numeric") for name in ("wind", "rain", "x", "y"))


def test_windows_whose_days_merely_differ_seldom_hold_a_drifted_column():
    random = np.random.default_rng(2013)
    windows, flagged, naive = 60, 0, 0
    for _ in range(windows):
        reference, current = weather(random, 56, 40), weather(random, 7, 40)
        report = drift(reference, current, *DAILY)
        flagged += any(column.drifted for column in report.columns)
        naive += any(
            ks_2samp(reference[feature.name], current[feature.name]).pvalue < 0.05 / len(DAILY)
            for feature in DAILY
        )
    assert flagged / windows <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / windows)
    assert naive / windows > 0.8  # a test that takes rows as independent alarms nearly always


def test_a_shift_of_one_standard_deviation_in_all_columns_is_found_nearly_always():
    random = np.random.default_rng(7)
    found = []
    for _ in range(20):
        report = drift(weather(random, 56, 40), weather(random, 7, 40, shift=1.2), *DAILY)
        found.append(report.verdict.outcome == "failed")
    assert np.mean(found) >= 0.9


@pytest.mark.parametrize("shift", [-1.0, 1.0])
def test_a_shift_of_one_standard_deviation_is_found_in_either_direction(random, shift):
    reference, current = random.normal(size=2800), random.normal(shift, size=700)
    column = one(drift(by_day(reference, 28), by_day(current, 7)))
    assert column.drifted
    assert column.effect == pytest.approx(0.38, abs=0.06)


@pytest.mark.parametrize("gap", [None, math.nan])
def test_a_burst_of_missing_numbers_is_found(random, gap):
    current = [gap if n % 10 < 3 else value for n, value in enumerate(random.normal(size=700))]
    column = one(drift(by_day(random.normal(size=2800), 28), by_day(current, 7)))
    assert [finding.aspect for finding in column.findings] == ["missing"]
    assert column.findings[0].now == pytest.approx(0.3)
    assert not column.drifted  # what is known looks as it did


def test_a_burst_of_missing_categories_and_a_new_category_are_found(random):
    known = random.choice(list("abc"), size=2800)
    for strange, aspect, drifted in ((None, "missing", False), ("z", "unseen", True)):
        current = [strange if n % 10 < 3 else value for n, value in enumerate(known[:700])]
        column = one(drift(by_day(known, 28, name="c"), by_day(current, 7, name="c"), CATEGORY))
        assert [finding.aspect for finding in column.findings] == [aspect]
        assert column.findings[0].now == pytest.approx(0.3)
        assert column.drifted == drifted
        assert column.effect == pytest.approx(0.3 * drifted, abs=0.05)


def test_a_shift_below_the_smallest_effect_worth_a_flag_is_not_flagged(random):
    reference, current = random.normal(size=28_000), random.normal(0.1, size=7000)
    column = one(drift(by_day(reference, 28), by_day(current, 7)))
    assert column.adjusted_p_value < 0.05
    assert 0.02 < column.effect < POLICY.minimum_effect
    assert not column.drifted


def test_columns_that_are_empty_or_constant_on_both_sides_do_not_drift():
    nothing = pl.Series([None] * 300, dtype=pl.Float64)
    for values in (nothing, pl.Series([4.0] * 300)):
        column = one(drift(by_day(values, 6), by_day(values, 6)))
        assert (column.effect, column.p_value, column.drifted) == (0.0, 1.0, False)


def test_a_column_that_was_empty_and_is_filled_has_drifted_and_the_other_way_round(random):
    empty = by_day(pl.Series([None] * 280, dtype=pl.Float64), 28)
    full = by_day(random.normal(size=280), 28)
    assert one(drift(empty, full)).effect == pytest.approx(1.0)
    assert one(drift(empty, full)).drifted
    gone = one(drift(full, empty))
    assert [finding.aspect for finding in gone.findings] == ["missing"]
    assert (gone.effect, gone.drifted) == (0.0, False)


def test_one_known_value_in_days_far_larger_than_the_others_is_no_drift(random):
    known = pl.int_range(28_000, eager=True) == 2
    reference = by_day(
        pl.DataFrame({"x": [1.0] * 28_000}).select(pl.when(known).then("x"))["x"], 28
    )
    column = one(drift(reference, by_day(random.normal(size=70), 7)))
    assert column.p_value > 0.1
    assert not column.drifted


def test_a_rare_value_that_becomes_common_is_found(random):
    reference, current = random.random(2800) < 0.05, random.random(700) < 0.5
    column = one(drift(by_day(reference.astype(float), 28), by_day(current.astype(float), 7)))
    assert column.drifted


@pytest.mark.parametrize(("before", "after"), [(0.95, 0.5), (1.0, 0.0)])
def test_a_common_value_that_becomes_rare_is_found(random, before, after):
    reference, current = random.random(2800) < before, random.random(700) < after
    column = one(drift(by_day(reference.astype(float), 28), by_day(current.astype(float), 7)))
    assert column.drifted


@pytest.mark.parametrize("name", ["day", "side"])
def test_a_category_may_have_any_name(random, name):
    values = random.choice(["a", name], size=280)
    table = by_day(values, 28, name="c")
    assert not one(drift(table, table, CATEGORY)).drifted


def test_whole_numbers_are_compared_with_fractions(random):
    reference = by_day(random.integers(0, 9, size=280), 28)
    assert not one(drift(reference, reference.cast({"x": pl.Float64}))).drifted


def test_given_no_feature_to_compare_then_nothing_can_be_told(random):
    rows = by_day(random.normal(size=700), 7)
    policy = DriftPolicy(minimum_rows=10, ignore=("x",))
    report = drift(rows, rows, policy=policy)
    assert (report.verdict.outcome, report.intact.outcome) == ("inconclusive", "inconclusive")
    assert "no feature" in report.verdict.reason


def test_too_few_days_to_ever_alarm_are_inconclusive(random):
    apart = drift(by_day(random.normal(size=600), 3), by_day(random.normal(9, size=600), 3))
    assert apart.verdict.outcome == "inconclusive"
    assert apart.verdict.reason == (
        "3 reference days and 3 current days give p-values of at least 0.1, "
        "0.05 is needed to tell them apart"
    )


@pytest.mark.parametrize("days", [(4, 4), (5, 3), (3, 4)])
def test_days_that_are_just_enough_to_alarm_do_so(random, days):
    before, after = (by_day(random.normal(9 * n, size=60 * d), d) for n, d in enumerate(days))
    policy = DriftPolicy(minimum_rows=10, permutations=4000)
    assert one(drift(before, after, policy=policy)).drifted


@pytest.mark.parametrize(
    ("shifted", "outcome"), [(0, "inconclusive"), (1, "inconclusive"), (8, "failed")]
)
def test_days_too_few_to_flag_one_column_of_many_are_not_green(random, shifted, outcome):
    def side(days: int, moved: float) -> pl.DataFrame:
        means = [moved * (n < shifted) for n in range(8)]
        values = {f"x{n}": random.normal(mean, size=100 * days) for n, mean in enumerate(means)}
        return by_day(range(100 * days), days, name="row").with_columns(**values)

    features = [Feature(f"x{n}", "numeric") for n in range(8)]
    report = drift(side(3, 0.0), side(7, 9.0), *features)
    assert report.verdict.outcome == outcome
    if outcome == "inconclusive":
        assert report.intact.outcome == "inconclusive"
        assert report.verdict.reason == (
            "3 reference days and 7 current days give p-values of at least 0.00833, "
            "0.00625 is needed to tell them apart by one of 8 tests"
        )


# --- the verdict on a window --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reference", "current", "said"),
    [
        ((290, 29), (700, 7), "reference has 290 rows on 29 days, at least 300 on 3 are needed"),
        ((2800, 28), (280, 7), "current has 280 rows on 7 days, at least 300 on 3 are needed"),
        ((2800, 28), (700, 2), "current has 700 rows on 2 days, at least 300 on 3 are needed"),
        ((2800, 28), (0, 1), "current has 0 rows on 0 days, at least 300 on 3 are needed"),
    ],
)
def test_too_few_rows_or_days_are_inconclusive(random, reference, current, said):
    sides = [
        by_day(random.normal(size=rows), days) if rows else by_day([0.0], 1).clear()
        for rows, days in (reference, current)
    ]
    report = drift(*sides, policy=DriftPolicy())
    assert report.verdict.outcome == "inconclusive"
    assert report.verdict.reason == said
    assert (report.columns, report.share) == ((), 0.0)
    assert (report.reference_rows, report.current_rows) == (reference[0], current[0])


def two_columns(random: np.random.Generator, shifted: bool) -> pl.DataFrame:
    frame = by_day(random.normal(9 * shifted, size=280), 28)
    return frame.with_columns(y=pl.Series(random.normal(size=280)))


@pytest.mark.parametrize(
    ("weights", "share", "outcome"),
    [
        (None, 0.5, "failed"),
        ({"x": 3.0, "y": 1.0}, 0.75, "failed"),
        ({"x": 1.0, "y": 9.0}, 0.1, "passed"),
        ({"y": 1.0}, 0.0, "passed"),
        ({"x": 1.0, "y": -5.0}, 1.0, "failed"),
        ({"x": -1.0, "y": -1.0}, 0.5, "failed"),
        ({"x": 0.0, "y": 0.0}, 0.5, "failed"),
    ],
)
def test_drifted_columns_weigh_as_much_as_they_matter(random, weights, share, outcome):
    features = (NUMBER, Feature("y", "numeric"))
    report = drift(
        two_columns(random, False), two_columns(random, True), *features, weights=weights
    )
    assert [column.drifted for column in report.columns] == [True, False]
    assert report.share == pytest.approx(share)
    assert report.verdict.outcome == outcome
    assert sum(column.weight for column in report.columns) == pytest.approx(1)


def columns(*weights: float, drifted: int) -> list[ColumnDrift]:
    return [
        ColumnDrift(f"c{n}", "numeric", 0.4, 0.01, 0.01, weight, n < drifted)
        for n, weight in enumerate(weights)
    ]


def test_the_verdict_names_the_heaviest_drifted_columns_first_and_five_at_most():
    judged = judge_drift(columns(*[n / 100 for n in range(1, 9)], drifted=7), 0.28, DriftPolicy())
    assert judged.name == "reference_still_holds"
    assert judged.passed
    assert judged.reason == (
        "7 of 8 columns drifted, 28% by importance (alarm at 30%): c6 (effect 0.40), "
        "c5 (effect 0.40), c4 (effect 0.40), c3 (effect 0.40), c2 (effect 0.40)"
    )
    assert judged.evidence["drifted"] == ["c6", "c5", "c4", "c3", "c2", "c1", "c0"]


@pytest.mark.parametrize(("share", "outcome"), [(0.29, "passed"), (0.3, "failed"), (1, "failed")])
def test_a_window_drifts_from_the_share_of_the_policy(share, outcome):
    assert judge_drift([], share, DriftPolicy()).outcome == outcome


def test_eight_of_ten_equal_columns_are_the_share_eight_tenths():
    judged = columns(*[0.1] * 10, drifted=8)
    share = sum(column.weight for column in judged if column.drifted)
    assert judge_drift(judged, share, DriftPolicy(drift_share=0.8)).outcome == "failed"


@pytest.mark.parametrize("name", ["false_discovery_rate", "minimum_effect", "drift_share"])
@pytest.mark.parametrize("value", [0, -0.1, 1.1])
def test_a_share_of_the_policy_outside_zero_and_one_is_refused(name, value):
    with pytest.raises(ValueError, match=rf"{name} must lie in \(0, 1\], got {value}"):
        DriftPolicy(**{name: value})
