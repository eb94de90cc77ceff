"""How long it takes to take a version back, measured on real servers that serve nobody."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mlops_assets.lifecycle.verdicts import Verdict


@dataclass(frozen=True)
class RollbackDrill:
    """What happened when one version was taken back for another under requests.

    ``seconds``: from the ledger's row to the first answer of the previous version after which no
    other one came. ``requests`` were sent meanwhile, ``failed`` of them were not answered.
    """

    seconds: float
    requests: int
    failed: int


def judge_drill(drills: Sequence[RollbackDrill], limit_seconds: float) -> Verdict:
    """Passed when every drill was through within the limit and lost no request."""
    name = "rolls_back_in_time"
    if not drills:
        return Verdict(name, "inconclusive", "nothing was drilled")
    in_time = all(drill.seconds <= limit_seconds for drill in drills)
    slowest = max(drill.seconds for drill in drills)
    sent = sum(drill.requests for drill in drills)
    failed = sum(drill.failed for drill in drills)
    evidence = {
        "seconds": slowest,
        "limit_seconds": limit_seconds,
        "requests": sent,
        "failed": failed,
    }
    said = f"{slowest:.2f} s of at most {limit_seconds:g} s, {failed} of {sent} requests failed"
    return Verdict(name, "passed" if in_time and failed == 0 else "failed", said, evidence)
