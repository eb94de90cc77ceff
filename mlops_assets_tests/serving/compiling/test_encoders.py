"""What encoders answer, tabulated by asking them."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, TargetEncoder

from mlops_assets.lifecycle.training import Feature, to_model_frame
from mlops_assets.serving.compiling.columns import (
    NotCompiledError,
    Rows,
    Seen,
    UndecidedError,
    frame_columns,
)
from mlops_assets.serving.compiling.encoders import UNSEEN_TEXT, Table, compile_encoder

TEXTS = (Feature("carrier", "categorical"), Feature("dest", "categorical"))
MIXED = (Feature("weekday", "numeric"), Feature("month", "numeric"))
ODD = ["", " ", "nan", "None", "aa", "AA ", "\x00", "\u6f22", "Z" * 3000, UNSEEN_TEXT, None]

ENCODERS = {
    "ordinal": OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1),
    "ordinal_nan": OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=np.nan),
    "ordinal_rare": OrdinalEncoder(
        handle_unknown="use_encoded_value", unknown_value=-1, min_frequency=30
    ),
    "ordinal_missing": OrdinalEncoder(
        handle_unknown="use_encoded_value", unknown_value=-2, encoded_missing_value=-1
    ),
    "ordinal_strict": OrdinalEncoder(),
    "one_hot_strict": OneHotEncoder(),
    "one_hot_ignore": OneHotEncoder(handle_unknown="ignore", sparse_output=False),
    "one_hot_rare": OneHotEncoder(handle_unknown="infrequent_if_exist", min_frequency=30),
    "one_hot_few": OneHotEncoder(handle_unknown="infrequent_if_exist", max_categories=3),
    "one_hot_drop": OneHotEncoder(drop="first", handle_unknown="ignore"),
    "one_hot_warn": OneHotEncoder(handle_unknown="warn", min_frequency=30),
}


def text_rows(count: int = 300) -> pl.DataFrame:
    random = np.random.default_rng(2)
    carrier = random.choice(
        ["UA", "DL", "AA", "WN", None], p=[0.4, 0.3, 0.2, 0.05, 0.05], size=count
    )
    dest = [f"D{place}" for place in random.geometric(0.2, size=count)]
    return pl.DataFrame({"carrier": carrier.tolist(), "dest": dest})


def odd_rows() -> pl.DataFrame:
    known = text_rows(40)
    odd = pl.DataFrame({"carrier": ODD, "dest": ODD[::-1]})
    half = pl.DataFrame({"carrier": ["UA"] * len(ODD), "dest": ODD})
    return pl.concat([known, odd, half])


@pytest.mark.filterwarnings("ignore:Found unknown categories")
@pytest.mark.parametrize("name", ENCODERS)
def test_every_value_becomes_what_the_encoder_makes_of_it(same_matrix, name):
    fitted = ENCODERS[name].fit(to_model_frame(text_rows(), TEXTS))
    same_matrix(fitted, TEXTS, odd_rows())


@pytest.mark.parametrize("name", ENCODERS)
@pytest.mark.filterwarnings("ignore:Found unknown categories")
def test_an_encoder_fitted_without_missing_values_treats_them_alike(same_matrix, name):
    complete = text_rows().drop_nulls()
    fitted = ENCODERS[name].fit(to_model_frame(complete, TEXTS))
    same_matrix(fitted, TEXTS, odd_rows())


@pytest.mark.parametrize("name", [n for n in ENCODERS if n != "one_hot_drop"])
@pytest.mark.parametrize("single", ["carrier", "dest"])
@pytest.mark.filterwarnings("ignore:Found unknown categories")
def test_a_column_of_one_category_keeps_its_outputs(same_matrix, name, single):
    rows = text_rows().with_columns(pl.lit("only").alias(single))
    fitted = ENCODERS[name].fit(to_model_frame(rows, TEXTS))
    same_matrix(fitted, TEXTS, pl.concat([rows[:20], odd_rows()]))


@pytest.mark.parametrize("name", ["ordinal", "ordinal_missing", "one_hot_ignore", "one_hot_rare"])
def test_numbers_are_encoded_as_well(same_matrix, name):
    random = np.random.default_rng(3)
    rows = pl.DataFrame(
        {
            "weekday": random.integers(1, 8, size=200).astype(float),
            "month": [None if m > 10 else float(m) for m in random.integers(1, 13, size=200)],
        }
    )
    fitted = ENCODERS[name].fit(to_model_frame(rows, MIXED))
    odd = pl.DataFrame(
        {"weekday": [0.0, -0.0, 1.5, 1e30, None], "month": [None, 1.0, -1.0, 9.0, 2.0]}
    )
    same_matrix(fitted, MIXED, pl.concat([rows[:50], odd]))


def test_an_encoder_of_targets_is_a_table_as_well(same_matrix):
    rows = text_rows()
    truth = np.random.default_rng(1).integers(0, 2, size=rows.height)
    fitted = TargetEncoder(random_state=1).fit(to_model_frame(rows, TEXTS), truth)
    same_matrix(fitted, TEXTS, odd_rows())


@settings(max_examples=100)
@given(
    texts=st.lists(
        st.one_of(st.none(), st.text(st.characters(exclude_categories=["Cs"]))),
        min_size=1,
        max_size=4,
    )
)
def test_any_text_becomes_what_the_encoder_makes_of_it(texts):
    rows = pl.DataFrame(
        {"carrier": texts, "dest": ["D1"] * len(texts)}, {"carrier": pl.String, "dest": pl.String}
    )
    wanted = FITTED.transform(to_model_frame(rows, TEXTS)).toarray()
    got = COMPILED.run(Rows(np.empty((len(texts), 0)), [texts, ["D1"] * len(texts)]))
    np.testing.assert_array_equal(got, wanted)


FITTED = OneHotEncoder(handle_unknown="infrequent_if_exist", min_frequency=30).fit(
    to_model_frame(text_rows(), TEXTS)
)
COMPILED = compile_encoder(FITTED, frame_columns(TEXTS), Seen())


def test_a_text_that_is_no_unicode_is_left_to_scikit_learn():
    with pytest.raises(UndecidedError, match="Unicode"):
        COMPILED.run(Rows(np.empty((1, 0)), [["\udc80"], ["D1"]]))


def test_categories_are_noted_without_a_missing_one_that_is_none():
    seen = Seen()
    compile_encoder(FITTED, frame_columns(TEXTS), seen)
    assert {"UA", "DL", "AA", "WN"} <= set(seen.texts["carrier"])
    assert None not in seen.texts["carrier"]


def test_a_table_that_refuses_unseen_values_says_nothing_of_missing_ones():
    table = Table({"UA": 1.0})
    for value in ("", None, "DL"):
        with pytest.raises(UndecidedError):
            table[value]
    table.unseen = 2.0
    assert (table["UA"], table["DL"]) == (1.0, 2.0)
    for value in ("", None):
        with pytest.raises(UndecidedError):
            table[value]


class LooksAtBoth(OneHotEncoder):
    """Marks rows whose two values are the same."""

    def transform(self, X):  # noqa: N803 - scikit-learn's name
        plain = super().transform(X).toarray()
        same = (X.iloc[:, 0] == X.iloc[:, 1]).to_numpy().astype(float)
        return np.column_stack([plain, same])


class TurnsAround(OrdinalEncoder):
    """The outputs of the last column first."""

    def transform(self, X):  # noqa: N803 - scikit-learn's name
        return super().transform(X)[:, ::-1]


@pytest.mark.parametrize(
    ("encoder", "reason"),
    [
        (LooksAtBoth(handle_unknown="ignore"), "two columns at once"),
        (
            TurnsAround(handle_unknown="use_encoded_value", unknown_value=-1),
            "order of columns",
        ),
    ],
)
def test_an_encoder_that_is_no_table_by_column_is_not_compiled(encoder, reason):
    rows = pl.DataFrame({"carrier": ["a", "b", "c"] * 9, "dest": ["b", "a", "d"] * 9})
    fitted = encoder.fit(to_model_frame(rows, TEXTS))
    with pytest.raises(NotCompiledError, match=reason):
        compile_encoder(fitted, frame_columns(TEXTS), Seen())
