"""What a shape does not show: more missing values, new values, values far out."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlops_assets.lifecycle.drift.columns import OtherColumn
from mlops_assets.lifecycle.drift.examined import Suspicion
from mlops_assets.lifecycle.drift.measure import judge_values, measure_drift
from mlops_assets.lifecycle.drift.missing import suspect_missing
from mlops_assets.lifecycle.drift.policy import DriftPolicy
from mlops_assets.lifecycle.drift.report import ColumnDrift, Finding
from mlops_assets.lifecycle.drift.sample import Column, Days, Sample, pair_days
from mlops_assets.lifecycle.drift.shape import count_shape, thin
from mlops_assets.lifecycle.drift.summary import summarise
from mlops_assets.lifecycle.drift.tails import find_range, suspect_tails
from mlops_assets.lifecycle.drift.unseen import suspect_unseen
from mlops_assets.lifecycle.errors import FeatureError
from mlops_assets.lifecycle.training import Feature

NUMBER, LEVEL = Feature("x", "numeric"), Feature("x", "categorical")
BEGIN = date(2013, 1, 7)
POLICY = DriftPolicy()
PER_DAY = 100


def table(values, per_day: int = PER_DAY) -> pl.DataFrame:
    days = [BEGIN + timedelta(days=n // per_day) for n in range(len(values))]
    return pl.DataFrame({"x": pl.Series(values, strict=False), "day": days})


def pair(reference, current, feature: Feature = NUMBER, per_day: int = PER_DAY) -> Sample:
    sides = (table(reference, per_day), table(current, per_day))
    return pair_days(*sides, [feature], day="day", permutations=1999, seed=1)


def column(sample: Sample, feature: Feature = NUMBER) -> tuple[Column, Days]:
    return sample.column(feature), sample.days


def missing(reference, current) -> Suspicion | None:
    one, days = column(pair(reference, current))
    return suspect_missing(one, thin(count_shape(one, days), days, 0), days, POLICY)


def unseen(reference, current, feature: Feature = NUMBER) -> Finding | None:
    suspicion = suspect_unseen(*column(pair(reference, current, feature), feature), POLICY)
    return suspicion.finding if suspicion and suspicion.p_value < 0.01 else None


def far(reference, current) -> Finding | None:
    return find_range(*column(pair(reference, current)), POLICY)


def tails(reference, current) -> Finding | None:
    suspicion = suspect_tails(*column(pair(reference, current)), POLICY)
    return suspicion.finding if suspicion and suspicion.p_value < 0.01 else None


@pytest.fixture
def random() -> np.random.Generator:
    return np.random.default_rng(3)


def poisoned(values, value: float, share: float, random: np.random.Generator):
    """The values, that share of them replaced in places drawn at random."""
    changed = np.array(values, dtype=float)
    changed[random.choice(len(changed), round(share * len(changed)), replace=False)] = value
    return changed


# --- missing ------------------------------------------------------------------------------------


def test_a_column_without_gaps_is_not_asked_about_missing_values(random):
    assert missing(random.normal(size=2800), random.normal(size=700)) is None


@pytest.mark.parametrize(("share", "found"), [(0.1, True), (0.05, True), (0.01, False)])
def test_a_rise_of_missing_values_is_found_when_it_is_worth_it(random, share, found):
    suspicion = missing(
        random.normal(size=2800), poisoned(random.normal(size=700), np.nan, share, random)
    )
    assert suspicion is not None
    assert (suspicion.finding is not None) == found
    if suspicion.finding:
        assert suspicion.p_value < 0.01
        assert suspicion.finding.said == (
            f"missing in {share:.1%} of the rows, 0.0% in the reference and 0.0% in its worst "
            "stretch of the same length without its worst day"
        )


def test_fewer_missing_values_are_no_finding(random):
    suspicion = missing(
        poisoned(random.normal(size=2800), np.nan, 0.2, random), random.normal(size=700)
    )
    assert suspicion is not None
    assert suspicion.finding is None
    assert suspicion.p_value > 0.5


def test_a_rise_that_a_week_of_the_reference_had_as_well_is_no_finding(random):
    reference = np.concatenate(
        [poisoned(random.normal(size=700), np.nan, share, random) for share in (0, 0.1, 0, 0)]
    )
    suspicion = missing(reference, poisoned(random.normal(size=700), np.nan, 0.1, random))
    assert suspicion is not None
    assert suspicion.finding is None


def test_a_day_of_an_outage_long_ago_hides_no_rise_of_today_and_one_of_today_is_none(random):
    outage = np.concatenate([[np.nan] * 100, random.normal(size=600)])
    reference = np.concatenate([random.normal(size=2100), outage])
    risen = missing(reference, poisoned(random.normal(size=700), np.nan, 0.1, random))
    assert risen is not None
    assert risen.finding is not None
    once = missing(random.normal(size=2800), outage)
    assert once is not None
    assert once.finding is None


def test_null_nan_and_an_empty_text_are_all_missing():
    one, _ = column(pair([None, float("nan"), 1.0] * 100, [2.0] * 300))
    assert one.missing.sum() == 200
    one, _ = column(pair([None, "", "a"] * 100, ["b"] * 300, LEVEL), LEVEL)
    assert one.missing.sum() == 200
    assert list(one.levels) == ["a", "b"]


# --- unseen -------------------------------------------------------------------------------------


def test_a_new_level_is_found_and_named(random):
    reference, current = (random.choice(["a", "b"], size=size) for size in (2800, 700))
    current[random.choice(700, 35, replace=False)] = "z"
    found = unseen(reference, current, LEVEL)
    assert found is not None
    assert found.now == pytest.approx(0.05)
    assert found.said.startswith("'z' in 5.0% of the rows, never in the reference;")


def test_rare_levels_of_many_are_new_now_and_then_without_a_finding(random):
    tails = random.zipf(1.3, size=3500) % 4000
    names = np.char.add("N", tails.astype(str))
    assert len(set(names[2800:]) - set(names[:2800])) > 20
    assert unseen(names[:2800], names[2800:], LEVEL) is None
    names[2800::20] = "N-new"
    found = unseen(names[:2800], names[2800:], LEVEL)
    assert found is not None
    assert found.said.startswith("'N-new'")
    assert found.before > 0.005


def test_the_same_rows_give_the_same_finding_to_the_last_digit_in_whatever_order(random):
    names = (random.zipf(1.2, size=3500) % 9000).astype(str)
    names[2800::5] = "new"
    sides = table(names[:2800]), table(names[2800:])
    found = set()
    for seed in range(8):
        before, now = (side.sample(fraction=1, shuffle=True, seed=seed) for side in sides)
        found.add(measure_drift(before, now, [LEVEL], POLICY, day="day").columns)
    assert len(found) == 1


@pytest.mark.parametrize("value", [-1.0, 999.0, 0.0])
def test_one_percent_of_a_new_number_among_numbers_that_recur_is_found(random, value):
    reference, current = (random.integers(20, 90, size=size) for size in (2800, 700))
    found = unseen(reference, poisoned(current, value, 0.01, random))
    assert found is not None
    assert found.said == f"{value:g} in 1.0% of the rows, never in the reference"


def test_zeros_among_numbers_that_never_recur_are_found(random):
    reference, current = random.normal(size=2800), random.normal(size=700)
    assert unseen(reference, current) is None
    assert unseen(reference, poisoned(current, 0.0, 0.03, random)) is not None


def test_a_new_degree_beside_known_ones_is_weather_and_minus_one_beside_zero_is_not(random):
    reference = random.integers(0, 60, size=2800)
    warmer = np.where(random.random(700) < 0.03, 60, random.integers(0, 60, size=700))
    assert unseen(reference, warmer) is None
    frost = np.where(random.random(700) < 0.09, random.integers(-3, 0, size=700), warmer)
    assert unseen(reference, frost) is None
    assert unseen(reference, poisoned(warmer, -1.0, 0.11, random)) is not None


def test_a_value_of_a_single_day_is_not_suspected():
    assert suspect_unseen(*column(pair([1.0] * 2800, [1.0] * 650 + [7.0] * 50)), POLICY) is None


# --- far out of range ---------------------------------------------------------------------------


def test_one_percent_of_values_far_out_is_found_also_in_a_small_window(random):
    reference, current = random.normal(60, 10, size=(2800)), random.normal(60, 10, size=500)
    found = find_range(
        *column(pair(reference, poisoned(current, 999, 0.01, random), per_day=72)), POLICY
    )
    assert found is not None
    assert found.now == pytest.approx(0.01)
    assert found.said.startswith("1.0% of the rows hold 999 to 999, far outside")


@pytest.mark.parametrize("factor", [1000.0, -1000.0])
def test_values_a_thousand_times_as_large_are_found_on_either_side(random, factor):
    current = random.normal(60, 10, size=700)
    hit = random.choice(700, 7, replace=False)
    current[hit] *= factor
    assert far(random.normal(60, 10, size=2800), current) is not None


def test_records_a_constant_column_and_a_single_day_are_not_far_out(random):
    reference = random.normal(60, 10, size=2800)
    assert far(reference, random.normal(90, 10, size=700)) is None
    assert far(np.ones(2800), np.arange(700)) is None
    assert far(reference, np.append(random.normal(60, 10, size=650), np.full(50, 999.0))) is None
    assert far(np.full(2800, np.nan), reference[:700]) is None


def test_infinite_numbers_are_far_out(random):
    current = poisoned(random.normal(size=700), np.inf, 0.02, random)
    assert far(random.normal(size=2800), current) is not None


@pytest.mark.parametrize(
    ("draw", "spoil"),
    [
        (lambda r, n: r.normal(size=n), lambda v, r: 10 + r.normal(size=len(v))),
        (lambda r, n: r.normal(size=n), lambda v, r: r.choice([-10, 10], len(v)) * (1 + v / 50)),
        (lambda r, n: r.lognormal(size=n), lambda v, _: 100 * v),
        (lambda r, n: r.gamma(2, 400, n), lambda v, _: 10 * v),
        (lambda r, n: 1 + r.pareto(1.5, n), lambda v, _: 100 * v),
    ],
)
def test_one_percent_that_varies_is_found_far_from_where_nearly_all_are(random, draw, spoil):
    current = draw(random, 700)
    where = random.choice(700, 9, replace=False)
    current[where] = spoil(current[where], random)
    found = tails(draw(random, 5600), current)
    assert found is not None
    assert found.aspect == "range"
    assert found.now == pytest.approx(9 / 700, abs=0.006)
    assert "far from" in found.said


def test_rare_large_values_as_often_as_in_a_week_of_the_reference_are_no_finding(random):
    def week(storms: int):
        rain = random.exponential(size=(7, 100))
        rain[:, :storms] += 50
        return rain.ravel()

    calm = [random.exponential(size=700) for _ in range(7)]
    assert tails(np.concatenate([*calm, week(2)]), week(2)) is None
    assert tails(np.concatenate([*calm, week(1)]), week(4)) is not None


def test_tails_of_the_same_world_are_seldom_suspected(random):
    drawn = [random.pareto(1.2, 2800) + np.repeat(random.normal(size=28), 100) for _ in range(60)]
    found = [suspect_tails(*column(pair(rows[:2100], rows[2100:])), POLICY) for rows in drawn]
    assert all(each is not None for each in found)
    assert sum(each.p_value <= 0.05 for each in found) <= 8  # of 60; 9 or more 1 in 400 times


def test_a_single_day_of_far_values_and_a_column_without_width_are_no_finding(random):
    current = random.normal(size=700)
    current[:50] += 30
    assert tails(random.normal(size=2800), current) is None
    assert suspect_tails(*column(pair(np.ones(2800), np.ones(700))), POLICY) is None


@settings(max_examples=20)
@given(scale=st.sampled_from([0.01, 3.0, 1000.0]), move=st.floats(-1e3, 1e3))
def test_findings_are_the_same_in_any_unit(scale, move):
    random = np.random.default_rng(5)
    reference = random.normal(size=2800)
    current = poisoned(random.normal(size=700), 500.0, 0.02, random)
    assert far(reference * scale + move, current * scale + move) is not None
    assert far(reference * scale + move, reference[:700] * scale + move) is None


# --- thin days, summaries, verdict --------------------------------------------------------------


def test_days_are_thinned_to_the_fullest_day_of_the_thinner_side(random):
    sample = pair(random.normal(size=2800), random.normal(size=700))
    one, days = column(sample)
    counts = count_shape(one, days)
    assert (thin(counts, days, 0) == counts).all()
    thinner = Days(days.dealt, np.append(days.rows[:28], np.full(7, 10.0)), 28)
    left = thin(counts, thinner, 0)
    assert (left.sum(axis=1) == 10).all()
    assert (left <= counts).all()


def test_a_thin_side_is_no_drift(random):
    """A day's few rows stray further than many: ignoring that, nearly all windows would alarm."""
    alarms = 0
    for _ in range(20):
        few, many = table(random.random(490), 70), table(random.random(28 * 2000), 2000)
        alarms += measure_drift(many, few, [NUMBER], POLICY, day="day").columns[0].p_value < 0.05
    assert alarms <= 4


