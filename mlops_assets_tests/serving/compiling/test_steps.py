"""Column transformers and pipelines: which column goes where."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.frozen import FrozenEstimator
from sklearn.impute import SimpleImputer
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    MinMaxScaler,
    OneHotEncoder,
    OrdinalEncoder,
    RobustScaler,
    StandardScaler,
)

from mlops_assets.lifecycle.training import Feature, to_model_frame
from mlops_assets.serving.compiling.columns import NotCompiledError, Seen, frame_columns
from mlops_assets.serving.compiling.steps import compile_chain, compile_step

FEATURES = (
    Feature("distance", "numeric"),
    Feature("carrier", "categorical"),
    Feature("wind", "numeric"),
    Feature("dest", "categorical"),
    Feature("rate", "numeric"),
)
NUMBERS, TEXTS = ["distance", "wind", "rate"], ["carrier", "dest"]


def make_rows(count: int = 60) -> pl.DataFrame:
    random = np.random.default_rng(1)
    return pl.DataFrame(
        {
            "distance": random.normal(1000, 300, size=count),
            "carrier": random.choice(["UA", "DL", None], size=count).tolist(),
            "wind": [None if w > 1 else w for w in random.normal(size=count).tolist()],
            "dest": random.choice(["A", "B", "C", "D"], size=count).tolist(),
            "rate": random.random(count),
        }
    )


def ordinal() -> OrdinalEncoder:
    return OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)


def dense() -> OneHotEncoder:
    return OneHotEncoder(sparse_output=False)


BLOCKS = {
    "passed_after": ColumnTransformer([("t", ordinal(), TEXTS)], remainder="passthrough"),
    "dropped": ColumnTransformer([("t", ordinal(), TEXTS)], remainder="drop"),
    "drop_named": ColumnTransformer([("t", "drop", TEXTS), ("n", "passthrough", NUMBERS)]),
    "turned_around": ColumnTransformer(
        [("n", "passthrough", ["rate", "distance"]), ("t", ordinal(), TEXTS[::-1])]
    ),
    "twice": ColumnTransformer(
        [("a", "passthrough", ["wind"]), ("b", SimpleImputer(), ["wind", "rate"])]
    ),
    "by_place": ColumnTransformer([("n", StandardScaler(), [4, 0]), ("t", ordinal(), [1, 3])]),
    "from_the_end": ColumnTransformer([("n", MinMaxScaler(), [-1, -3]), ("t", ordinal(), [-2])]),
    "by_slice": ColumnTransformer([("n", "passthrough", slice("wind", "wind"))]),
    "by_mask": ColumnTransformer([("n", "passthrough", [True, False, True, False, True])]),
    "by_function": ColumnTransformer(
        [("n", "passthrough", lambda frame: [name for name in frame if name.startswith("r")])]
    ),
    "none_chosen": ColumnTransformer([("n", StandardScaler(), []), ("t", dense(), TEXTS)]),
    "remainder_scaled": ColumnTransformer([("t", dense(), TEXTS)], remainder=StandardScaler()),
    "sparse": ColumnTransformer(
        [("t", OneHotEncoder(), TEXTS), ("n", "passthrough", ["rate"])], sparse_threshold=1.0
    ),
    "sparse_blocks_made_dense": ColumnTransformer(
        [("t", OneHotEncoder(), TEXTS), ("n", "passthrough", ["rate"])], sparse_threshold=0.0
    ),
    "pipelines_inside": ColumnTransformer(
        [
            ("n", make_pipeline(SimpleImputer(), "passthrough", StandardScaler()), NUMBERS),
            ("t", Pipeline([("only", dense())]), ["dest"]),
        ]
    ),
    "nested": ColumnTransformer(
        [
            (
                "inner",
                ColumnTransformer([("d", ordinal(), ["dest"]), ("r", MinMaxScaler(), ["rate"])]),
                ["rate", "dest"],
            ),
            ("wind", SimpleImputer(add_indicator=True), ["wind"]),
        ]
    ),
    "one_after_another": make_pipeline(
        ColumnTransformer([("t", ordinal(), TEXTS), ("n", "passthrough", NUMBERS)]),
        ColumnTransformer([("late", StandardScaler(), [2, 4])], remainder="passthrough"),
        FunctionTransformer(),
    ),
}


@pytest.mark.parametrize("name", BLOCKS)
def test_every_column_ends_where_scikit_learn_puts_it(same_matrix, name):
    rows = make_rows()
    fitted = BLOCKS[name].fit(to_model_frame(rows, FEATURES))
    same_matrix(fitted, FEATURES, rows[:25])


def test_columns_are_found_by_name_when_they_come_in_another_order(same_matrix):
    rows = make_rows()
    fitted = BLOCKS["passed_after"].fit(to_model_frame(rows, FEATURES))
    same_matrix(fitted, FEATURES[::-1], rows[:10])


def test_frozen_transformers_are_those_they_hold(same_matrix):
    rows = make_rows()
    frame = to_model_frame(rows, FEATURES)
    inner = FrozenEstimator(ordinal().fit(frame[TEXTS]))
    fitted = ColumnTransformer([("t", inner, TEXTS)]).fit(frame)
    same_matrix(fitted, FEATURES, rows[:10])


def test_what_passes_through_is_still_known_by_its_feature():
    fitted = BLOCKS["passed_after"].fit(to_model_frame(make_rows(), FEATURES))
    step = compile_step(fitted, frame_columns(FEATURES), Seen())
    assert [column.feature for column in step.out.every] == [None, None, *NUMBERS]


@pytest.mark.parametrize(
    ("transformer", "reason"),
    [
        (ColumnTransformer([("n", RobustScaler(), ["rate"])]), "RobustScaler is not compiled"),
        (
            ColumnTransformer([("t", CountVectorizer(analyzer="char"), "dest")]),
            "a column by itself",
        ),
        (ColumnTransformer([("t", "passthrough", ["dest"])]), "of text"),
        (
            ColumnTransformer([("t", ordinal(), TEXTS)]).set_output(transform="pandas"),
            "ColumnTransformer with set_output",
        ),
        (
            make_pipeline(
                ColumnTransformer([("t", OneHotEncoder(), TEXTS)], sparse_threshold=1.0),
                StandardScaler(with_mean=False),
            ),
            "sparse",
        ),
    ],
)
def test_what_has_no_compiled_form_says_so(transformer, reason):
    fitted = transformer.fit(to_model_frame(make_rows(), FEATURES))
    with pytest.raises(NotCompiledError, match=reason):
        compile_chain([fitted], frame_columns(FEATURES), Seen())


class Shifted(StandardScaler):
    """A scaler that does more."""

    def transform(self, X, copy=None):  # noqa: N803 - scikit-learn's name
        return super().transform(X, copy) + 1.0


def test_a_subclass_may_do_anything_and_is_not_compiled():
    fitted = ColumnTransformer([("n", Shifted(), ["rate"])]).fit(
        to_model_frame(make_rows(), FEATURES)
    )
    with pytest.raises(NotCompiledError, match="Shifted is not compiled"):
        compile_step(fitted, frame_columns(FEATURES), Seen())
