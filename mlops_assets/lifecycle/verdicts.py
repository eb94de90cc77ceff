"""Three-valued verdicts: what a gate or an analysis concluded, why, and on what evidence."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Outcome = Literal["passed", "failed", "inconclusive"]


@dataclass(frozen=True)
class Verdict:
    """One conclusion.

    ``name`` is a sentence that is true when the outcome is ``passed``; ``reason`` says why in
    words with numbers; ``evidence`` holds the plain values it rests on. ``inconclusive`` blocks
    a promotion and holds a rollout: it is never read as ``passed``.
    """

    name: str
    outcome: Outcome
    reason: str
    evidence: Mapping[str, Any] = field(default_factory=dict)

    @property
    def passed(self) -> bool:
        return self.outcome == "passed"


def combine(name: str, verdicts: Iterable[Verdict]) -> Verdict:
    """The verdict over several: failed if any failed, else inconclusive if any was, else passed.

    No verdicts at all is inconclusive: nothing was judged.
    """
    judged = list(verdicts)
    for outcome in ("failed", "inconclusive"):
        blamed = [verdict for verdict in judged if verdict.outcome == outcome]
        if blamed:
            reason = "; ".join(f"{verdict.name}: {verdict.reason}" for verdict in blamed)
            return Verdict(name, outcome, reason, {"blamed": [v.name for v in blamed]})
    if not judged:
        return Verdict(name, "inconclusive", "nothing was judged")
    return Verdict(name, "passed", f"{len(judged)} of {len(judged)} passed")
