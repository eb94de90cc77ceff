"""The picture of a replayed year shows what happened under each policy, and nothing else."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mlops_assets.adapters.timeline_plots import Timeline, draw_year
from mlops_assets_tests.adapters.pictures import pixels, require_whole_picture

RED, GREEN, ORANGE, BLUE = "c0392b", "2e8b57", "d98c00", "3355aa"
WEEKS = [f"2013-{week // 4 + 3:02d}-{week % 4 * 7 + 1:02d}" for week in range(20)]
RATE = [0.2 + week / 100 for week in range(20)]
YARDSTICK = [0.15 + week / 1000 for week in range(20)]
QUIET = Timeline("never", [value + 0.01 for value in YARDSTICK], [None] * 20)


def draw(*timelines: Timeline) -> bytes:
    return draw_year(WEEKS, RATE, timelines, YARDSTICK)


@pytest.mark.parametrize("count", [1, 3])
def test_a_picture_is_a_whole_png_of_a_size_people_can_read(count):
    require_whole_picture(draw(*[QUIET] * count))


@pytest.mark.parametrize(
    ("happened", "colour"),
    [
        ({"alarms": range(5, 15)}, RED),
        ({"rolled_back": [4, 9]}, RED),
        ({"retrained": [3, 8]}, ORANGE),
        ({"promoted": [4, 9]}, GREEN),
        ({"estimated": YARDSTICK}, BLUE),
    ],
)
def test_what_happened_is_drawn_and_what_did_not_is_not(happened, colour):
    assert pixels(draw(replace(QUIET, **happened)), colour) > pixels(draw(QUIET), colour)


def test_a_year_of_a_single_week_whose_scores_are_all_the_same_is_drawn():
    require_whole_picture(draw_year(WEEKS[:1], [0.2], [Timeline("never", [0.1], [0.1])], [0.1]))


def test_the_same_values_give_the_same_bytes():
    assert draw(QUIET) == draw(QUIET)
