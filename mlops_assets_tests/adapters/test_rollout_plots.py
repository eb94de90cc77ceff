"""Pictures of a rollout and its drills: PNG that shows what it was given."""

from __future__ import annotations

import pytest

from mlops_assets.adapters import rollout_plots as plots
from mlops_assets_tests.adapters.pictures import pixels, require_whole_picture, size

BLUE, RED, GREY = "3355aa", "c0392b", "9aa3ad"
HARM = {"canary_errors_are_not_higher": 0.4, "canary_is_not_slower": -0.2}
PROOF = {"canary_is_within_the_margin": 0.6}

PICTURES = {
    "rollout": lambda: plots.draw_rollout([0, 10, 50], HARM, PROOF),
    "rollout begun": lambda: plots.draw_rollout([0], {}, {}),
    "beyond all limits": lambda: plots.draw_rollout([0, 10], {"a": 1e9, "b": -1e9}, {}),
    "drills": lambda: plots.draw_drills([0.1, 0.4, 0.2], 1.0),
    "one drill": lambda: plots.draw_drills([0.1], 1.0),
}


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_is_a_whole_png_of_a_size_people_can_read(name):
    require_whole_picture(PICTURES[name]())


@pytest.mark.parametrize("name", PICTURES)
def test_the_same_values_give_the_same_bytes(name):
    assert PICTURES[name]() == PICTURES[name]()


@pytest.mark.parametrize(("nearness", "red"), [(0.99, False), (1.0, True), (7.0, True)])
def test_harm_is_red_from_its_limit_on(nearness, red):
    drawn = plots.draw_rollout([0, 10], {"canary_errors_are_not_higher": nearness}, {})
    assert (pixels(drawn, RED) > 100) is red


def test_a_proof_is_never_red():
    drawn = plots.draw_rollout([0, 10], {}, {"canary_is_within_the_margin": 1.4})
    assert pixels(drawn, RED) == 0


def test_more_guardrails_make_a_higher_picture():
    many = {f"guardrail {n}": 0.5 for n in range(9)}
    assert size(plots.draw_rollout([0], many, {}))[1] > size(plots.draw_rollout([0], {}, {}))[1]


@pytest.mark.parametrize(("slowest", "red"), [(0.9, False), (1.1, True)])
def test_a_drill_beyond_the_limit_is_red(slowest, red):
    assert (pixels(plots.draw_drills([0.2, slowest], 1.0), RED) > 100) is red
