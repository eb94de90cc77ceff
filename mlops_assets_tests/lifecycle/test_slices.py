"""Slices: cut by SQL, measured on their own rows."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import brier_score_loss, roc_auc_score

from mlops_assets.lifecycle.errors import FeatureError
from mlops_assets.lifecycle.resampling import measure_mean
from mlops_assets.lifecycle.slices import LARGEST_VALUES, cut_slices, measure_slices


@pytest.fixture(scope="module")
def rows() -> pl.DataFrame:
    random = np.random.default_rng(1)
    probability = random.random(500)
    return pl.DataFrame(
        {
            "p": probability,
            "late": random.random(500) < probability,
            "origin": random.choice(["EWR", "JFK"], size=500),
            "minute_of_day": random.integers(300, 1400, 500),
            "distance": random.uniform(100, 2500, 500),
            "day": np.arange(500) // 50,
        }
    )


def measure(rows, slices, **arguments):
    truth = rows["late"].cast(int).to_numpy()
    return measure_slices(rows, slices, truth, rows["p"].to_numpy(), seed=1, **arguments)


def test_slices_measure_their_own_rows_and_add_up(rows):
    slices = measure(rows, {"from": "origin"})["from"]
    assert sum(measured["rows"] for measured in slices.values()) == 500
    for origin, part in rows.partition_by("origin", as_dict=True).items():
        late, probability = part["late"].to_numpy(), part["p"].to_numpy()
        assert slices[origin[0]] == {
            "rows": part.height,
            "positive_rate": pytest.approx(late.mean()),
            "auc": pytest.approx(roc_auc_score(late, probability)),
            "brier": pytest.approx(brier_score_loss(late, probability)),
        }


def test_an_expression_cuts_as_the_same_rule_in_polars_does(rows):
    slices = {
        "hour": "minute_of_day // 60",
        "band": "case when distance < 500 then 'short' when distance < 1500 then 'middle' "
        "else 'long' end",
        "far_from_jfk": "origin = 'JFK' and distance > 1000",
    }
    cut = cut_slices(rows, slices)
    hour = (rows["minute_of_day"] // 60).cast(str)
    far = rows.select((pl.col("origin") == "JFK") & (pl.col("distance") > 1000)).to_series()
    assert cut["hour"].tolist() == hour.to_list()
    assert set(cut["band"][rows["distance"].to_numpy() < 500]) == {"short"}
    assert cut["far_from_jfk"].tolist() == far.cast(str).to_list()
    for name, measured in measure(rows, slices).items():
        counted = dict(zip(*np.unique(cut[name], return_counts=True), strict=True))
        assert {value: of["rows"] for value, of in measured.items()} == counted


def test_numbers_are_sorted_as_numbers_and_missing_comes_last(rows):
    gapped = rows.with_columns(terminal=pl.when(pl.int_range(500) % 2 == 0).then(pl.col("day") + 2))
    measured = measure(gapped, {"terminal": "terminal"})["terminal"]
    assert list(measured) == [*(str(number) for number in range(2, 12)), "missing"]
    assert measured["missing"]["rows"] == 250


def test_numbers_without_a_fraction_are_written_without_one(rows):
    known = rows.with_columns(engines=pl.Series([1.0, 2.0, None, float("nan")] * 125))
    assert set(cut_slices(known, {"engines": "engines"})["engines"]) == {"1", "2", "missing"}


@settings(max_examples=30)
@given(sizes=st.lists(st.integers(1, 4), min_size=25, max_size=60))
def test_of_many_values_the_largest_are_kept_and_the_rest_is_other(sizes):
    values = [f"v{number:02}" for number, size in enumerate(sizes) for _ in range(size)]
    cut = cut_slices(pl.DataFrame({"v": values}), {"v": "v"})["v"].tolist()
    kept = {value for value in cut if value != "other"}
    assert len(kept) == min(len(sizes), LARGEST_VALUES)
    assert ("other" in cut) is (len(sizes) > LARGEST_VALUES)
    dropped = [sizes[int(value[1:])] for value in set(values) - kept]
    assert max(dropped, default=0) <= min(sizes[int(value[1:])] for value in kept)
    assert all(now in (before, "other") for now, before in zip(cut, values, strict=True))


@pytest.mark.parametrize("late", [True, False])
def test_a_slice_of_one_class_has_no_auc_but_the_rest(rows, late):
    one_sided = rows.with_columns(
        late=pl.when(pl.col("origin") == "EWR").then(late).otherwise("late")
    )
    measured = measure(one_sided, {"origin": "origin"}, days=rows["day"].to_numpy())["origin"]
    probability = rows.filter(pl.col("origin") == "EWR")["p"].to_numpy()
    assert measured["EWR"]["auc"] is None
    assert measured["EWR"]["brier"] == pytest.approx(np.mean((late - probability) ** 2))
    assert measured["EWR"]["brier_low"] <= measured["EWR"]["brier"]
    assert measured["JFK"]["auc"] is not None


def test_the_interval_of_a_slice_resamples_the_days_it_occurs_on(rows):
    measured = measure(rows, {"early": "day < 4"}, days=rows["day"].to_numpy())["early"]["true"]
    few = rows.filter(pl.col("day") < 4)
    errors = (few["late"].cast(int) - few["p"]).to_numpy() ** 2
    expected = measure_mean(errors, few["day"].to_numpy(), seed=1)
    assert measured["brier_low"] == pytest.approx(expected.low)
    assert measured["brier_high"] == pytest.approx(expected.high)
    assert measured["days"] == 4


def test_a_slice_of_one_day_has_an_interval_without_ends(rows):
    measured = measure(rows, {"first": "day = 0"}, days=rows["day"].to_numpy())["first"]["true"]
    assert (measured["brier_low"], measured["brier_high"], measured["days"]) == (None, None, 1)


@pytest.mark.parametrize("expression", ["orign", "origin +", "nonsense(", "day + 'x'", ""])
def test_an_expression_that_does_not_fit_is_named(rows, expression):
    with pytest.raises(FeatureError, match="slice 'wrong', expression") as raised:
        cut_slices(rows, {"wrong": expression})
    assert "minute_of_day" in str(raised.value)


def test_a_slice_may_be_called_like_a_column_and_leaves_the_rows_as_they_were(rows):
    before = rows.clone()
    assert set(cut_slices(rows, {"day": "origin"})["day"]) == {"EWR", "JFK"}
    assert rows.equals(before)
