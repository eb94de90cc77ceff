"""All trees of a row in one call."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.ensemble import HistGradientBoostingClassifier

from mlops_assets.lifecycle.training import Feature, to_model_frame
from mlops_assets.serving.compiling.columns import (
    NotCompiledError,
    Rows,
    Seen,
    frame_columns,
    matrix_columns,
)
from mlops_assets.serving.compiling.trees import FEW_ROWS, GROUP, Forest, compile_boosting

WIDTH = 4
FEATURES = tuple(Feature(f"x{place}", "numeric") for place in range(WIDTH))


def fit(trees: int = 7, **settings: Any) -> HistGradientBoostingClassifier:
    random = np.random.default_rng(3)
    matrix = random.normal(size=(400, WIDTH)).round(1)
    matrix[random.random(matrix.shape) < 0.1] = np.nan
    truth = np.nansum(matrix, axis=1) + random.normal(size=400) > 0
    return HistGradientBoostingClassifier(
        max_iter=trees, max_leaf_nodes=8, early_stopping=False, random_state=1, **settings
    ).fit(matrix, truth)


def forest_of(
    model: HistGradientBoostingClassifier, size: int
) -> tuple[Forest, list[Any], tuple[Any, Any]]:
    trees = [tree for (tree,) in model._predictors]
    known = model._bin_mapper.make_known_categories_bitsets()
    return Forest(trees, size, WIDTH, *known), trees, known


def leaves_of(forest: Forest, matrix: Any) -> Any:
    """The leaf value of every row (first axis) in every tree (second axis)."""
    return np.vstack(list(forest.leaves(matrix))).T


@pytest.mark.parametrize("size", [1, 3, GROUP, 40])
@pytest.mark.parametrize("count", [1, 2, 3, 5, 8, 17])
def test_however_many_trees_there_are_each_answers_for_itself(count, size):
    forest, trees, known = forest_of(fit(count), size)
    matrix = np.random.default_rng(5).normal(size=(50, WIDTH)) * 2
    matrix[::7] = np.nan
    alone = np.column_stack([tree.predict(matrix, *known, 1) for tree in trees])
    np.testing.assert_array_equal(leaves_of(forest, matrix), alone)
    assert len(np.unique(alone)) > count


def test_values_at_a_threshold_and_beside_it_go_the_same_way():
    model = fit(30)
    forest, trees, known = forest_of(model, GROUP)
    nodes = np.concatenate([tree.nodes[tree.nodes["is_leaf"] == 0] for tree in trees])
    for beside in (-np.inf, 0.0, np.inf):
        matrix = np.zeros((len(nodes), WIDTH))
        at = nodes["num_threshold"]
        matrix[np.arange(len(nodes)), nodes["feature_idx"]] = (
            at if beside == 0 else np.nextafter(at, beside)
        )
        alone = np.column_stack([tree.predict(matrix, *known, 1) for tree in trees])
        np.testing.assert_array_equal(leaves_of(forest, matrix), alone)


@pytest.mark.parametrize("height", [1, FEW_ROWS - 1, FEW_ROWS, FEW_ROWS + 1, 500])
def test_leaves_are_added_up_in_the_order_of_scikit_learn(numbers, height):
    model = fit(150)
    decide = compile_boosting(model, matrix_columns([None] * WIDTH), Seen())
    matrix = np.random.default_rng(9).normal(size=(height, WIDTH))
    np.testing.assert_array_equal(decide(numbers(matrix)), model.decision_function(matrix))


@settings(max_examples=60)
@given(
    row=st.lists(st.floats(allow_nan=True, allow_infinity=True), min_size=WIDTH, max_size=WIDTH),
    height=st.sampled_from([1, FEW_ROWS + 1]),
)
def test_any_double_ends_in_the_same_leaves(row, height):
    matrix = np.array([row] * height)
    np.testing.assert_array_equal(DECIDE(Rows(matrix)), MODEL.decision_function(matrix))


MODEL = fit(20)
DECIDE = compile_boosting(MODEL, matrix_columns([None] * WIDTH), Seen())


def test_the_same_rows_alone_and_among_others_get_the_same_double(numbers):
    matrix = np.random.default_rng(9).normal(size=(200, WIDTH))
    alone = [float(DECIDE(numbers(matrix[place : place + 1]))[0]) for place in range(200)]
    assert DECIDE(numbers(matrix)).tolist() == alone


def test_thresholds_are_noted_for_features_as_they_came():
    seen = Seen()
    compile_boosting(MODEL, frame_columns(FEATURES), seen)
    nodes = np.concatenate([tree.nodes for (tree,) in MODEL._predictors])
    splits = nodes[nodes["is_leaf"] == 0]
    for place, feature in enumerate(FEATURES):
        wanted = set(splits["num_threshold"][splits["feature_idx"] == place].tolist())
        assert wanted
        assert wanted <= set(seen.numbers[feature.name])


def test_categories_of_its_own_are_split_on_as_scikit_learn_does(flights, same):
    categories = [f.name for f in flights.FEATURES if f.kind == "categorical"]
    rows = flights.make_rows(2000, 1)
    model = HistGradientBoostingClassifier(max_iter=20, categorical_features=categories)
    model.fit(to_model_frame(rows, flights.FEATURES), rows["late"].to_numpy())
    assert sum(tree.nodes["is_categorical"].sum() for (tree,) in model._predictors) > 20
    same(model, flights.FEATURES, flights.make_strange_rows(1000, 2), (1, 2, 100, 1000))


def test_numbers_alone_need_no_pipeline(same):
    random = np.random.default_rng(1)
    rows = pl.DataFrame({f.name: random.normal(size=300) for f in FEATURES})
    model = HistGradientBoostingClassifier(max_iter=5)
    model.fit(to_model_frame(rows, FEATURES), rows["x0"].to_numpy() > 0)
    same(model, FEATURES, rows, (1, 2, 100))


def test_text_that_would_reach_the_trees_is_not_compiled():
    columns = frame_columns((Feature("carrier", "categorical"), *FEATURES[:3]))
    with pytest.raises(NotCompiledError, match="HistGradientBoostingClassifier of text"):
        compile_boosting(MODEL, columns, Seen())
