"""What a rollout's strategy is asked, and what it answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from mlops_assets.lifecycle.rollout.window import Window
from mlops_assets.lifecycle.verdicts import Verdict

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

Action = Literal["advance", "promote", "hold", "roll_back"]


@dataclass(frozen=True)
class Outcomes:
    """Losses in [0, 1] (squared errors of probabilities) of labelled units, in order of arrival.

    One entry per unit that was answered and whose label is known: ``loss``, whether the
    ``canary`` answered it, and the share (0 to 1) of units that fell to the canary then.
    """

    loss: npt.NDArray[np.float64]
    canary: npt.NDArray[np.bool_]
    share: npt.NDArray[np.float64]


@dataclass(frozen=True)
class ShadowComparison:
    """What the same requests got from the version that answers and from its shadow.

    ``units``: requests that both answered or the shadow failed; ``failed``: those it failed.
    ``agreement``: share of rows that both put on the same side of the decision threshold.
    ``shift``: mean probability of the shadow less that of the baseline. ``slices``: one row of
    plain values per slice (slice, value, rows, agreement, shift, raised, lowered), for people.
    ``differences``: per labelled unit, the shadow's loss less the baseline's, each in [-1, 1],
    in order of arrival.
    """

    units: int
    failed: int
    agreement: float
    shift: float
    slices: Sequence[dict[str, object]] = ()
    differences: npt.NDArray[np.float64] | None = None


@dataclass(frozen=True)
class RolloutEvidence:
    """All that is known about a rollout when it is decided on.

    ``windows``: one per weight the canary had so far, the current one last, empty before its
    first request. ``cut_off``: why the endpoint itself stopped asking the version, if it did.
    ``outcomes`` and ``shadow`` are there as far as the strategy asks for them.
    """

    windows: tuple[Window, ...] = ()
    cut_off: str | None = None
    outcomes: Outcomes | None = None
    shadow: ShadowComparison | None = None


@dataclass(frozen=True)
class RolloutDecision:
    """What to do next with a rollout, and why.

    ``weight`` and ``mirror`` (percent) are what the version gets from here on; ``verdicts`` are
    what each guardrail said, ``verdict`` the one the decision rests on.
    """

    action: Action
    weight: int
    reason: str
    verdict: Verdict | None = None
    verdicts: Sequence[Verdict] = field(default=())
    mirror: int = 0
