"""The policies that are compared, and the model as it is for a replay."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from mlops_assets.lifecycle.retraining.policy import RetrainingBudget, RetrainingPolicy, Triggers

if TYPE_CHECKING:
    from mlops_assets.components.definition import ModelDefinition

NEVER, MONTHLY, ON_DRIFT = "never", "monthly", "on_drift"
POLICIES = (NEVER, MONTHLY, ON_DRIFT)

MONTH = 4
"""Partitions between two trainings of the policy ``monthly``."""

PROBE_ROWS = 2_000
"""Rows that a version is tried with in a real server before its verdict; 10,000 as shipped."""


def simplify(model: ModelDefinition) -> ModelDefinition:
    """The model with its first candidate alone, without a study, with fewer probe rows, and fitted
    on one thread, so that several fits run beside each other.

    A weekly yardstick takes some forty fits: with every candidate, a study and all probe rows they
    take an hour. The first candidate is what is chosen unless another is better beyond noise.
    """
    spec = model.spec
    first = next(iter(model.candidates.values()))
    fitted = {
        "estimator": first.estimator,
        "parameters": dict(first.parameters),
        "threads": 1,
    }
    changes = {
        "training": spec.training.model_copy(update=fitted),
        "candidates": {},
        "ensemble": None,
        "tuning": None,
    }
    serving = spec.gates.serving
    if serving:
        fewer = replace(serving, rows=min(serving.rows, PROBE_ROWS))
        changes["gates"] = replace(spec.gates, serving=fewer)
    return replace(model, spec=spec.model_copy(update=changes))


def apply_policy(model: ModelDefinition, name: str) -> ModelDefinition:
    """The model with one of ``POLICIES``; raises ``KeyError`` for another name."""
    policy = build_policies(model.spec.retraining, len(model.calendar.keys))[name]
    return replace(model, spec=model.spec.model_copy(update={"retraining": policy}))


def build_policies(shipped: RetrainingPolicy, partitions: int) -> dict[str, RetrainingPolicy]:
    """By name: never again, every ``MONTH`` partitions whatever is seen, and as ``defs.yaml``
    says, acting on it."""
    monthly = RetrainingPolicy(
        mode="enabled",
        triggers=Triggers(drift=False, every=MONTH),
        cooldown=MONTH,  # also when one was refused
        budget=RetrainingBudget(retrainings=partitions, partitions=partitions),
    )
    return {
        NEVER: replace(shipped, mode="disabled"),
        MONTHLY: monthly,
        ON_DRIFT: replace(shipped, mode="enabled"),
    }