def test_summaries_hold_quantiles_extremes_and_the_missing_share():
    one, days = column(pair([float(n) for n in range(101)] * 3, [None, 5.0] * 150, per_day=101))
    before, now = summarise(one, days)
    assert before.quantiles == pytest.approx([*range(5, 100, 5)])
    assert (before.lowest, before.highest, before.missing) == (0.0, 100.0, 0.0)
    assert (now.lowest, now.highest, now.missing) == (5.0, 5.0, 0.5)
    one, days = column(pair(["a"] * 300, ["a"] * 300, LEVEL), LEVEL)
    assert summarise(one, days)[0].quantiles == ()


def test_the_verdict_on_values_names_what_was_found_and_shape_is_not_part_of_it():
    def flagged(name: str, weight: float, *findings: Finding) -> ColumnDrift:
        return ColumnDrift(name, "numeric", 0.4, 0.01, 0.01, weight, True, findings=findings)

    assert judge_values([flagged("a", 1.0)]).passed
    finding = Finding("missing", 0.0, 0.1, "missing in 10 % of the rows")
    judged = judge_values([flagged("a", 0.1, finding), flagged("b", 0.9, finding)])
    assert judged.name == "values_are_intact"
    assert judged.reason == "b: missing in 10 % of the rows; a: missing in 10 % of the rows"
    assert judged.evidence == {"columns": ["b", "a"]}
    many = judge_values([flagged("a", 1.0, *[finding] * 7)])
    assert many.reason.endswith("; and 2 more")


