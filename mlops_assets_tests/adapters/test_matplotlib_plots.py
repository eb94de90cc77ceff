"""Pictures of drift: PNG that shows what it was given."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from mlops_assets.adapters import matplotlib_plots as plots
from mlops_assets.lifecycle.drift.report import ColumnDrift, ColumnSummary, DriftReport, Finding
from mlops_assets.lifecycle.verdicts import Verdict
from mlops_assets_tests.adapters.pictures import pixels, require_whole_picture, size

BLUE, RED, GREY, ORANGE = "3355aa", "c0392b", "9aa3ad", "d98a1e"
FOUND = (Finding("missing", 0.01, 0.2, "missing in 20 % of the rows"),)


def summary(scale=1.0):
    return ColumnSummary(0.01, tuple(scale * n for n in range(19)), -1.0, 20.0 * scale)


def column(n, drifted=False, **other):
    said = {"reference": summary(), "current": summary(1.5), **other}
    return ColumnDrift(f"column {n}", "numeric", 0.1 * (n + 1), 0.01, 0.02, 0.5, drifted, **said)


def report(*columns):
    verdict = Verdict("reference_still_holds", "failed", "why")
    return DriftReport(columns, 0.5, verdict, replace(verdict, name="values_are_intact"), 10, 10)


def drift(*drifted):
    return report(*(column(n, flag) for n, flag in enumerate(drifted)))


def shifts(count):
    return plots.draw_shifts([column(n, True) for n in range(count)])


PICTURES = {
    "drift": lambda: plots.draw_drift(drift(True, False)),
    "no drift": lambda: plots.draw_drift(drift()),
    "one shift": lambda: shifts(1),
    "four shifts": lambda: shifts(4),
    "many shifts": lambda: shifts(30),
}


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_is_a_whole_png_of_a_size_people_can_read(name):
    require_whole_picture(PICTURES[name]())


@pytest.mark.parametrize("name", PICTURES)
def test_the_same_values_give_the_same_bytes(name):
    assert PICTURES[name]() == PICTURES[name]()


def test_pictures_that_are_drawn_at_once_do_not_mix():
    draws = [PICTURES[name] for name in ("drift", "no drift", "drift", "no drift")]
    alone = [draw() for draw in draws]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda draw: draw(), draws)) == alone


@pytest.mark.parametrize(("flags", "red"), [((True, False), True), ((False, False), False)])
def test_a_drifted_column_is_red(flags, red):
    assert (pixels(plots.draw_drift(drift(*flags)), RED) > 100) is red


def test_a_column_of_which_something_else_was_flagged_is_orange():
    drawn = plots.draw_drift(report(column(0, findings=FOUND), column(1)))
    assert pixels(drawn, ORANGE) > 100
    assert pixels(drawn, RED) == 0
    assert pixels(plots.draw_drift(drift(True, False)), ORANGE) == 0


def test_predictions_and_labels_are_told_apart_from_features():
    assert pixels(plots.draw_drift(report(column(0, role="prediction"))), BLUE) > 100
    assert pixels(plots.draw_drift(report(column(0))), BLUE) == 0


def test_of_many_columns_the_flagged_ones_and_then_those_that_shifted_most_are_drawn():
    many = drift(*[True] + [False] * 25)
    assert pixels(plots.draw_drift(many), RED) > 100
    assert size(plots.draw_drift(many)) == size(plots.draw_drift(drift(*[False] * 20)))


def test_a_shift_shows_both_sides():
    drawn = shifts(1)
    assert pixels(drawn, RED) > 50
    assert pixels(drawn, GREY) > 50


@pytest.mark.parametrize(
    "columns",
    [
        [],
        [column(0)],
        [column(0, True, reference=None)],
        [column(0, True, current=ColumnSummary(0.5))],
    ],
    ids=["none", "not flagged", "never summarised", "a category"],
)
def test_without_a_flagged_column_with_quantiles_there_is_no_picture_of_shifts(columns):
    assert plots.draw_shifts(columns) is None


def test_the_heaviest_shifts_are_drawn_and_more_of_them_need_more_room():
    assert size(shifts(7)) == size(shifts(6))
    assert size(shifts(4))[1] > size(shifts(3))[1]
    heavy = column(9, True, current=summary(40.0))
    light = [replace(column(n, True), weight=0.01) for n in range(6)]
    assert plots.draw_shifts([*light, heavy]) != plots.draw_shifts([*light, light[0]])
