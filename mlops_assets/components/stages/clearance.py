"""What the ledger says about letting a model out: verdicts, overrides, approvals."""

from __future__ import annotations

from dataclasses import asdict

from mlops_assets.adapters.journal import read_override, write_once
from mlops_assets.adapters.ports import Clock, Ledger
from mlops_assets.components.definition import ModelDefinition
from mlops_assets.components.stages.training import load_trained
from mlops_assets.lifecycle.clearance import (
    Bound,
    Clearance,
    Override,
    build_override,
    decide_clearance,
    require_person,
)
from mlops_assets.lifecycle.errors import RefusedError


def require_clearance(
    model: ModelDefinition, bound: Bound, ledger: Ledger, clock: Clock
) -> Clearance:
    """Raise ``RefusedError`` unless the latest verdict on a model passed, or is overridden.

    Whoever launched what asks here, and whatever a check showed, the ledger alone decides.
    """
    row = ledger.latest("verdict", model.name, bound.model)
    return decide_clearance(
        model.name,
        bound,
        row.body if row else None,
        row.sequence if row else 0,
        read_override(ledger, model.name, bound.model),
        clock.now(),
    )


def override(
    model: ModelDefinition,
    as_of: str,
    by: str,
    reason: str,
    expires: str,
    ledger: Ledger,
    clock: Clock,
) -> tuple[str, Override]:
    """Record that a person lets out the model as of a partition although its verdict did not
    pass; returns the model's digest. Raises ``RefusedError`` when there is nothing to override.
    """
    trained = load_trained(model, as_of, ledger)
    row = ledger.latest("verdict", model.name, trained.digest)
    if row is None:
        raise RefusedError(
            f"override: model {trained.digest[:12]} as of {as_of} has no verdict to override; "
            "materialize its evaluation first"
        )
    if row.body["outcome"] == "passed":
        raise RefusedError(
            f"override: model {trained.digest[:12]} as of {as_of} passed its gates; there is "
            "nothing to override"
        )
    made = build_override(
        by,
        reason,
        expires,
        policy=model.policy_digest,
        verdict=row.sequence,
        now=clock.now(),
    )
    write_once(ledger, "override", model.name, trained.digest, asdict(made), clock.now())
    return trained.digest, made


def approve(
    model: ModelDefinition, version: str, by: str, reason: str, ledger: Ledger, clock: Clock
) -> str:
    """Record that a person lets a registered version be released; says what was approved.

    Raises ``RefusedError`` for a version that was never registered, or without a clearance.
    """
    recorded = ledger.latest("version", model.name, version)
    if recorded is None:
        known = [row.subject for row in ledger.history("version", model.name)]
        raise RefusedError(
            f"approve: {model.name} has no version '{version}', it has {', '.join(known) or 'none'}"
        )
    person = require_person("approve", by, reason)
    digest = recorded.body["digest"]
    cleared = require_clearance(model, bound_of(model, recorded.body), ledger, clock)
    body = {"version": version, "by": person, "reason": reason.strip()}
    write_once(ledger, "approval", model.name, digest, body, clock.now())
    return f"{version} was approved by {person}; it {cleared.describe()}"


def find_objection(model: ModelDefinition, version: str, digest: str, ledger: Ledger) -> str | None:
    """Why a version still waits for a person; None when nobody has to be asked."""
    if not model.spec.rollout.approval or ledger.latest("approval", model.name, digest):
        return None
    return f"{version} waits for approval; launch {model.name}__approve"


def bound_of(model: ModelDefinition, recorded: object) -> Bound:
    """What the verdict on a recorded model has to be about, under today's gates.

    ``recorded`` is the body of a row that names ``digest``, ``training_set`` and ``code``.
    """
    assert isinstance(recorded, dict)
    return Bound(
        recorded["digest"], recorded["training_set"], recorded["code"], model.policy_digest
    )
