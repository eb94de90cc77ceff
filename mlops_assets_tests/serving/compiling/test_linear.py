"""Logistic regression: the last bit too."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from mlops_assets.lifecycle.training import to_model_frame
from mlops_assets.serving.compiling.columns import (
    Rows,
    Seen,
    UndecidedError,
    frame_columns,
    matrix_columns,
)
from mlops_assets.serving.compiling.linear import ask_order, compile_logistic

WIDTH = 211


def fit() -> LogisticRegression:
    random = np.random.default_rng(4)
    matrix = random.normal(size=(300, WIDTH)) * 10.0 ** random.integers(-3, 3, size=WIDTH)
    return LogisticRegression(tol=0.1).fit(matrix, random.random(300) < 0.4)


MODEL = fit()


def wide(height: int) -> np.ndarray:
    random = np.random.default_rng(height)
    return random.normal(size=(height, WIDTH)) * (random.random((height, WIDTH)) < 0.3)


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("height", [1, 2, 3, 64, 1000])
def test_the_product_of_a_dense_matrix_is_scikit_learns(order, height):
    matrix = wide(height)
    decide = compile_logistic(MODEL, matrix_columns([None] * WIDTH), order)
    wanted = MODEL.decision_function(np.asarray(matrix, order=order))
    np.testing.assert_array_equal(decide(Rows(matrix)), wanted)


@pytest.mark.parametrize("height", [1, 2, 3, 64, 1000])
def test_the_product_of_a_sparse_matrix_is_scikit_learns(height):
    matrix = wide(height)
    decide = compile_logistic(MODEL, matrix_columns([None] * WIDTH, sparse=True), "C")
    wanted = MODEL.decision_function(sparse.csr_array(matrix))
    np.testing.assert_array_equal(decide(Rows(matrix)), wanted)


@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("is_sparse", [True, False])
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_what_scikit_learn_refuses_is_left_to_it(number, is_sparse):
    matrix = wide(3)
    matrix[1, 7] = number
    decide = compile_logistic(MODEL, matrix_columns([None] * WIDTH, sparse=is_sparse), "C")
    with pytest.raises(ValueError, match="contains"):
        MODEL.decision_function(matrix)
    with pytest.raises(UndecidedError):
        decide(Rows(matrix))


def test_an_infinite_value_without_a_weight_is_seen_as_well():
    model = LogisticRegression()
    model.classes_, model.coef_, model.intercept_ = np.array([0, 1]), np.zeros((1, 1)), np.zeros(1)
    decide = compile_logistic(model, matrix_columns([None]), "C")
    with np.errstate(invalid="ignore"), pytest.raises(UndecidedError):
        decide(Rows(np.array([[np.inf]])))


@pytest.mark.parametrize("height", [1, 2, 5, 100])
@pytest.mark.parametrize("threshold", [0.0, 1.0])
def test_one_hot_columns_sparse_or_dense_give_the_same_doubles(flights, same, threshold, height):
    rows = flights.make_rows(600, 1, 0.0)
    names = [feature.name for feature in flights.FEATURES]
    prepare = ColumnTransformer(
        [
            ("texts", OneHotEncoder(handle_unknown="ignore"), names[:5]),
            ("numbers", StandardScaler(), names[5:]),
        ],
        sparse_threshold=threshold,
    )
    model = make_pipeline(prepare, LogisticRegression(max_iter=20, tol=0.1))
    model.fit(to_model_frame(rows, flights.FEATURES), rows["late"].to_numpy())
    assert prepare.sparse_output_ == bool(threshold)
    same(model, flights.FEATURES, rows.drop("late"), (height,))


def test_the_layout_in_memory_is_the_one_that_scikit_learn_has(flights):
    features = flights.FEATURES[5:]
    rows = flights.make_rows(50, 1, 0.0)
    frame = to_model_frame(rows, features)
    columns = frame_columns(features)
    for steps in ([], [StandardScaler()], [StandardScaler(), "passthrough", StandardScaler()]):
        table = frame
        for step in steps:
            table = table if step == "passthrough" else step.fit(table).transform(table)
        is_c = np.asarray(table).flags["C_CONTIGUOUS"]
        assert ask_order(steps, columns, Seen()) == ("C" if is_c else "F")


def test_numbers_alone_need_no_pipeline(flights, same):
    features = flights.FEATURES[5:]
    rows = flights.make_rows(300, 1, 0.0)
    model = LogisticRegression(tol=10.0)
    model.fit(to_model_frame(rows, features), rows["late"].to_numpy())
    same(model, features, rows.select(f.name for f in features), (1, 2, 100))
