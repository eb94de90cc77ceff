"""Pictures of a study: PNG that shows what it was given."""

from __future__ import annotations

import io
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import matplotlib.image
import pytest

from mlops_assets.adapters import study_plots as plots
from mlops_assets.lifecycle.tuning import Dimension, Trial, conclude_study
from mlops_assets_tests.adapters.pictures import pixels

BLUE, RED, GREY = "3355aa", "c0392b", "9aa3ad"
SPACE = {
    "rate": Dimension(0.001, 1.0, log=True),
    "leaves": Dimension(2, 9, int=True),
    "loss": Dimension(choices=("log", "square")),
    "shuffle": Dimension(choices=(True, False)),
}


def trial(number, value, rate=0.01, leaves=3, loss="log", shuffle=True, pruned=False):
    parameters = {"rate": rate, "leaves": leaves, "loss": loss, "shuffle": shuffle}
    return Trial(number, parameters, None if pruned else value, (value,), seconds=1.0)


TRIALS = (
    trial(1, 0.6, rate=0.001),
    trial(2, 0.5, rate=0.1, leaves=9, shuffle=False),
    trial(3, 0.9, pruned=True),
    trial(4, 0.55, rate=1.0, loss="square"),
)
STUDY = conclude_study("study", TRIALS, {"rate": 0.7, "leaves": 0.3}, "trials")
UNPRUNED = conclude_study("study", [t for t in TRIALS if not t.pruned], {}, "trials")
ONE = conclude_study("study", [trial(1, 0.6)], {}, "time")

PICTURES = {
    "history": lambda: plots.draw_history(STUDY),
    "history of one": lambda: plots.draw_history(ONE),
    "importance": lambda: plots.draw_parameter_importance(STUDY),
    "no importance": lambda: plots.draw_parameter_importance(ONE),
    "coordinates": lambda: plots.draw_parallel_coordinates(STUDY, SPACE),
    "coordinates without space": lambda: plots.draw_parallel_coordinates(STUDY),
    "coordinates of one": lambda: plots.draw_parallel_coordinates(ONE, SPACE),
}


def image(png):
    return (matplotlib.image.imread(io.BytesIO(png))[..., :3] * 255).round()


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_is_a_whole_png_of_a_size_people_can_read(name):
    png = PICTURES[name]()
    height, width = image(png).shape[:2]
    assert 300 <= width <= 1200
    assert 100 <= height <= 1200
    assert png.endswith(b"IEND\xaeB`\x82")


@pytest.mark.parametrize("name", PICTURES)
def test_the_same_values_give_the_same_bytes(name):
    assert PICTURES[name]() == PICTURES[name]()


def test_pictures_that_are_drawn_at_once_do_not_mix():
    alone = [draw() for draw in PICTURES.values()]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda draw: draw(), PICTURES.values())) == alone


def test_a_trial_that_was_given_up_is_a_red_cross():
    assert pixels(plots.draw_history(STUDY), RED) > 10
    assert pixels(plots.draw_history(UNPRUNED), RED) == 0


def test_a_study_that_ran_out_of_time_says_so():
    late = replace(STUDY, stopped="time")
    assert plots.draw_history(late) != plots.draw_history(STUDY)


def test_the_best_so_far_is_a_blue_line():
    assert pixels(plots.draw_history(STUDY), BLUE) > 100


def test_a_longer_bar_is_a_larger_share():
    def bars(**importance):
        return pixels(plots.draw_parameter_importance(replace(STUDY, importance=importance)), BLUE)

    assert bars(rate=0.5, leaves=0.5) > bars(rate=0.9, leaves=0.1) > bars() == 0


def test_the_order_of_importance_does_not_matter_to_its_picture():
    turned = replace(STUDY, importance=dict(reversed(STUDY.importance.items())))
    assert plots.draw_parameter_importance(turned) == plots.draw_parameter_importance(STUDY)


def test_the_best_trial_is_blue_among_grey_ones():
    many, one = (plots.draw_parallel_coordinates(of, SPACE) for of in (STUDY, ONE))
    assert pixels(many, BLUE) > 200
    assert pixels(one, BLUE) > 200
    assert pixels(many, GREY) > 10
    assert pixels(one, GREY) == 0


def test_pruned_trials_have_no_line():
    assert plots.draw_parallel_coordinates(STUDY, SPACE) == plots.draw_parallel_coordinates(
        UNPRUNED, SPACE
    )


def test_a_logarithmic_range_has_a_logarithmic_axis():
    assert plots._scale([0.01, 0.1, 1.0], log=True)[0.1] == pytest.approx(0.5)
    assert plots._scale([0.01, 0.1, 1.0], log=False)[0.1] == pytest.approx(1 / 11)
    assert plots.draw_parallel_coordinates(STUDY, SPACE) != plots.draw_parallel_coordinates(STUDY)


def test_choices_stand_in_the_order_of_their_names():
    assert plots._scale(["square", "log", "absolute"], log=False) == {
        "absolute": 0.0,
        "log": 0.5,
        "square": 1.0,
    }
    assert plots._scale([True, False, True], log=False) == {False: 0.0, True: 1.0}


def test_an_axis_of_numbers_names_its_ends_and_one_of_choices_names_all():
    assert plots._ends(plots._scale([3, 9, 5], log=False)) == [("3", 0.0), ("9", 1.0)]
    assert plots._ends(plots._scale([3, 3], log=False)) == [("3", 0.5)]
    ends = plots._ends(plots._scale(["a", "b", "c"], log=False))
    assert ends == [("a", 0.0), ("b", 0.5), ("c", 1.0)]
