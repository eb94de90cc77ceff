"""The policies that are compared, and what a replay leaves out of a model."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mlops_assets.commands.bench.processes import read_model
from mlops_assets.commands.replay_year.policies import (
    MONTHLY,
    NEVER,
    ON_DRIFT,
    POLICIES,
    PROBE_ROWS,
    apply_policy,
    build_policies,
    simplify,
)
from mlops_assets.lifecycle.retraining.policy import RetrainingPolicy
from mlops_assets_tests.examples.reading import read_example

SHIPPED = RetrainingPolicy(mode="dry_run", windows=4, violated=3, cooldown=5)


def test_never_is_disabled_and_on_drift_is_what_defs_yaml_says_but_acts():
    policies = build_policies(SHIPPED, 52)
    assert tuple(policies) == POLICIES
    assert policies[NEVER].mode == "disabled"
    assert policies[ON_DRIFT] == replace(SHIPPED, mode="enabled")


def test_monthly_trains_by_the_calendar_alone_and_no_budget_or_cooldown_holds_it():
    monthly = build_policies(SHIPPED, 52)[MONTHLY]
    triggers = monthly.triggers
    assert (triggers.every, triggers.drift, triggers.performance) == (4, False, None)
    assert monthly.cooldown == triggers.every  # none is due sooner, a refused one included
    assert monthly.budget.retrainings >= 52 / 4


def test_an_unknown_policy_is_refused():
    with pytest.raises(KeyError, match="yearly"):
        apply_policy(read_example("seattle_rain"), "yearly")


def test_the_shipped_model_is_replayed_as_its_first_candidate_without_a_study():
    shipped = read_model()
    model = simplify(shipped)
    (only,) = model.candidates.values()
    assert only.estimator == next(iter(shipped.candidates.values())).estimator
    assert not only.tuned
    assert model.spec.ensemble is None
    assert model.spec.gates.serving.rows == PROBE_ROWS
    kept = ("rollout", "monitoring", "retraining", "features", "calendar")
    assert all(getattr(model.spec, name) == getattr(shipped.spec, name) for name in kept)
    assert replace(model.spec.gates, serving=None) == replace(shipped.spec.gates, serving=None)


def test_a_model_without_candidates_keeps_its_estimator():
    model = read_example("seattle_rain")
    assert simplify(model).candidates["model"].estimator == model.candidates["model"].estimator
