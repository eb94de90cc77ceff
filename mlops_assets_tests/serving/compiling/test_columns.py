"""From the columns of a request to rows."""

from __future__ import annotations

import numpy as np
import pytest

from mlops_assets.lifecycle.training import Feature
from mlops_assets.serving.compiling.columns import (
    NotCompiledError,
    Rows,
    UndecidedError,
    frame_columns,
    reader,
    taker,
)

FEATURES = (
    Feature("carrier", "categorical"),
    Feature("distance", "numeric"),
    Feature("dest", "categorical"),
    Feature("wind", "numeric"),
    Feature("rate", "numeric"),
)
GIVEN = {
    "wind": [1.0, None],
    "dest": ["A", None],
    "distance": [2.0, 3.0],
    "carrier": [None, ""],
    "rate": [None, -0.0],
}


def test_numbers_and_texts_are_where_the_columns_say():
    rows = reader(FEATURES)(GIVEN, 2)
    for column in frame_columns(FEATURES).every:
        values = GIVEN[str(column.feature)]
        if column.text:
            assert rows.texts[column.at] == values
        else:
            wanted = [np.nan if value is None else value for value in values]
            np.testing.assert_array_equal(rows.numbers[:, column.at], wanted)


def test_without_numbers_there_are_as_many_rows():
    rows = reader(FEATURES[:1])({"carrier": ["a", None, "c"]}, 3)
    assert rows.numbers.shape == (3, 0)


@pytest.mark.parametrize("number", [float("inf"), float("-inf")])
def test_an_infinite_number_is_not_decided_on(number):
    with pytest.raises(UndecidedError):
        reader(FEATURES)(GIVEN | {"wind": [1.0, number]}, 2)


def test_a_feature_that_did_not_come_is_not_decided_on():
    with pytest.raises(UndecidedError, match="wind"):
        reader(FEATURES)({name: GIVEN[name] for name in GIVEN if name != "wind"}, 2)


def test_lists_that_are_not_as_long_as_said_are_no_rows():
    with pytest.raises(ValueError, match="reshape"):
        reader(FEATURES)(GIVEN, 3)


@pytest.mark.parametrize("chosen", [[1, 3, 4], [3, 4], [4, 1], [3], []])
def test_columns_are_taken_in_their_order(chosen):
    rows = reader(FEATURES)(GIVEN, 2)
    taken = taker(frame_columns(FEATURES).select(chosen), "it")(rows)
    wanted = [[GIVEN[FEATURES[place].name][row] for place in chosen] for row in range(2)]
    np.testing.assert_array_equal(taken, np.array(wanted, dtype=float).reshape(2, len(chosen)))


def test_text_is_not_taken_as_numbers():
    with pytest.raises(NotCompiledError, match="A scaler of text is not compiled"):
        taker(frame_columns(FEATURES).select([0, 1]), "A scaler")


def test_what_is_selected_is_still_named_and_finite():
    columns = frame_columns(FEATURES).select([4, 2])
    assert (columns.names, columns.named, columns.finite) == (["rate", "dest"], True, True)
    assert Rows(np.zeros((1, 1))).texts == ()
