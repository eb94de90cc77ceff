"""Pictures of drift: PNG that shows what it was given."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from mlops_assets.adapters import matplotlib_plots as plots
from mlops_assets.lifecycle.drift.report import ColumnDrift, DriftReport
from mlops_assets.lifecycle.verdicts import Verdict
from mlops_assets_tests.adapters.pictures import pixels, require_whole_picture, size

BLUE, RED, GREY = "3355aa", "c0392b", "9aa3ad"


def drift(*drifted):
    columns = tuple(
        ColumnDrift(f"column {n}", "numeric", 0.1 * (n + 1), 0.01, 0.02, 0.5, flag)
        for n, flag in enumerate(drifted)
    )
    return DriftReport(columns, 0.5, Verdict("reference_still_holds", "failed", "why"), 10, 10)


PICTURES = {
    "drift": lambda: plots.draw_drift(drift(True, False)),
    "no drift": lambda: plots.draw_drift(drift()),
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


def test_of_many_columns_those_that_shifted_most_are_drawn():
    many = drift(*[True] + [False] * 25)
    assert pixels(plots.draw_drift(many), RED) == 0
    assert size(plots.draw_drift(many)) == size(plots.draw_drift(drift(*[False] * 20)))
