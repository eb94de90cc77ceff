"""Behaviour: invariance and direction, on models that have it and models that do not."""

from __future__ import annotations

import json
import math

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_assets.lifecycle.behaviour import Behaviour, judge_behaviour, pick_behaviour_rows
from mlops_assets.lifecycle.errors import FeatureError
from mlops_assets.lifecycle.training import fit_estimator, predict_probability

NAME = "a_late_airport_raises_the_risk"
CHANCE = st.floats(0, 1)


def column(frame: pl.DataFrame) -> np.ndarray:
    """A model that predicts what the column ``p`` says."""
    return frame["p"].to_numpy()


def frame(*chances: float) -> pl.DataFrame:
    return pl.DataFrame({"n": range(len(chances)), "p": chances}, schema={"n": int, "p": float})


def judge(before, after, expect, predict=column, **stated):
    rows = frame(*before).with_columns(asked=pl.lit(value=False))
    changed = frame(*after).with_columns(asked=pl.lit(value=True))
    return judge_behaviour(NAME, Behaviour(changed, expect, **stated), rows, predict)


# --- a real model --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def predict(make_rows, features, build_logistic):
    model = fit_estimator(build_logistic, make_rows(2000), features, "late", parameters={}, seed=3)
    return lambda rows: predict_probability(model, rows, features)


@pytest.mark.parametrize(
    ("expect", "outcome"), [("higher", "passed"), ("lower", "failed"), ("same", "failed")]
)
def test_a_model_that_learned_from_the_signal_follows_it(make_rows, predict, expect, outcome):
    rows = make_rows(400, seed=9)
    more = Behaviour(rows.with_columns(pl.col("signal") + 0.5), expect)
    verdict = judge_behaviour("more_signal_raises_the_risk", more, rows, predict)
    assert (verdict.name, verdict.outcome) == ("more_signal_raises_the_risk", outcome)
    assert verdict.evidence["rows"] == 400
    assert verdict.evidence["mean_change"] > 0.05


def test_a_column_that_is_no_feature_moves_nothing(make_rows, predict):
    rows = make_rows(400, seed=9)
    renamed = Behaviour(rows.with_columns(id=pl.format("x{}", "id")), "same")
    verdict = judge_behaviour("the_name_of_a_row_means_nothing", renamed, rows, predict)
    assert verdict.passed
    assert verdict.evidence["as_expected"] == 1
    assert verdict.evidence["mean_change"] == 0


def test_a_statement_may_speak_of_some_rows_only(make_rows, predict):
    rows = make_rows(400, seed=9)
    some = rows.filter(pl.col("group") == "a")
    lower = Behaviour(some.with_columns(pl.col("signal") - 1), "lower", of=some)
    verdict = judge_behaviour("less_signal_lowers_the_risk", lower, rows, predict)
    assert verdict.passed
    assert verdict.evidence["rows"] == some.height < 400


# --- the rule ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("expect", "before", "after", "outcome"),
    [
        ("same", [0.2, 0.5], [0.2, 0.5], "passed"),
        ("same", [0.2, 0.5], [0.2, 0.51], "failed"),
        ("higher", [0.2, 0.5], [0.3, 0.5], "passed"),
        ("higher", [0.2, 0.5], [0.2, 0.5], "failed"),
        ("higher", [0.2, 0.5], [0.9, 0.49], "failed"),
        ("lower", [0.2, 0.5], [0.1, 0.5], "passed"),
        ("lower", [0.2, 0.5], [0.2, 0.5], "failed"),
        ("lower", [0.2, 0.5], [0.0, 0.51], "failed"),
    ],
)
def test_each_row_has_to_do_as_expected_and_the_mean_has_to_move(expect, before, after, outcome):
    assert judge(before, after, expect).outcome == outcome


@pytest.mark.parametrize(("odd", "outcome"), [(0, "passed"), (2, "passed"), (3, "failed")])
@pytest.mark.parametrize("expect", ["same", "higher"])
def test_as_many_rows_may_be_odd_as_the_share_leaves(expect, odd, outcome):
    before = [0.5] * 20
    fine = 0.5 if expect == "same" else 0.9
    after = [0.4] * odd + [fine] * (20 - odd)
    verdict = judge(before, after, expect, share=0.9)
    assert verdict.outcome == outcome
    assert verdict.evidence["as_expected"] == pytest.approx(1 - odd / 20)


