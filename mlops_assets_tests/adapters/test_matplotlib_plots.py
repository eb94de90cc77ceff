"""Pictures: PNG that shows what it was given."""

from __future__ import annotations

import io
import struct
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import matplotlib.image
import numpy as np
import pytest

from mlops_assets.adapters import matplotlib_plots as plots
from mlops_assets.lifecycle.evaluation import EvaluationReport
from mlops_assets.lifecycle.monitoring import ColumnDrift, DriftReport
from mlops_assets.lifecycle.verdicts import Verdict

BLUE, RED, GREY = "3355aa", "c0392b", "9aa3ad"

REPORT = EvaluationReport(
    rows=1000,
    positive_rate=0.25,
    metrics={"auc": 0.7, "brier": 0.17, "log_loss": 0.5, "calibration_error": 0.02},
    roc={"false_positive_rate": [0.0, 0.2, 0.6, 1.0], "true_positive_rate": [0.0, 0.5, 0.9, 1.0]},
    calibration={"predicted": [0.1, 0.3], "observed": [0.15, 0.25], "rows": [500.0, 500.0]},
    slices={
        "carrier": {
            "UA": {"rows": 600.0, "positive_rate": 0.2, "auc": 0.7, "brier": 0.15},
            "DL": {"rows": 400.0, "positive_rate": 0.3, "auc": None, "brier": 0.18},
        }
    },
    importance={"distance": 0.05, "carrier": 0.01},
)
CHAMPION = replace(
    REPORT,
    metrics={**REPORT.metrics, "auc": 0.6},
    roc={"false_positive_rate": [0.0, 0.5, 1.0], "true_positive_rate": [0.0, 0.6, 1.0]},
)


def drift(*drifted):
    columns = tuple(
        ColumnDrift(f"column {n}", "numeric", 0.1 * (n + 1), 0.01, 0.02, 0.5, flag)
        for n, flag in enumerate(drifted)
    )
    return DriftReport(columns, 0.5, Verdict("reference_still_holds", "failed", "why"), 10, 10)


PICTURES = {
    "roc": lambda: plots.draw_roc(REPORT, None),
    "roc with champion": lambda: plots.draw_roc(REPORT, CHAMPION),
    "calibration": lambda: plots.draw_calibration(REPORT),
    "importance": lambda: plots.draw_importance(REPORT),
    "no importance": lambda: plots.draw_importance(replace(REPORT, importance={})),
    "slices": lambda: plots.draw_slices(REPORT),
    "no slices": lambda: plots.draw_slices(replace(REPORT, slices={})),
    "drift": lambda: plots.draw_drift(drift(True, False)),
    "no drift": lambda: plots.draw_drift(drift()),
    "trials": lambda: plots.draw_trials([0.5, 0.4, 0.6]),
    "one trial": lambda: plots.draw_trials([0.5]),
    "rollout": lambda: plots.draw_rollout([0, 5, 20], {"v2": (100, 3), "v1": (900, 0)}),
    "rollout begun": lambda: plots.draw_rollout([0], {}),
}


def size(png):
    """Width and height as a PNG's own header tells them."""
    signature, _, kind, width, height = struct.unpack(">8sI4sII", png[:24])
    assert (signature, kind) == (b"\x89PNG\r\n\x1a\n", b"IHDR")
    return width, height


def pixels(png, colour):
    """How many pixels have exactly this colour."""
    image = (matplotlib.image.imread(io.BytesIO(png))[..., :3] * 255).round()
    wanted = [int(colour[at : at + 2], 16) for at in (0, 2, 4)]
    return int(np.all(image == wanted, axis=-1).sum())


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_is_a_whole_png_of_a_size_people_can_read(name):
    png = PICTURES[name]()
    width, height = size(png)
    assert 300 <= width <= 1200
    assert 100 <= height <= 1200
    assert matplotlib.image.imread(io.BytesIO(png)).shape[:2] == (height, width)
    assert png.endswith(b"IEND\xaeB`\x82")


@pytest.mark.parametrize("name", PICTURES)
def test_the_same_values_give_the_same_bytes(name):
    assert PICTURES[name]() == PICTURES[name]()


def test_pictures_that_are_drawn_at_once_do_not_mix():
    draws = [PICTURES[name] for name in ("roc", "calibration", "slices", "rollout")]
    alone = [draw() for draw in draws]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda draw: draw(), draws)) == alone


def test_given_a_champion_then_its_curve_is_drawn_too():
    alone, both = plots.draw_roc(REPORT, None), plots.draw_roc(REPORT, CHAMPION)
    assert pixels(both, GREY) > pixels(alone, GREY) + 100
    assert size(both) == size(alone)


def test_given_a_champion_with_the_same_curve_then_it_lies_behind():
    alone, both = plots.draw_roc(REPORT, None), plots.draw_roc(REPORT, REPORT)
    assert pixels(alone, BLUE) > 100
    assert pixels(both, BLUE) >= pixels(alone, BLUE)


def test_another_champion_makes_another_picture():
    better = replace(CHAMPION, metrics={**CHAMPION.metrics, "auc": 0.65})
    assert plots.draw_roc(REPORT, CHAMPION) != plots.draw_roc(REPORT, better)


@pytest.mark.parametrize(("flags", "red"), [((True, False), True), ((False, False), False)])
def test_a_drifted_column_is_red(flags, red):
    assert (pixels(plots.draw_drift(drift(*flags)), RED) > 100) is red


def test_of_many_columns_those_that_shifted_most_are_drawn():
    many = drift(*[True] + [False] * 25)
    assert pixels(plots.draw_drift(many), RED) == 0
    assert size(plots.draw_drift(many)) == size(plots.draw_drift(drift(*[False] * 20)))


@pytest.mark.parametrize(("brier", "red"), [(0.22, True), (0.21, False), (None, False)])
def test_a_slice_that_is_much_worse_than_the_whole_is_red(brier, red):
    slices = {"carrier": {"UA": {"rows": 10.0, "brier": brier}, "DL": {"rows": 9.0, "brier": 0.1}}}
    assert (pixels(plots.draw_slices(replace(REPORT, slices=slices)), RED) > 100) is red


def test_an_arm_that_failed_requests_is_red():
    assert pixels(plots.draw_rollout([0, 5], {"v2": (10, 0)}), RED) == 0
    assert pixels(plots.draw_rollout([0, 5], {"v2": (10, 1)}), RED) > 10
