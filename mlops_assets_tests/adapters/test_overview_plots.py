"""The picture of a model's life shows what happened, and leaves out what is not known."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mlops_assets.adapters.overview_plots import draw_overview
from mlops_assets.lifecycle.overview import MonitoredPartition
from mlops_assets_tests.adapters.pictures import pixels, require_whole_picture

BLUE, RED, GREEN = "3355aa", "c0392b", "2e7d32"
QUIET = [
    MonitoredPartition(f"2013-{week // 4 + 1:02d}-{week % 4 * 7 + 1:02d}", "v1", drift="passed")
    for week in range(12)
]


def with_one(**differences) -> bytes:
    return draw_overview([*QUIET[:5], replace(QUIET[5], **differences), *QUIET[6:]])


@pytest.mark.parametrize("partitions", [QUIET, QUIET[:1], QUIET * 5])
def test_a_picture_is_a_whole_png_of_a_size_people_can_read(partitions):
    require_whole_picture(draw_overview(partitions))


@pytest.mark.parametrize(
    ("happened", "colour"),
    [
        ({"drift": "failed"}, RED),
        ({"retrain_as_of": "2013-03-01"}, BLUE),
        ({"first": True}, GREEN),
        ({"realised": 0.15}, BLUE),
    ],
)
def test_what_happened_is_drawn_and_what_did_not_is_not(happened, colour):
    assert pixels(with_one(**happened), colour) > pixels(draw_overview(QUIET), colour)


def test_the_same_values_give_the_same_bytes():
    assert with_one(alarm=True) == with_one(alarm=True)