@pytest.mark.parametrize(
    ("tolerance", "outcome"), [(0.0, "failed"), (0.09, "failed"), (0.1, "passed")]
)
@pytest.mark.parametrize("expect", ["same", "higher"])
def test_a_row_may_move_the_wrong_way_by_the_tolerance(expect, tolerance, outcome):
    verdict = judge(
        [0.5, 0.5], [0.4, 0.5 if expect == "same" else 0.9], expect, tolerance=tolerance
    )
    assert verdict.outcome == outcome


def test_a_tolerance_does_not_forgive_a_mean_that_moves_the_wrong_way():
    verdict = judge([0.5] * 4, [0.49] * 4, "higher", tolerance=0.05)
    assert verdict.outcome == "failed"
    assert verdict.evidence["as_expected"] == 1
    assert "mean change -0.0100, higher is expected" in verdict.reason


@given(pairs=st.lists(st.tuples(CHANCE, CHANCE), min_size=1, max_size=30))
def test_what_is_higher_one_way_is_lower_the_other(pairs):
    before, after = zip(*pairs, strict=True)
    forth, back = judge(before, after, "higher"), judge(after, before, "lower")
    assert forth.outcome == back.outcome
    assert forth.evidence["as_expected"] == back.evidence["as_expected"]
    assert forth.evidence["mean_change"] == -back.evidence["mean_change"]
    assert not (forth.passed and judge(before, after, "lower").passed)


@given(
    pairs=st.lists(st.tuples(CHANCE, CHANCE), min_size=1, max_size=30),
    expect=st.sampled_from(["same", "higher", "lower"]),
    tolerances=st.tuples(st.floats(0, 0.9), st.floats(0, 0.9)),
    shares=st.tuples(st.floats(0.01, 1), st.floats(0.01, 1)),
)
def test_a_laxer_statement_never_fails_what_a_stricter_one_passed(
    pairs, expect, tolerances, shares
):
    before, after = zip(*pairs, strict=True)
    strict = judge(before, after, expect, tolerance=min(tolerances), share=max(shares))
    lax = judge(before, after, expect, tolerance=max(tolerances), share=min(shares))
    assert lax.passed or not strict.passed


def test_rounding_is_no_change():
    assert judge([0.3], [0.1 + 0.2], "same").passed


@pytest.mark.parametrize("expect", ["same", "higher", "lower"])
def test_a_prediction_that_is_no_number_is_never_as_expected(expect):
    verdict = judge([0.2] * 4, [math.nan] * 4, expect)
    assert verdict.outcome == "failed"
    assert verdict.evidence["as_expected"] == 0
    assert verdict.evidence["mean_change"] is None
    json.dumps(verdict.evidence, allow_nan=False)


# --- what is said of it --------------------------------------------------------------------------


def test_the_verdict_gives_the_share_the_mean_and_the_worst_row_without_its_values():
    verdict = judge([0.2, 0.5, 0.4], [0.3, 0.1, 0.35], "higher")
    assert verdict.reason == (
        "33.3% of 3 changed rows do not fall at all, at least 90.0% is asked; mean change "
        "-0.1167, higher is expected; worst row 1: from 0.5000 to 0.1000"
    )
    assert verdict.evidence["worst"] == {"row": 1, "before": 0.5, "after": 0.1}
    assert set(verdict.evidence) == {"rows", "as_expected", "mean_change", "worst"}


def test_the_worst_row_is_named_as_it_lies_in_all_rows_changed_or_not():
    rows = frame(0.1, 0.1, 0.1, 0.1)
    changed = frame(0.1, 0.1, 0.2, 0.5)
    verdict = judge_behaviour(NAME, Behaviour(changed, "same"), rows, column)
    assert verdict.evidence["worst"] == {"row": 3, "before": 0.1, "after": 0.5}


# --- rows that say nothing -----------------------------------------------------------------------


