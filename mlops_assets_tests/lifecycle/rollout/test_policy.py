"""What a rollout's policy refuses, and in which words."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_assets.lifecycle.rollout.budget import count_guardrails, log_alarm, log_proof
from mlops_assets.lifecycle.rollout.policy import (
    AnalysisPolicy,
    OutcomePolicy,
    PredictionPolicy,
    RolloutPolicy,
    ShadowPolicy,
)

STEPS = st.sets(st.integers(1, 99), min_size=1, max_size=5).map(lambda made: tuple(sorted(made)))
EVERYTHING = AnalysisPolicy(
    slow_milliseconds=50, prediction=PredictionPolicy(), outcome=OutcomePolicy()
)


@pytest.mark.parametrize(
    ("strategy", "steps", "said"),
    [
        ("canary", (), r"canary needs steps, for example \[10, 50\]"),
        ("canary", (0, 50), r"percentages from 1 to 99, got \[0, 50\]; 100 follows by itself"),
        ("canary", (10, 100), r"percentages from 1 to 99, got \[10, 100\]"),
        ("canary", (-5,), r"percentages from 1 to 99, got \[-5\]"),
        ("canary", (50, 10), r"steps must rise from one to the next, got \[50, 10\]"),
        ("shadow", (10, 10), r"steps must rise from one to the next, got \[10, 10\]"),
        ("recreate", (10,), "steps belong to strategy canary or shadow, recreate has none"),
        ("blue_green", (10,), "steps belong to strategy canary or shadow, blue_green has none"),
        ("ab_test", (50,), "steps belong to strategy canary or shadow, ab_test has none"),
    ],
)
def test_steps_that_cannot_be_taken_are_refused_with_what_to_do(strategy, steps, said):
    with pytest.raises(ValueError, match=said):
        RolloutPolicy(strategy, steps)


@given(steps=STEPS, strategy=st.sampled_from(["canary", "shadow"]))
def test_any_rising_percentages_are_steps(steps, strategy):
    assert RolloutPolicy(strategy, steps).steps == steps


@pytest.mark.parametrize(
    ("stated", "said"),
    [
        ({"minimum_sample": 0}, "minimum_sample must be at least 1, got 0"),
        ({"false_rollback_rate": 0}, "false_rollback_rate must lie between 0 and 1, got 0"),
        ({"false_rollback_rate": 1}, "false_rollback_rate must lie between 0 and 1, got 1"),
        ({"false_promotion_rate": 0}, "false_promotion_rate must lie between 0 and 1, got 0"),
        ({"error_margin": -0.1}, "error_margin must lie between 0 and 1, got -0.1"),
        ({"error_margin": 0}, "error_margin must lie between 0 and 1, got 0"),
        ({"error_margin": math.nan}, "error_margin must lie between 0 and 1, got nan"),
        ({"slow_milliseconds": 0}, "slow_milliseconds must be above 0, got 0"),
        ({"slow_milliseconds": math.nan}, "slow_milliseconds must be above 0, got nan"),
        (
            {"minimum_sample": 200, "maximum_sample": 199},
            "maximum_sample must not be below minimum_sample, got 199 and 200",
        ),
    ],
)
def test_an_analysis_that_cannot_be_kept_is_refused(stated, said):
    with pytest.raises(ValueError, match=said):
        AnalysisPolicy(**stated)


@pytest.mark.parametrize(
    ("kind", "stated", "said"),
    [
        (PredictionPolicy, {"threshold": 1}, "threshold must lie between 0 and 1, got 1"),
        (PredictionPolicy, {"odds_ratio": 0.9}, "odds_ratio must be at least 1, got 0.9"),
        (PredictionPolicy, {"odds_ratio": math.nan}, "odds_ratio must be at least 1, got nan"),
        (OutcomePolicy, {"margin": 0}, "margin must lie between 0 and 1, got 0"),
        (ShadowPolicy, {"minimum_sample": 0}, "minimum_sample must be at least 1, got 0"),
        (ShadowPolicy, {"agreement": 1.0}, "agreement must lie between 0 and 1, got 1.0"),
        (ShadowPolicy, {"margin": 1}, r"margin must lie in \[0, 1\), got 1"),
        (ShadowPolicy, {"mirror": 0}, "mirror must be a percentage from 1 to 100, got 0"),
        (RolloutPolicy, {"split": 100}, "split must be a percentage from 1 to 99, got 100"),
        (RolloutPolicy, {"ready_timeout": 0}, "ready_timeout must be above 0, got 0"),
    ],
)
def test_a_part_of_the_policy_that_cannot_be_kept_is_refused(kind, stated, said):
    with pytest.raises(ValueError, match=said):
        kind(**stated)


def test_a_rollout_that_would_end_before_its_last_step_can_pass_is_refused():
    analysis = AnalysisPolicy(minimum_sample=200, maximum_sample=399)
    with pytest.raises(ValueError, match="minimum_sample times the 2 steps, got 399 and 200"):
        RolloutPolicy("canary", (10, 50), analysis)
    assert RolloutPolicy("canary", (10,), analysis)


@pytest.mark.parametrize(
    "stated",
    [
        {"slow_milliseconds": 50.0},
        {"prediction": PredictionPolicy()},
        {"outcome": OutcomePolicy()},
    ],
)
def test_blue_green_refuses_what_it_has_no_baseline_for(stated):
    said = f"{next(iter(stated))} compares with a baseline .* use canary"
    with pytest.raises(ValueError, match=said):
        RolloutPolicy("blue_green", analysis=AnalysisPolicy(**stated))


@pytest.mark.parametrize(
    ("policy", "count"),
    [
        (RolloutPolicy("canary", (10,)), 1),
        (RolloutPolicy("canary", (10,), EVERYTHING), 4),
        (RolloutPolicy("canary", (10,), AnalysisPolicy(slow_milliseconds=9)), 2),
        (RolloutPolicy("ab_test"), 2),
        (RolloutPolicy("ab_test", analysis=EVERYTHING), 4),
        (RolloutPolicy("blue_green"), 1),
        (RolloutPolicy("shadow"), 2),
        (RolloutPolicy("shadow", shadow=ShadowPolicy(labels=True)), 3),
        (RolloutPolicy("shadow", (10, 50), EVERYTHING, shadow=ShadowPolicy(labels=True)), 7),
    ],
)
def test_guardrails_of_one_rollout_share_one_budget(policy, count):
    assert count_guardrails(policy) == count
    assert count * math.exp(-log_alarm(policy)) == pytest.approx(0.01)


def test_what_has_to_be_shown_is_shown_at_the_whole_rate():
    policy = RolloutPolicy("canary", (10,), AnalysisPolicy(false_promotion_rate=0.02))
    assert math.exp(-log_proof(policy)) == pytest.approx(0.02)
