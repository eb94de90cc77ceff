"""A share against a fixed limit, where nothing answers at the same time to compare with."""

from __future__ import annotations

from mlops_assets.lifecycle.rollout.sequential import log10, log_limit_evidence
from mlops_assets.lifecycle.verdicts import Outcome, Verdict


def judge_share_below(
    name: str,
    said: str,
    events: float,
    trials: int,
    limit: float,
    *,
    minimum_sample: int,
    log_alarm: float,
    log_proof: float | None,
) -> Verdict:
    """Failed once the share of events is shown to lie above ``limit``, passed once it is shown
    to lie below and the sample is large enough, else inconclusive. Without ``log_proof`` nothing
    has to be shown: it passes on the sample while there is no evidence of harm.

    ``said`` begins the reason; ``events`` may be a sum of shares. Both sides are e-processes.
    """
    above = float(log_limit_evidence(events, trials, limit))
    below = float(log_limit_evidence(trials - events, trials, 1 - limit))
    outcome: Outcome = "inconclusive"
    if above >= log_alarm:
        outcome, why = "failed", f"above {limit:.4g}, more than chance explains"
    elif trials < minimum_sample:
        why = f"{trials} of {minimum_sample} seen"
    elif log_proof is None:
        outcome, why = "passed", f"not shown to lie above {limit:.4g}"
    elif below >= log_proof:
        outcome, why = "passed", f"shown to lie below {limit:.4g}"
    else:
        why = f"not yet shown to lie below {limit:.4g}"
    evidence = {
        "events": round(float(events), 6),
        "trials": trials,
        "limit": limit,
        "minimum_sample": minimum_sample,
        "log10_e": log10(above),
        "log10_e_limit": log10(log_alarm),
    }
    if log_proof is not None:
        evidence |= {"log10_proof": log10(below), "log10_proof_limit": log10(log_proof)}
    return Verdict(name, outcome, f"{said}: {why}", evidence)
