"""Imputers, scalers and pass-throughs of numbers."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, MinMaxScaler, StandardScaler

from mlops_assets.lifecycle.training import Feature, to_model_frame
from mlops_assets.serving.compiling.columns import (
    NotCompiledError,
    Rows,
    Seen,
    UndecidedError,
    frame_columns,
    matrix_columns,
)
from mlops_assets.serving.compiling.numbers import compile_imputer, compile_standard_scaler
from mlops_assets.serving.compiling.steps import compile_step

FEATURES = tuple(Feature(name, "numeric") for name in ("distance", "wind", "empty", "constant"))


def make_rows(count: int = 100, seed: int = 0) -> pl.DataFrame:
    random = np.random.default_rng(seed)
    wind = [None if value > 1 else value for value in random.normal(size=count).tolist()]
    return pl.DataFrame(
        {
            "distance": random.normal(1000, 300, size=count),
            "wind": wind,
            "empty": pl.Series([None] * count, dtype=pl.Float64),
            "constant": [3.7] * count,
        }
    )


def odd_rows() -> pl.DataFrame:
    odd = [None, 0.0, -0.0, 5e-324, 1e30, -1e30, 1e300, 3.7]
    return pl.concat(
        [
            make_rows(20, 5),
            pl.DataFrame({f.name: odd[place:] + odd[:place] for place, f in enumerate(FEATURES)}),
            pl.DataFrame(
                {f.name: [None] for f in FEATURES}, {f.name: pl.Float64 for f in FEATURES}
            ),
        ]
    )


@pytest.mark.filterwarnings("ignore:Skipping features without any observed values")
@pytest.mark.filterwarnings("ignore:All-NaN slice")
@pytest.mark.parametrize(
    "transformer",
    [
        SimpleImputer(),
        SimpleImputer(strategy="median"),
        SimpleImputer(strategy="most_frequent"),
        SimpleImputer(strategy="constant", fill_value=-1.0),
        SimpleImputer(keep_empty_features=True),
        SimpleImputer(add_indicator=True),
        SimpleImputer(add_indicator=True, keep_empty_features=True),
        StandardScaler(),
        StandardScaler(with_mean=False),
        StandardScaler(with_std=False),
        MinMaxScaler(),
        MinMaxScaler(feature_range=(-3, 0.1), clip=True),
        FunctionTransformer(),
        make_pipeline(SimpleImputer(strategy="median"), StandardScaler(), MinMaxScaler()),
        make_pipeline(SimpleImputer(add_indicator=True), FunctionTransformer(validate=True)),
    ],
    ids=repr,
)
def test_the_doubles_are_those_of_scikit_learn(same_matrix, transformer):
    with np.errstate(all="ignore"):
        fitted = transformer.fit(to_model_frame(make_rows(), FEATURES))
        same_matrix(fitted, FEATURES, odd_rows())
        same_matrix(fitted, FEATURES, make_rows(50, 3).with_columns(empty=1.0))


def test_a_pass_through_that_validates_refuses_missing_values_as_scikit_learn_does(same_matrix):
    complete = make_rows().fill_null(0.0)
    fitted = FunctionTransformer(validate=True).fit(to_model_frame(complete, FEATURES))
    same_matrix(fitted, FEATURES, odd_rows())
    same_matrix(fitted, FEATURES, complete[:20])


@pytest.mark.parametrize("transformer", [SimpleImputer(), StandardScaler(), MinMaxScaler()])
@settings(max_examples=60)
@given(row=st.lists(st.floats(allow_infinity=False), min_size=2, max_size=2))
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_any_double_becomes_what_scikit_learn_makes_of_it(transformer, row):
    fitted = transformer.fit(np.array([[1.0, -5.0], [2.5, 1e-3], [1e7, 0.1]]))
    step = compile_step(fitted, matrix_columns([None, None], finite=True), Seen())
    np.testing.assert_array_equal(step.run(Rows(np.array([row]))), fitted.transform([row]))


@pytest.mark.parametrize("transformer", [SimpleImputer(), StandardScaler(), MinMaxScaler()])
def test_an_infinite_number_made_on_the_way_is_left_to_scikit_learn(transformer):
    fitted = transformer.fit(np.array([[1.0], [2.0], [4.0]]))
    step = compile_step(fitted, matrix_columns([None]), Seen())
    for number in (np.inf, -np.inf):
        with pytest.raises(ValueError, match="infinity"):
            fitted.transform([[number]])
        with pytest.raises(UndecidedError):
            step.run(Rows(np.array([[number]])))


@pytest.mark.parametrize("name", ["SimpleImputer", "StandardScaler", "MinMaxScaler"])
def test_what_comes_in_stays_as_it_is(name):
    transformer = {
        "SimpleImputer": SimpleImputer(),
        "StandardScaler": StandardScaler(),
        "MinMaxScaler": MinMaxScaler(clip=True),
    }[name].fit(np.array([[1.0], [2.0], [4.0]]))
    given_rows = np.array([[np.nan], [7.0]])
    before = given_rows.copy()
    compile_step(transformer, matrix_columns([None]), Seen()).run(Rows(given_rows))
    np.testing.assert_array_equal(given_rows, before)


def test_imputed_columns_are_still_the_features_that_came():
    columns = frame_columns(FEATURES)
    fitted = SimpleImputer(add_indicator=True, keep_empty_features=True).fit(
        to_model_frame(make_rows(), FEATURES)
    )
    seen = Seen()
    step = compile_imputer(fitted, columns, seen)
    assert [column.feature for column in step.out.every] == [*columns.names, None, None]
    assert seen.numbers["constant"] == [3.7]


@pytest.mark.parametrize(
    ("transformer", "reason"),
    [
        (SimpleImputer(missing_values=0.0), "other missing values"),
        (FunctionTransformer(np.log1p), "with a function"),
        (FunctionTransformer(np.nan_to_num, validate=True), "with a function"),
    ],
)
def test_what_has_no_compiled_form_says_so(transformer, reason):
    fitted = transformer.fit(np.array([[1.0], [2.0], [4.0]]))
    with pytest.raises(NotCompiledError, match=reason):
        compile_step(fitted, matrix_columns([None]), Seen())


def test_a_sparse_matrix_is_not_scaled():
    with pytest.raises(NotCompiledError, match="sparse"):
        compile_standard_scaler(StandardScaler(), matrix_columns([None], sparse=True), Seen())
