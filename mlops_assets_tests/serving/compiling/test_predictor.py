"""The flights model's own estimators, compiled: the same doubles as scikit-learn's."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import cache
from math import inf, nan
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlops_assets.defs.flight_delays import model as science
from mlops_assets.lifecycle.errors import FeatureError
from mlops_assets.lifecycle.training import fit_estimator, predict_probability
from mlops_assets.serving.compiling import build_predictor
from mlops_assets.serving.compiling.columns import UndecidedError
from mlops_assets.serving.compiling.predictor import ScikitLearnPredictor

HEIGHTS = (1, 2, 31, 32, 33, 100, 1000)


@pytest.fixture(scope="module")
def fitted(flights):
    """The estimators of the flights model by name, each fitted once."""

    @cache
    def fit(name: str) -> Any:
        build = getattr(science, f"build_{name}")
        rows = flights.make_rows(2500, 1, 0.0 if name == "strict_estimator" else 0.1)
        return fit_estimator(build, rows, flights.FEATURES, "late", parameters={}, seed=1)

    return fit


@pytest.fixture(scope="module")
def compiled(flights, fitted):
    @cache
    def build(name: str) -> Any:
        return build_predictor(fitted(name), flights.FEATURES)

    return build


def ask(predictor: Any, columns: dict[str, list[Any]], height: int) -> list[float] | str:
    """The answers, or what the refusal says."""
    try:
        return predictor.predict(columns, height)
    except ValueError as refusal:
        return str(refusal)


@pytest.mark.parametrize("name", ["boosting", "logistic", "committee"])
def test_the_estimators_of_the_flights_model_give_the_same_doubles(flights, fitted, same, name):
    same(fitted(name), flights.FEATURES, flights.make_strange_rows(3000, 2), HEIGHTS)
    same(fitted(name), flights.FEATURES, flights.make_rows(1000, 3).drop("late"), (1, 100))


def test_the_strict_estimator_gives_the_same_doubles_for_complete_rows(flights, fitted, same):
    rows = flights.make_strange_rows(1000, 2, missing=0.0)
    same(fitted("strict_estimator"), flights.FEATURES, rows, HEIGHTS)


@pytest.mark.parametrize("height", [1, 2, 100])
def test_the_strict_estimator_goes_on_refusing_missing_values(
    flights, fitted, compiled, columns_of, height
):
    rows = flights.make_rows(height, 5, 0.3).drop("late")
    with pytest.raises(ValueError, match="contains NaN") as wanted:
        predict_probability(fitted("strict_estimator"), rows, flights.FEATURES)
    with pytest.raises(ValueError, match="contains NaN") as raised:
        compiled("strict_estimator").predict(columns_of(rows), height)
    assert str(raised.value) == str(wanted.value)


def test_a_missing_category_is_no_missing_value_to_the_strict_estimator(
    flights, fitted, compiled, columns_of
):
    rows = flights.make_rows(5, 5, 0.0).drop("late")
    rows = rows.with_columns(carrier=pl.lit(None, pl.String))
    wanted = predict_probability(fitted("strict_estimator"), rows, flights.FEATURES).tolist()
    assert compiled("strict_estimator").decide(columns_of(rows), 5) == wanted


def test_answers_are_plain_floats(flights, compiled, columns_of):
    rows = flights.make_rows(3, 5).drop("late")
    assert {type(p) for p in compiled("boosting").predict(columns_of(rows), 3)} == {float}
    slow = ScikitLearnPredictor(compiled("boosting")._original._estimator, flights.FEATURES, "why")
    assert {type(p) for p in slow.predict(columns_of(rows), 3)} == {float}


@pytest.mark.parametrize("name", ["boosting", "logistic", "committee"])
@pytest.mark.parametrize("number", [inf, -inf])
def test_an_infinite_number_is_left_to_scikit_learn(flights, compiled, columns_of, name, number):
    rows = flights.make_rows(2, 5).drop("late").with_columns(temp=pl.lit(number))
    with pytest.raises(UndecidedError):
        compiled(name).decide(columns_of(rows), 2)
    assert ask(compiled(name), columns_of(rows), 2) == ask(
        compiled(name)._original, columns_of(rows), 2
    )


@pytest.mark.filterwarnings("ignore:overflow")
def test_a_number_that_overflows_on_the_way_is_refused_as_scikit_learn_does(
    flights, fitted, compiled, columns_of
):
    rows = flights.make_rows(2, 5, 0.0).drop("late").with_columns(distance=pl.lit(-1.7e308))
    with pytest.raises(ValueError, match="infinity"):
        predict_probability(fitted("logistic"), rows, flights.FEATURES)
    with pytest.raises(ValueError, match="infinity"):
        compiled("logistic").predict(columns_of(rows), 2)


def test_a_feature_that_did_not_come_is_named_as_before(flights, compiled, columns_of):
    rows = flights.make_rows(2, 5).drop("late", "temp")
    with pytest.raises(FeatureError, match="no column temp"):
        compiled("boosting").predict(columns_of(rows), 2)


def test_more_columns_than_the_features_change_nothing(flights, compiled, columns_of):
    rows = flights.make_rows(4, 5)
    given_more = columns_of(rows) | {"of_the_canary": ["a", "b", "c", None]}
    wanted = compiled("boosting").predict(columns_of(rows.drop("late")), 4)
    assert compiled("boosting").predict(given_more, 4) == wanted


def test_no_rows_are_refused_as_scikit_learn_refuses_them(flights, compiled, columns_of):
    rows = flights.make_rows(2, 5).drop("late")[:0]
    with pytest.raises(ValueError, match="0 sample"):
        compiled("boosting").predict(columns_of(rows), 0)


def test_a_text_that_is_no_unicode_raises_as_in_scikit_learn(flights, compiled, columns_of):
    row = columns_of(flights.make_rows(1, 5).drop("late")) | {"carrier": ["\ud800"]}
    slow = compiled("boosting")._original
    with pytest.raises(Exception, match=r".") as wanted:
        slow.predict(row, 1)
    with pytest.raises(type(wanted.value)):
        compiled("boosting").predict(row, 1)


@pytest.mark.parametrize("name", ["boosting", "logistic", "committee"])
def test_rows_of_nothing_but_missing_values_are_answered(
    flights, fitted, compiled, columns_of, name
):
    rows = flights.make_rows(3, 5, 1.0).drop("late")
    rows = rows.with_columns(
        pl.lit(None, pl.String if f.kind == "categorical" else pl.Float64).alias(f.name)
        for f in flights.FEATURES
    )
    wanted = predict_probability(fitted(name), rows, flights.FEATURES).tolist()
    assert compiled(name).decide(columns_of(rows), 3) == wanted


def test_several_threads_get_the_answers_of_one(flights, compiled, columns_of):
    rows = flights.make_strange_rows(400, 8)
    asked = [columns_of(rows[start : start + 1 + start % 7]) for start in range(390)]
    predict = compiled("committee").predict
    alone = [predict(each, len(each["temp"])) for each in asked]
    with ThreadPoolExecutor(8) as threads:
        for _ in range(4):
            assert alone == list(threads.map(lambda each: predict(each, len(each["temp"])), asked))


texts = st.one_of(
    st.none(),
    st.sampled_from(["carrier 1", "carrier 2", "carrier 16", "", "nan", "None", "inf", "\x00"]),
    st.text(st.characters(exclude_categories=["Cs"])),
)
numbers = st.one_of(
    st.none(),
    st.sampled_from([0.0, -0.0, 5e-324, -5e-324, 1e30, -1e30, 3.5e38, 1e308, nan]),
    st.floats(allow_infinity=True),
)


@settings(max_examples=60, suppress_health_check=list(HealthCheck))
@given(data=st.data(), name=st.sampled_from(["boosting", "logistic"]))
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_whatever_comes_ends_as_in_scikit_learn(flights, compiled, columns_of, data, name):
    height = data.draw(st.integers(1, 3))
    rows = flights.make_rows(height, 5).drop("late")
    odd = data.draw(st.lists(st.sampled_from(flights.FEATURES), min_size=1, max_size=8))
    columns = columns_of(rows)
    for feature in odd:
        values = texts if feature.kind == "categorical" else numbers
        columns[feature.name] = data.draw(st.lists(values, min_size=height, max_size=height))
    assert ask(compiled(name), columns, height) == ask(compiled(name)._original, columns, height)
