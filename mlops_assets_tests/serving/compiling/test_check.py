"""The rows that a compiled form is checked on."""

from __future__ import annotations

from mlops_assets.lifecycle.training import Feature
from mlops_assets.serving.compiling.check import ROWS, build_check_rows
from mlops_assets.serving.compiling.columns import Column, Seen
from mlops_assets.serving.compiling.encoders import UNSEEN_TEXT

FEATURES = (Feature("distance", "numeric"), Feature("carrier", "categorical"))


def seen() -> Seen:
    found = Seen()
    found.note(Column(0, feature="distance"), [250.5, 900.25])
    found.note(Column(0, True, "carrier"), ["UA", "DL"])
    return found


def test_the_rows_hold_what_the_estimator_turns_on():
    rows = build_check_rows(FEATURES, seen())
    assert {250.5, 900.25} <= set(rows["distance"])
    assert {"UA", "DL", UNSEEN_TEXT, None} == set(rows["carrier"])
    assert [len(values) for values in rows.values()] == [ROWS, ROWS]


def test_some_rows_are_complete_one_misses_everything_and_one_was_never_seen():
    rows = build_check_rows(FEATURES, seen())
    pairs = list(zip(rows["distance"], rows["carrier"], strict=True))
    assert all(None not in pair for pair in pairs[:16])
    assert pairs[16] == (None, None)
    assert pairs[17] == (1801.5, UNSEEN_TEXT)
    assert sum(None in pair for pair in pairs) > 5


def test_they_are_the_same_every_time():
    assert build_check_rows(FEATURES, seen()) == build_check_rows(FEATURES, seen())


def test_an_estimator_that_knows_no_value_is_asked_all_the_same():
    rows = build_check_rows(FEATURES, Seen())
    assert len({value for value in rows["distance"] if value is not None}) > 2
    assert set(rows["carrier"]) == {None, UNSEEN_TEXT}


def test_only_finite_values_of_features_as_they_came_are_noted():
    found = Seen()
    found.note(Column(0, feature="distance"), [float("inf"), float("nan"), 1.0])
    found.note(Column(1), [2.0])
    assert found == Seen(numbers={"distance": [1.0]})
