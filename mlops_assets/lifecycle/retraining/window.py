"""One monitored partition as the retraining policy sees it."""

from __future__ import annotations

from dataclasses import dataclass

from mlops_assets.lifecycle.triage import Cause
from mlops_assets.lifecycle.verdicts import Outcome


@dataclass(frozen=True)
class MonitoredWindow:
    """What monitoring found in a partition that ``version`` answered.

    ``drift``: whether the reference still holds, and ``reason`` why; ``cause`` is the triage's;
    a data bug never counts as drift. ``performance``: whether the answers were as good as when
    the version was tested, inconclusive before enough labels are there.
    """

    partition: str
    version: str
    drift: Outcome
    reason: str
    cause: Cause = "nothing"
    performance: Outcome = "inconclusive"
    performance_reason: str = ""
