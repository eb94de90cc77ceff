"""What the arms of a rollout did: counts by the unit that was assigned, one window per weight."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Arm:
    """What one version did within a window.

    A unit is what falls to an arm as a whole: the caller's entity, or the request without one.
    ``requests``: attempts that the routing gave to the version. ``units``: those first seen in
    this window; of ``failed`` of them that first request was not answered, whatever came later;
    ``high`` of them were first answered with a probability at or above the decision threshold.
    ``errors``: units whose first failure of the rollout came in this window, under this arm,
    whenever they were first seen. ``slow``: the same, for the first answer slower than allowed.

    The first events of a rollout are what may be multiplied over windows: a unit that fails
    often, and falls the same way each time, is one piece of evidence and not many.
    """

    version: str
    requests: int = 0
    units: int = 0
    failed: int = 0
    errors: int = 0
    slow: int = 0
    high: int = 0


@dataclass(frozen=True)
class Window:
    """Both arms while the canary's share of the units was ``weight`` percent; never pooled."""

    weight: int
    canary: Arm
    baseline: Arm
