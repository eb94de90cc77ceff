"""The picture of drift over many partitions: PNG that shows what it was given."""

from __future__ import annotations

import pytest

from mlops_assets.adapters import drift_history_plots as plots
from mlops_assets.adapters.drift_journal import PastWindow
from mlops_assets_tests.adapters.pictures import pixels, require_whole_picture, size

RED, GREEN, GREY, ORANGE, PURPLE, BLUE = (
    *("c0392b", "b7d7b0", "9aa3ad", "d98a1e", "7d3c98"),
    "3355aa",
)
WEIGHTS = {f"column {n}": 1 / (n + 1) for n in range(6)}


def window(number: int, version: str = "v1", outcome="passed", **other) -> PastWindow:
    effects = dict.fromkeys(WEIGHTS, 0.01 * (number % 5))
    said = {"intact": "passed", "effects": effects, "weights": WEIGHTS} | other
    return PastWindow(
        f"2013-{number // 4 + 1:02d}-{7 * (number % 4) + 1:02d}", version, outcome, **said
    )


def draw(*windows: PastWindow) -> bytes:
    return plots.draw_drift_history(windows)


PICTURES = {
    "one": lambda: draw(window(0)),
    "half a year": lambda: draw(*[window(n, "v1" if n < 9 else "v2") for n in range(26)]),
    "none": draw,
    "never compared": lambda: draw(window(0, outcome="inconclusive", effects={}, weights={})),
    "of an earlier state": lambda: draw(PastWindow("2013-01-07", "v1", "failed")),
    "an unknown aspect": lambda: draw(window(0, flags={"column 1": ("colour",)}, cause="magic")),
}


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_is_a_whole_png_of_a_size_people_can_read(name):
    require_whole_picture(PICTURES[name]())


@pytest.mark.parametrize("name", ["one", "half a year"])
def test_the_same_values_give_the_same_bytes(name):
    assert PICTURES[name]() == PICTURES[name]()


@pytest.mark.parametrize(
    ("other", "colour"),
    [
        ({"outcome": "failed"}, RED),
        ({"intact": "failed"}, RED),
        ({"outcome": "inconclusive"}, GREY),
        ({"cause": "data_bug"}, PURPLE),
        ({"cause": "covariate_drift"}, ORANGE),
        ({"cause": "concept_drift"}, BLUE),
    ],
)
def test_what_was_concluded_of_a_window_has_its_colour(other, colour):
    fine, told = [window(n) for n in range(9)], window(9, **other)
    assert pixels(draw(*fine, window(9)), colour) == 0
    assert pixels(draw(*fine, told), colour) > 100


def test_a_window_as_in_training_is_green_three_times():
    one = pixels(draw(*[window(n, outcome="inconclusive", intact=None) for n in range(8)]), GREEN)
    assert one == 0
    assert pixels(draw(*[window(n) for n in range(8)]), GREEN) > 3 * 8 * 100


def test_nothing_behind_what_could_not_be_judged_is_not_green():
    unknown = draw(*[window(n, outcome="inconclusive", intact=None) for n in range(8)])
    assert pixels(unknown, GREEN) == 0


@pytest.mark.parametrize("flag", ["shape", "missing", "unseen", "range"])
def test_a_flag_is_marked_in_its_cell(flag):
    plain, marked = window(0), window(0, flags={"column 2": (flag,)})
    assert pixels(draw(plain), RED) == 0
    assert pixels(draw(marked), RED) > 2
    assert size(draw(plain)) == size(draw(marked))


def test_marks_of_different_kinds_differ():
    drawn = {draw(window(0, flags={"column 2": (f,)})) for f in ("shape", "missing", "unseen")}
    assert len(drawn) == 3


def test_the_further_a_column_moved_the_darker_its_cell():
    drawn = [
        draw(window(0, effects={"column 0": 0.0, "column 1": effect})) for effect in (0.0, 0.1, 0.3)
    ]
    assert len(set(drawn)) == 3


def test_a_line_shows_where_another_version_served():
    same = [window(n) for n in range(10)]
    changed = [window(n, "v1" if n < 5 else "v2") for n in range(10)]
    assert pixels(draw(*changed), "000000") > pixels(draw(*same), "000000")


def test_more_columns_and_more_partitions_make_a_larger_picture():
    wide, high = size(draw(*[window(n) for n in range(26)]))
    assert wide > size(draw(*[window(n) for n in range(9)]))[0]
    many = {f"c{n}": 1.0 for n in range(40)}
    tall = draw(*[window(n, effects=many, weights=many) for n in range(26)])
    assert size(tall)[1] > high


def test_of_very_many_columns_the_flagged_ones_are_kept():
    many = {f"c{n}": 1 / (n + 1) for n in range(300)}
    light = window(0, effects=dict.fromkeys(many, 0.1), flags={"c299": ("shape",)}, weights=many)
    drawn = draw(*[light] * 3)
    require_whole_picture(drawn)
    assert pixels(drawn, RED) > 2


def test_a_window_that_could_not_be_judged_leaves_the_columns_in_their_order():
    weighed = [
        window(n, effects={"a": 0.0, "b": 0.3}, weights={"a": 0.1, "b": 0.9}) for n in (0, 1)
    ]
    swapped = [
        window(n, effects={"b": 0.3, "a": 0.0}, weights={"a": 0.1, "b": 0.9}) for n in (0, 1)
    ]
    unknown = window(2, outcome="inconclusive", effects={}, weights={})
    assert draw(*weighed, unknown) == draw(*swapped, unknown)
    heavier = [
        window(n, effects={"a": 0.0, "b": 0.3}, weights={"a": 0.9, "b": 0.1}) for n in (0, 1)
    ]
    assert draw(*weighed, unknown) != draw(*heavier, unknown)
