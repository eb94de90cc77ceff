"""Training: one way in for features, and refusals that say what to change."""

from __future__ import annotations

import math

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlops_assets.lifecycle.errors import FeatureError, TrainingError
from mlops_assets.lifecycle.training import (
    MISSING_CATEGORY,
    Feature,
    ModelSignature,
    fit_estimator,
    predict_probability,
    to_model_frame,
)

MIXED = (Feature("group", "categorical"), Feature("x", "numeric"))


@settings(max_examples=50)
@given(
    rows=st.lists(
        st.tuples(st.none() | st.text("ab", max_size=3), st.none() | st.integers(-9, 9)), max_size=9
    )
)
def test_features_reach_the_model_in_order_with_gaps_as_nan_and_the_missing_category(rows):
    table = pl.DataFrame(
        rows, schema={"group": pl.String, "x": pl.Int64}, orient="row"
    ).with_columns(other=1)
    framed = to_model_frame(table.select("x", "other", "group"), MIXED)
    assert list(framed.columns) == ["group", "x"]
    assert framed["x"].dtype == np.float64
    assert framed["group"].to_list() == [g if g is not None else MISSING_CATEGORY for g, _ in rows]
    for given_value, (_, value) in zip(framed["x"], rows, strict=True):
        assert math.isnan(given_value) if value is None else given_value == value


def test_booleans_and_numbers_become_what_their_kind_says():
    table = pl.DataFrame({"group": [7, None], "x": [True, None]})
    framed = to_model_frame(table, MIXED)
    assert framed["group"].to_list() == ["7", ""]
    assert framed["x"].to_list()[0] == 1.0


def test_a_column_of_nulls_alone_is_framed_like_any_other():
    table = pl.DataFrame({"group": [None, None], "x": [None, None]})
    framed = to_model_frame(table, MIXED)
    assert framed["group"].to_list() == ["", ""]
    assert framed["x"].isna().all()


def test_missing_columns_are_named_with_those_there_are():
    with pytest.raises(FeatureError, match="no column group, x; it has y"):
        to_model_frame(pl.DataFrame({"y": [1]}), MIXED)


def test_text_in_a_numeric_feature_is_refused_with_an_example():
    with pytest.raises(FeatureError, match=r"'x'.*\[\"fast\"\]"):
        to_model_frame(pl.DataFrame({"group": ["a", "b"], "x": ["1.5", "fast"]}), MIXED)


def test_a_fitted_estimator_tells_the_classes_apart(make_rows, features, build_logistic):
    rows, later = make_rows(400), make_rows(400, seed=1)
    model = fit_estimator(build_logistic, rows, features, "late", parameters={}, seed=7)
    probability = predict_probability(model, later, features)
    assert probability.shape == (400,)
    assert ((probability >= 0) & (probability <= 1)).all()
    late = later["late"].to_numpy()
    assert probability[late].mean() > probability[~late].mean() + 0.2


def test_probabilities_are_those_of_the_positive_label(make_rows, features, build_logistic):
    rows = make_rows(300)
    model = fit_estimator(build_logistic, rows, features, "late", parameters={}, seed=7)
    both = model.predict_proba(to_model_frame(rows, features))
    assert list(model.classes_) == [0, 1]
    np.testing.assert_array_equal(predict_probability(model, rows, features), both[:, 1])


def test_a_row_is_scored_the_same_alone_and_among_others(make_rows, features, build_logistic):
    rows = make_rows(60)
    model = fit_estimator(build_logistic, rows, features, "late", parameters={}, seed=7)
    together = predict_probability(model, rows, features)
    alone = [predict_probability(model, rows[n], features)[0] for n in range(60)]
    np.testing.assert_allclose(together, alone, rtol=1e-12)


def test_the_builder_gets_features_and_seed_and_the_parameters_are_set(
    make_rows, features, build_logistic
):
    asked = []

    def build(features, seed):
        asked.append((features, seed))
        return build_logistic(features, seed)

    stated = {"classifier__C": 0.125}
    model = fit_estimator(build, make_rows(50), list(features), "late", parameters=stated, seed=3)
    assert asked == [(features, 3)]
    assert model.get_params()["classifier__C"] == 0.125


@pytest.mark.parametrize("late", [True, False])
def test_rows_of_one_class_are_refused_before_anything_is_built(make_rows, features, late):
    rows = make_rows(50).with_columns(late=pl.lit(late))

    def build(**_):
        raise AssertionError

    with pytest.raises(TrainingError, match=r"label 'late' has 1 class\(es\) in 50 rows"):
        fit_estimator(build, rows, features, "late", parameters={}, seed=7)


def test_no_rows_are_refused(make_rows, features, build_logistic):
    with pytest.raises(TrainingError, match=r"0 class\(es\) in 0 rows"):
        fit_estimator(build_logistic, make_rows(0), features, "late", parameters={}, seed=7)


def test_a_parameter_that_does_not_exist_is_refused_by_name(make_rows, features, build_logistic):
    with pytest.raises(TrainingError, match="training: Invalid parameter 'learning_rat'"):
        fit_estimator(
            build_logistic,
            make_rows(50),
            features,
            "late",
            parameters={"classifier__learning_rat": 1},
            seed=7,
        )


def test_a_signature_names_its_features_in_order():
    signature = ModelSignature(
        "m", MIXED, "id", "time", "late", "2013-03-04", "digest", "build_estimator"
    )
    assert signature.names == ["group", "x"]
    assert signature.parameters == {}
