"""Pictures of an evaluation: PNG that shows what it was given."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from mlops_assets.adapters import evaluation_plots as plots
from mlops_assets.lifecycle.ensembles import EnsembleChoice
from mlops_assets.lifecycle.evaluation import EvaluationReport
from mlops_assets.lifecycle.resampling import Interval
from mlops_assets.lifecycle.verdicts import Verdict
from mlops_assets_tests.adapters.pictures import pixels, require_whole_picture, size

BLUE, RED, GREY, BLACK = "3355aa", "c0392b", "9aa3ad", "000000"

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
    costs={
        "thresholds": [0.0, 0.2, 0.5, 0.9],
        "cost_per_row": [0.75, 0.4, 0.5, 1.0],
        "threshold": 0.2,
        "cost": 0.4,
        "cost_never": 1.0,
        "cost_always": 0.75,
    },
)
CHAMPION = replace(
    REPORT,
    metrics={**REPORT.metrics, "auc": 0.6},
    roc={"false_positive_rate": [0.0, 0.5, 1.0], "true_positive_rate": [0.0, 0.6, 1.0]},
)
CHOICE = EnsembleChoice(
    chosen="ensemble",
    weights={"boosting": 0.7, "logistic": 0.3},
    best_member="boosting",
    losses={"boosting": 0.446, "logistic": 0.47, "ensemble": 0.441},
    gain=Interval(0.005, 0.001, 0.009, 7),
    verdict=Verdict("ensemble_earns_its_place", "passed", "why"),
)
ALONE = replace(
    CHOICE, chosen="boosting", weights={"boosting": 1.0}, losses={"boosting": 0.4}, gain=None
)


def with_interval(low, high):
    of = {"rows": 600.0, "brier": 0.15, "brier_low": low, "brier_high": high}
    return replace(REPORT, slices={"carrier": {"UA": of}})


def with_cost_interval(low, high):
    interval = {"value": 0.4, "low": low, "high": high, "days": 7}
    return replace(REPORT, costs={**REPORT.costs, "interval": interval})


PICTURES = {
    "roc": lambda: plots.draw_roc(REPORT, None),
    "roc with champion": lambda: plots.draw_roc(REPORT, CHAMPION),
    "calibration": lambda: plots.draw_calibration(REPORT),
    "importance": lambda: plots.draw_importance(REPORT),
    "no importance": lambda: plots.draw_importance(replace(REPORT, importance={})),
    "slices": lambda: plots.draw_slices(REPORT),
    "slices with intervals": lambda: plots.draw_slices(with_interval(0.1, 0.2)),
    "no slices": lambda: plots.draw_slices(replace(REPORT, slices={})),
    "costs": lambda: plots.draw_costs(REPORT),
    "costs with interval": lambda: plots.draw_costs(with_cost_interval(0.3, 0.5)),
    "ensemble": lambda: plots.draw_ensemble(CHOICE),
    "one candidate": lambda: plots.draw_ensemble(ALONE),
}


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_is_a_whole_png_of_a_size_people_can_read(name):
    require_whole_picture(PICTURES[name]())


@pytest.mark.parametrize("name", PICTURES)
def test_the_same_values_give_the_same_bytes(name):
    assert PICTURES[name]() == PICTURES[name]()


def test_pictures_that_are_drawn_at_once_do_not_mix():
    draws = [PICTURES[name] for name in ("roc", "calibration", "slices", "costs", "ensemble")]
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


@pytest.mark.parametrize(("brier", "red"), [(0.22, True), (0.21, False), (None, False)])
def test_a_slice_that_is_much_worse_than_the_whole_is_red(brier, red):
    slices = {"carrier": {"UA": {"rows": 10.0, "brier": brier}, "DL": {"rows": 9.0, "brier": 0.1}}}
    assert (pixels(plots.draw_slices(replace(REPORT, slices=slices)), RED) > 100) is red


def test_the_interval_of_a_slice_is_drawn_where_it_has_ends():
    none = plots.draw_slices(with_interval(None, None))
    narrow, wide = (plots.draw_slices(with_interval(0.15 - by, 0.15)) for by in (0.02, 0.1))
    assert none == plots.draw_slices(
        replace(REPORT, slices={"carrier": {"UA": {"rows": 600.0, "brier": 0.15}}})
    )
    assert pixels(none, BLACK) < pixels(narrow, BLACK) < pixels(wide, BLACK)


def test_the_largest_slices_are_drawn():
    parts = {f"v{rows:02}": {"rows": float(rows), "brier": 0.1} for rows in range(40)}
    all_parts = plots.draw_slices(replace(REPORT, slices={"s": parts}))
    largest = {name: of for name, of in parts.items() if of["rows"] >= 20}
    assert all_parts == plots.draw_slices(replace(REPORT, slices={"s": largest}))


def test_the_threshold_decided_by_is_marked_in_red_with_its_interval():
    bare, wide = plots.draw_costs(REPORT), plots.draw_costs(with_cost_interval(0.2, 0.7))
    assert pixels(bare, RED) > 10
    assert pixels(wide, RED) > pixels(bare, RED) + 40
    assert plots.draw_costs(with_cost_interval(None, None)) == bare


def test_what_was_chosen_is_blue_and_the_others_grey():
    member = replace(CHOICE, chosen="boosting")
    assert plots.draw_ensemble(member) != plots.draw_ensemble(CHOICE)
    assert pixels(plots.draw_ensemble(CHOICE), BLUE) > 10
    assert pixels(plots.draw_ensemble(CHOICE), GREY) > 10
    assert pixels(plots.draw_ensemble(ALONE), GREY) == 0


def test_the_weights_and_the_gain_are_written():
    other = replace(CHOICE, weights={"boosting": 0.6, "logistic": 0.4})
    assert plots.draw_ensemble(other) != plots.draw_ensemble(CHOICE)
    gain = replace(CHOICE, gain=Interval(0.005, -0.001, 0.009, 7))
    assert plots.draw_ensemble(gain) != plots.draw_ensemble(CHOICE)
