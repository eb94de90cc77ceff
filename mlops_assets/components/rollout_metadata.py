"""What a person sees of a rollout: guardrails with their evidence, shadows, who stepped in."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from mlops_assets.lifecycle.rollout.decision import ShadowComparison
from mlops_assets.lifecycle.rollout.intervention import Intervention
from mlops_assets.lifecycle.rollout.state import RolloutState
from mlops_assets.lifecycle.verdicts import Verdict

Rows = list[dict[str, Any]]


def describe_steps(states: Iterable[RolloutState]) -> Rows:
    """One row per recorded state, oldest first."""
    return [
        {
            "since": state.since[:19],
            "phase": "paused" if state.paused else state.phase,
            "weight %": state.weight,
            "copies %": state.mirror,
            "reason": state.reason,
        }
        for state in states
    ]


def describe_guardrails(verdicts: Iterable[Verdict]) -> Rows:
    """One row per verdict: counts of both arms, evidence against its limit, margin.

    Evidence is a logarithm of base 10: 2 stands for a hundred to one.
    """
    return [
        {
            "guardrail": verdict.name.replace("_", " "),
            "outcome": verdict.outcome,
            "canary": _counted(verdict.evidence, "canary"),
            "baseline": _counted(verdict.evidence, "baseline"),
            "harm": _against(verdict.evidence, "log10_e"),
            "proof": _against(verdict.evidence, "log10_proof"),
            "margin": _margin(verdict.evidence),
        }
        for verdict in verdicts
    ]


def measure_nearness(verdicts: Iterable[Verdict], kind: str) -> dict[str, float]:
    """Per verdict its evidence as a share of its limit, of ``kind`` ``log10_e`` (harm) or
    ``log10_proof``; from 1 on it decides. Verdicts without such evidence are left out.
    """
    return {
        verdict.name: verdict.evidence[kind] / verdict.evidence[f"{kind}_limit"]
        for verdict in verdicts
        if verdict.evidence.get(f"{kind}_limit")
    }


def describe_shadow(shadow: ShadowComparison) -> Rows:
    """One row per slice of the copied rows, all of them first."""
    return [
        {
            "slice": part["slice"],
            "value": part["value"],
            "rows": part["rows"],
            "agreement": part["agreement"],
            "shift": part["shift"],
            "newly high": part["raised"],
            "no longer high": part["lowered"],
        }
        for part in shadow.slices
    ]


def describe_interventions(done: Sequence[tuple[datetime, Intervention]], version: str) -> Rows:
    """Who stepped in on a version, when and why, oldest first."""
    return [
        {"at": at.isoformat()[:19], "action": told.action, "by": told.by, "reason": told.reason}
        for at, told in done
        if told.version == version
    ]


def _counted(evidence: Mapping[str, Any], arm: str) -> str:
    units = evidence.get(f"{arm}_units")
    if arm == "canary" and arm not in evidence and "trials" in evidence:
        return f"{evidence['events']:g} of {evidence['trials']}"
    count = evidence.get(arm, "")
    return f"{count} of {units}" if units is not None else f"{count}"


def _against(evidence: Mapping[str, Any], kind: str) -> str:
    if kind not in evidence:
        return ""
    return f"{evidence[kind]:.2f} of {evidence[f'{kind}_limit']:.2f}"


def _margin(evidence: Mapping[str, Any]) -> str:
    found = next((evidence[name] for name in ("margin", "limit") if name in evidence), None)
    return "" if found is None else f"{found:g}"