def test_findings_alone_leave_the_reference_standing_but_alarm(random):
    current = table(poisoned(random.normal(size=700), np.nan, 0.2, random))
    report = measure_drift(table(random.normal(size=2800)), current, [NUMBER], POLICY, day="day")
    assert report.verdict.passed
    assert report.intact.outcome == "failed"
    assert (report.alarm, report.share) == (True, 0.0)


def test_predictions_and_labels_weigh_nothing_but_alarm(random):
    reference, current = table(random.normal(size=2800)), table(random.normal(size=700))
    strange = table(random.normal(3, size=700))
    also = [
        OtherColumn("x", "numeric", "prediction", reference, strange),
        OtherColumn("x", "numeric", "label", reference, strange.head(10)),
    ]
    report = measure_drift(reference, current, [NUMBER], POLICY, day="day", also=also)
    assert [one.role for one in report.columns] == ["feature", "prediction"]
    assert [one.drifted for one in report.columns] == [False, True]
    assert [one.weight for one in report.columns] == [1.0, 0.0]
    assert (report.share, report.verdict.passed, report.alarm) == (0.0, True, True)


def test_text_in_a_column_of_numbers_is_refused(random):
    with pytest.raises(FeatureError, match="a value does not fit its feature"):
        pair(random.normal(size=300), ["many"] * 300)
