"""Costs: against plain loops, and the threshold that decision theory asks for."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import precision_score, recall_score

from mlops_assets.lifecycle.costs import CostPolicy, measure_costs
from mlops_assets.lifecycle.resampling import measure_mean


def cost_of(truth, probability, threshold, policy):
    """Row by row, as one would count by hand."""
    total = 0.0
    for one, p in zip(truth, probability, strict=True):
        if p >= threshold and one == 0:
            total += policy.false_alarm
        if p < threshold and one == 1:
            total += policy.miss
    return total / len(truth)


@st.composite
def decisions(draw: st.DrawFn):
    size = draw(st.integers(1, 40))
    level = st.sampled_from([0.0, 0.2, 0.25, 0.5, 1.0]) | st.floats(0, 1)
    truth = draw(st.lists(st.integers(0, 1), min_size=size, max_size=size))
    probability = draw(st.lists(level, min_size=size, max_size=size))
    policy = CostPolicy(draw(st.floats(0.1, 9)), draw(st.floats(0.1, 9)))
    return np.array(truth), np.array(probability), policy


@settings(max_examples=60)
@given(made=decisions())
def test_costs_are_those_counted_row_by_row(made):
    truth, probability, policy = made
    costs = measure_costs(truth, probability, policy, seed=1)
    assert costs["cost"] == pytest.approx(
        cost_of(truth, probability, policy.decision_threshold, policy)
    )
    assert costs["cost_per_row"] == pytest.approx(
        [cost_of(truth, probability, at, policy) for at in costs["thresholds"]]
    )
    assert costs["cost_never"] == pytest.approx(cost_of(truth, probability, 2, policy))
    assert costs["cost_always"] == pytest.approx(cost_of(truth, probability, 0, policy))


@settings(max_examples=60)
@given(made=decisions())
def test_precision_and_recall_agree_with_scikit_learn(made):
    truth, probability, policy = made
    costs = measure_costs(truth, probability, policy, seed=1)
    flagged = (probability >= policy.decision_threshold).astype(int)
    assert costs["flagged_share"] == pytest.approx(flagged.mean())
    for name, score, defined in (
        ("precision", precision_score, flagged.any()),
        ("recall", recall_score, truth.any()),
    ):
        assert costs[name] == (pytest.approx(score(truth, flagged)) if defined else None)


@pytest.mark.parametrize(("false_alarm", "miss"), [(1, 1), (1, 4), (3, 1)])
def test_for_a_calibrated_model_no_threshold_is_cheaper_than_the_one_of_the_costs(
    false_alarm, miss
):
    random = np.random.default_rng(3)
    probability = random.random(60_000)
    truth = (random.random(60_000) < probability).astype(int)
    policy = CostPolicy(false_alarm, miss)
    costs = measure_costs(truth, probability, policy, seed=1)
    assert policy.decision_threshold == pytest.approx(false_alarm / (false_alarm + miss))
    assert min(costs["cost_per_row"]) > costs["cost"] - 0.01
    cheapest = costs["thresholds"][int(np.argmin(costs["cost_per_row"]))]
    assert cheapest == pytest.approx(policy.decision_threshold, abs=0.06)


def test_a_threshold_that_is_stated_is_the_one_decided_by():
    truth, probability = np.array([0, 1, 1]), np.array([0.3, 0.4, 0.9])
    costs = measure_costs(truth, probability, CostPolicy(1, 1, threshold=0.4), seed=1)
    assert (costs["threshold"], costs["flagged_share"]) == (0.4, pytest.approx(2 / 3))
    assert costs["cost"] == 0


def test_the_curve_begins_at_zero_and_holds_the_threshold_in_its_range():
    costs = measure_costs(np.array([0, 1]), np.array([0.1, 0.2]), CostPolicy(4, 1), seed=1)
    assert len(costs["thresholds"]) == len(costs["cost_per_row"]) == 60
    assert costs["thresholds"][0] == 0
    assert costs["thresholds"][-1] == costs["threshold"] == 0.8
    assert costs["cost_per_row"][0] == costs["cost_always"]
    assert costs["cost_per_row"][-1] == costs["cost_never"]


def test_the_interval_is_that_of_the_mean_cost_over_resampled_days():
    random = np.random.default_rng(3)
    probability, day = random.random(700), np.arange(700) // 100
    truth = (random.random(700) < probability).astype(int)
    costs = measure_costs(truth, probability, CostPolicy(), days=day, confidence=0.9, seed=4)
    wrong = ((probability >= 0.5) != (truth == 1)).astype(float)
    assert costs["interval"] == measure_mean(wrong, day, confidence=0.9, seed=4).plain
    assert costs["interval"]["value"] == costs["cost"]


def test_costs_are_plain_values():
    costs = measure_costs(
        np.array([0, 1]), np.array([0.1, 0.2]), CostPolicy(), days=np.array([1, 1]), seed=1
    )
    assert json.loads(json.dumps(costs, allow_nan=False)) == costs
    assert costs["interval"]["low"] is None


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"false_alarm": 0}, "false_alarm must be a number above 0, got 0"),
        ({"miss": float("inf")}, "miss must be a number above 0, got inf"),
        ({"threshold": 1.0}, "threshold must lie between 0 and 1, got 1.0"),
    ],
)
def test_impossible_policies_are_refused(change, said):
    with pytest.raises(ValueError, match=said):
        CostPolicy(**change)
