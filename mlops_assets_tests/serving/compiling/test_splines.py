"""B-splines against scipy's, as scikit-learn uses them."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.preprocessing import SplineTransformer

from mlops_assets.lifecycle.training import Feature, to_model_frame
from mlops_assets.serving.compiling.columns import (
    NotCompiledError,
    Rows,
    Seen,
    UndecidedError,
    frame_columns,
    matrix_columns,
)
from mlops_assets.serving.compiling.splines import compile_spline

FEATURES = tuple(Feature(name, "numeric") for name in ("minute", "temp", "rate"))


def make_rows(count: int = 200, seed: int = 0) -> pl.DataFrame:
    random = np.random.default_rng(seed)
    return pl.DataFrame(
        {
            "minute": random.integers(300, 1400, size=count).astype(float),
            "temp": random.normal(55, 20, size=count),
            "rate": random.beta(1, 4, size=count),
        }
    )


def at_and_beyond_the_knots(spline: SplineTransformer) -> pl.DataFrame:
    knots = np.array([basis.t for basis in spline.bsplines_]).T
    beside = [np.nextafter(knots, side) for side in (-np.inf, np.inf)]
    far = np.array([[1e30] * 3, [-1e30] * 3, [0.0] * 3, [-0.0] * 3, [5e-324] * 3])
    return pl.DataFrame(np.vstack([knots, *beside, far]), [feature.name for feature in FEATURES])


@pytest.mark.parametrize("degree", [1, 2, 3, 5])
@pytest.mark.parametrize("extrapolation", ["constant", "error", "continue"])
@pytest.mark.parametrize("knots", ["uniform", "quantile"])
@pytest.mark.parametrize("include_bias", [True, False])
def test_the_doubles_are_those_of_scikit_learn(
    same_matrix, degree, extrapolation, knots, include_bias
):
    spline = SplineTransformer(
        n_knots=6,
        degree=degree,
        extrapolation=extrapolation,
        knots=knots,
        include_bias=include_bias,
    ).fit(to_model_frame(make_rows(), FEATURES))
    with np.errstate(all="ignore"):
        same_matrix(spline, FEATURES, make_rows(30, 7))
        same_matrix(spline, FEATURES, at_and_beyond_the_knots(spline))


def test_knots_that_fall_together_are_no_trouble(same_matrix):
    rows = make_rows().with_columns(rate=pl.when(pl.col("rate") < 0.25).then(0.0).otherwise("rate"))
    spline = SplineTransformer(n_knots=6, knots="quantile").fit(to_model_frame(rows, FEATURES))
    inner = [basis.t[3:-3] for basis in spline.bsplines_]
    assert any((np.diff(knots) == 0).any() for knots in inner)
    same_matrix(spline, FEATURES, rows[:50])
    same_matrix(spline, FEATURES, at_and_beyond_the_knots(spline))


@settings(max_examples=150)
@given(row=st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=3, max_size=3))
def test_any_double_becomes_what_scikit_learn_makes_of_it(row):
    got = COMPILED.run(Rows(np.array([row])))
    np.testing.assert_array_equal(got, SPLINE.transform(np.array([row])))


SPLINE = SplineTransformer(n_knots=6, knots="quantile").fit(make_rows().to_numpy())
COMPILED = compile_spline(SPLINE, matrix_columns([None] * 3, finite=True), Seen())


def test_the_basis_adds_up_to_one():
    matrix = make_rows(50, 9).to_numpy()
    added = COMPILED.run(Rows(matrix)).reshape(50, 3, -1).sum(axis=2)
    np.testing.assert_allclose(added, 1.0, rtol=1e-12)


@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf])
def test_what_scikit_learn_refuses_is_left_to_it(number):
    row = np.array([[700.0, number, 0.1]])
    with pytest.raises(ValueError, match="contains"):
        SPLINE.transform(row)
    with pytest.raises(UndecidedError):
        COMPILED.run(Rows(row))


def test_knots_are_noted_for_features_as_they_came():
    seen = Seen()
    compile_spline(SPLINE, frame_columns(FEATURES), seen)
    for feature, basis in zip(FEATURES, SPLINE.bsplines_, strict=True):
        assert seen.numbers[feature.name] == basis.t[3:-3].tolist()


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"extrapolation": "linear"}, "extrapolation 'linear'"),
        ({"extrapolation": "periodic"}, "extrapolation 'periodic'"),
        ({"degree": 0}, "degree 0"),
        ({"sparse_output": True}, "sparse output"),
        ({"handle_missing": "zeros"}, "missing values"),
    ],
)
def test_what_has_no_compiled_form_says_so(settings, reason):
    spline = SplineTransformer(n_knots=4, **settings).fit(make_rows().to_numpy())
    with pytest.raises(NotCompiledError, match=reason):
        compile_spline(spline, matrix_columns([None] * 3), Seen())