def test_rows_that_were_not_changed_do_not_count():
    rows = frame(*[0.5] * 100)
    changed = frame(*[0.5] * 99, 0.9)
    verdict = judge_behaviour(NAME, Behaviour(changed, "same"), rows, column)
    assert verdict.outcome == "failed"
    assert verdict.evidence["rows"] == 1


def test_a_statement_that_changes_nothing_decides_nothing():
    rows = frame(0.2, 0.5)
    verdict = judge_behaviour(NAME, Behaviour(rows, "same"), rows, column)
    assert verdict.outcome == "inconclusive"
    assert verdict.reason == "none of 2 rows was changed"


def test_no_rows_decide_nothing():
    assert judge([], [], "same").outcome == "inconclusive"


def test_a_missing_value_put_in_is_a_change():
    rows = pl.DataFrame({"x": [1.0, None], "p": [0.5, 0.5]})
    changed = rows.with_columns(x=pl.lit(None, dtype=pl.Float64))
    verdict = judge_behaviour(NAME, Behaviour(changed, "same"), rows, column)
    assert verdict.passed
    assert verdict.evidence["rows"] == 1


# --- what a function must not return -------------------------------------------------------------


@pytest.mark.parametrize("came", [None, pl.DataFrame({"p": [0.1]}), True])
def test_what_is_no_behaviour_is_refused_by_the_name_of_the_function(came):
    with pytest.raises(FeatureError, match=f"{NAME}: must return a Behaviour, it returned "):
        judge_behaviour(NAME, came, frame(0.1), column)


@pytest.mark.parametrize("of", [None, frame(0.1, 0.2, 0.3)])
def test_another_number_of_rows_is_refused(of):
    stated = Behaviour(frame(0.1), "same", of=of)
    with pytest.raises(FeatureError) as refused:
        judge_behaviour(NAME, stated, frame(0.1, 0.2, 0.3), column)
    assert str(refused.value) == (
        f"{NAME}: must return as many changed rows as it changes, 3 expected, 1 came"
    )


def test_a_lost_column_and_another_type_are_refused_by_their_name():
    rows = frame(0.1)
    with pytest.raises(FeatureError, match=f"{NAME}: .* the columns it was given, n is missing"):
        judge_behaviour(NAME, Behaviour(rows.drop("n"), "same"), rows, column)
    with pytest.raises(
        FeatureError, match=f"{NAME}: column 'n' must stay Int64, it came as String"
    ):
        judge_behaviour(NAME, Behaviour(rows.with_columns(n=pl.lit("a")), "same"), rows, column)


@pytest.mark.parametrize(
    ("stated", "said"),
    [
        ({"expect": "hihger"}, "expect must be one of same, higher, lower, got 'hihger'.*'higher'"),
        ({"tolerance": -0.1}, r"tolerance must lie in \[0, 1\), got -0.1"),
        ({"tolerance": math.nan}, r"tolerance must lie in \[0, 1\), got nan"),
        ({"share": 0.0}, r"share must lie in \(0, 1\], got 0.0"),
        ({"share": 1.1}, r"share must lie in \(0, 1\], got 1.1"),
    ],
)
def test_an_impossible_statement_is_refused(stated, said):
    with pytest.raises(FeatureError, match=f"{NAME}: {said}"):
        judge([0.1], [0.2], **{"expect": "same", **stated})


# --- the rows it is judged on --------------------------------------------------------------------


@given(height=st.integers(0, 60), count=st.integers(1, 60), seed=st.integers(0, 99))
def test_rows_are_drawn_once_each_in_order_and_the_same_for_a_seed(height, count, seed):
    rows = pl.DataFrame({"n": range(height)}, schema={"n": int})
    picked = pick_behaviour_rows(rows, count, seed=seed)["n"].to_list()
    assert len(picked) == min(height, count)
    assert picked == sorted(set(picked))
    assert picked == pick_behaviour_rows(rows, count, seed=seed)["n"].to_list()


def test_another_seed_draws_other_rows_from_everywhere():
    rows = pl.DataFrame({"n": range(10_000)})
    one, two = (pick_behaviour_rows(rows, 500, seed=seed) for seed in (1, 2))
    assert not one.equals(two)
    assert one["n"].mean() == pytest.approx(5000, abs=600)
    assert pick_behaviour_rows(rows, seed=1).height == 2000
