"""Evaluation: the report holds what was measured, as plain values."""

from __future__ import annotations

import json
from dataclasses import asdict

import numpy as np
import polars as pl
import pytest

from mlops_assets.lifecycle.costs import CostPolicy, measure_costs
from mlops_assets.lifecycle.evaluation import (
    EvaluationReport,
    measure_evaluation,
    predict_probability,
)
from mlops_assets.lifecycle.metrics import METRICS, measure_metrics
from mlops_assets.lifecycle.resampling import measure_intervals
from mlops_assets.lifecycle.training import Feature


class Echo:
    """A model whose probability is the feature ``p`` itself; it counts how often it is asked."""

    def __init__(self):
        self.asked = []

    def predict_proba(self, frame):
        self.asked.append(len(frame))
        return np.column_stack([1 - frame["p"], frame["p"]])


ECHO = (Feature("p", "numeric"),)
COSTS = CostPolicy(false_alarm=1, miss=3)


@pytest.fixture(scope="module")
def echoed() -> pl.DataFrame:
    random = np.random.default_rng(1)
    probability = random.random(500)
    return pl.DataFrame(
        {
            "p": probability,
            "late": random.random(500) < probability,
            "origin": random.choice(["EWR", "JFK"], size=500),
            "minute_of_day": random.integers(300, 1400, 500),
            "day": np.arange(500) // 50,
        }
    )


@pytest.fixture(scope="module")
def echo_report(echoed):
    return measure_evaluation(
        Echo(),
        echoed,
        ECHO,
        "late",
        slices={"origin": "origin", "hour": "minute_of_day // 60"},
        days=echoed["day"].to_numpy(),
        costs=COSTS,
        seed=7,
    )


def test_a_report_counts_rows_and_positives(echoed, echo_report):
    assert echo_report.rows == 500
    assert echo_report.positive_rate == echoed["late"].mean()
    truth, probability = echoed["late"].cast(int).to_numpy(), echoed["p"].to_numpy()
    assert echo_report.metrics == measure_metrics(truth, probability)


def test_a_report_holds_an_interval_per_metric_over_resampled_days(echoed, echo_report):
    truth, probability = echoed["late"].cast(int).to_numpy(), echoed["p"].to_numpy()
    found = measure_intervals(truth, probability, echoed["day"].to_numpy(), seed=7)
    assert echo_report.intervals == {name: found[name].plain for name in METRICS}
    for name, interval in echo_report.intervals.items():
        assert interval["value"] == pytest.approx(echo_report.metrics[name])
        assert interval["days"] == 10


def test_a_report_holds_slices_with_intervals_and_costs(echoed, echo_report):
    truth, probability = echoed["late"].cast(int).to_numpy(), echoed["p"].to_numpy()
    for measured in echo_report.slices["origin"].values():
        assert measured["brier_low"] < measured["brier"] < measured["brier_high"]
    assert list(echo_report.slices["hour"]) == [str(hour) for hour in range(5, 24)]
    assert echo_report.costs == measure_costs(
        truth, probability, COSTS, days=echoed["day"].to_numpy(), seed=7
    )


def test_without_days_nothing_has_an_interval(echoed):
    report = measure_evaluation(Echo(), echoed, ECHO, "late", slices={"o": "origin"}, seed=7)
    assert report.intervals == {}
    assert "interval" not in report.costs
    assert "brier_low" not in report.slices["o"]["EWR"]


def test_a_report_comes_back_from_json_as_it_was(echo_report):
    text = json.dumps(asdict(echo_report), allow_nan=False)
    assert EvaluationReport(**json.loads(text)) == echo_report
    assert len(text) < 20_000


def test_a_report_of_one_day_comes_back_from_json_too(echoed):
    report = measure_evaluation(
        Echo(), echoed, ECHO, "late", slices={"o": "origin"}, days=np.zeros(500), seed=7
    )
    assert EvaluationReport(**json.loads(json.dumps(asdict(report), allow_nan=False))) == report


def test_a_row_of_the_ledger_from_before_there_were_intervals_is_still_read():
    old = {
        "rows": 10,
        "positive_rate": 0.2,
        "metrics": {"auc": 0.7},
        "roc": {},
        "calibration": {},
        "slices": {"origin": {"EWR": {"rows": 5.0, "brier": 0.1}}},
        "importance": {"p": 0.1},
    }
    report = EvaluationReport(**old)
    assert (report.intervals, report.costs, report.confidence) == ({}, {}, 0.95)


def test_given_probabilities_then_the_model_is_asked_for_the_importance_only(echoed, echo_report):
    model = Echo()
    probability = predict_probability(model, echoed, ECHO)
    report = measure_evaluation(
        model,
        echoed,
        ECHO,
        "late",
        slices={"origin": "origin", "hour": "minute_of_day // 60"},
        days=echoed["day"].to_numpy(),
        costs=COSTS,
        probability=probability,
        seed=7,
    )
    assert report == echo_report
    assert model.asked == [500, 1000]


def test_the_roc_curve_is_short_rises_from_corner_to_corner_and_spans_the_area(echo_report):
    x, y = echo_report.roc["false_positive_rate"], echo_report.roc["true_positive_rate"]
    assert (x[0], y[0], x[-1], y[-1]) == (0, 0, 1, 1)
    assert x == sorted(x)
    assert y == sorted(y)
    assert len(x) == len(y) <= 60
    assert np.trapezoid(y, x) == pytest.approx(echo_report.metrics["auc"], abs=0.01)


def test_the_calibration_bins_are_equally_full_and_hold_every_row(echoed, echo_report):
    bins = echo_report.calibration
    assert bins["rows"] == [50.0] * 10
    assert bins["predicted"] == sorted(bins["predicted"])
    assert np.average(bins["observed"], weights=bins["rows"]) == pytest.approx(
        echo_report.positive_rate
    )
    lowest = echoed.sort("p").head(50)
    assert bins["observed"][0] == pytest.approx(lowest["late"].mean())
