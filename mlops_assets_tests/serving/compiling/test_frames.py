"""Rows for scikit-learn, made without the library that training makes tables with."""

from __future__ import annotations

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pandas.testing import assert_frame_equal

from mlops_assets.lifecycle.errors import FeatureError
from mlops_assets.lifecycle.training import Feature, to_model_frame
from mlops_assets.serving.compiling.frames import build_model_frame

FEATURES = (Feature("kind", "categorical"), Feature("x", "numeric"), Feature("y", "numeric"))
NUMBERS = st.none() | st.floats(allow_nan=False)
TEXTS = st.none() | st.text(st.characters(exclude_categories=["Cs"]), max_size=4)


@given(st.lists(st.tuples(TEXTS, NUMBERS, NUMBERS), max_size=6))
def test_a_frame_is_the_one_that_training_would_have_made(rows) -> None:
    columns = {f.name: [row[at] for row in rows] for at, f in enumerate(FEATURES)}
    types = {"kind": pl.String, "x": pl.Float64, "y": pl.Float64}
    expected = to_model_frame(pl.DataFrame(columns, types), FEATURES)
    made = build_model_frame(columns, FEATURES)
    assert_frame_equal(made, expected)
    assert [block.values.flags["F_CONTIGUOUS"] for block in made._mgr.blocks] == [
        block.values.flags["F_CONTIGUOUS"] for block in expected._mgr.blocks
    ]


def test_columns_are_in_the_order_of_the_features_and_others_are_left_out() -> None:
    made = build_model_frame({"y": [1.0], "more": [2.0], "x": [3.0], "kind": ["a"]}, FEATURES)
    assert list(made.columns) == ["kind", "x", "y"]


def test_a_column_that_is_missing_is_named() -> None:
    with pytest.raises(FeatureError, match="the rows have no column x, y"):
        build_model_frame({"kind": ["a"]}, FEATURES)


@pytest.mark.parametrize("wrong", [["text"], [[1.0]]])
def test_a_value_of_another_kind_is_named_with_its_feature(wrong) -> None:
    with pytest.raises(FeatureError, match="x holds a wrong value"):
        build_model_frame({"kind": ["a"], "x": wrong, "y": [1.0]}, FEATURES)
