"""Slices: whether any part of the test rows is served surely worse than the whole suggests."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from mlops_assets.lifecycle.metrics import HIGHER_IS_BETTER
from mlops_assets.lifecycle.resampling import Interval, compare_models, measure_intervals
from mlops_assets.lifecycle.verdicts import Verdict

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from mlops_assets.lifecycle.gate_policies import SliceGate

FEWEST_DAYS = 6
"""Below this many days an interval of resampled days is too narrow to be believed.

It cannot reach beyond the worst and the best day, and that all of five days lie on the wrong side
by chance is more likely than the 2.5 % that an interval of 95 % allows itself.
"""

_SHOWN = 3


@dataclass(frozen=True, eq=False)
class ComparedRows:
    """Test rows with what both models say of them, arrays of one length.

    ``champion`` is None where there is none. ``days``: the day each row belongs to.
    """

    truth: npt.NDArray[Any]
    probability: npt.NDArray[np.float64]
    champion: npt.NDArray[np.float64] | None
    days: npt.NDArray[Any]

    def within(self, mask: npt.NDArray[np.bool_]) -> ComparedRows:
        """The rows that the mask picks."""
        champion = None if self.champion is None else self.champion[mask]
        return ComparedRows(self.truth[mask], self.probability[mask], champion, self.days[mask])


@dataclass(frozen=True)
class _Finding:
    """One slice against one bound. ``interval`` is the measured value, corrected for the number of
    slices; ``surplus`` is how surely it lies beyond the bound: above 0 is surely.
    """

    slice: str
    rows: int
    against: Literal["champion", "limit"]
    interval: Interval
    bound: float
    surplus: float

    @property
    def plain(self) -> dict[str, Any]:
        named = {"slice": self.slice, "rows": self.rows, "against": self.against}
        return {**named, "bound": self.bound, **self.interval.plain}


def judge_slices(
    rows: ComparedRows, slices: Mapping[str, npt.NDArray[Any]], gate: SliceGate, *, seed: int
) -> Verdict:
    """Whether no slice is surely worse than ``gate`` allows.

    ``slices`` gives, per name, the value that each row has. A slice with too few rows or days, or
    with one class only, is not judged, and counted; where none can be judged it is inconclusive.
    """
    name = "no_slice_is_worse"
    judged, unjudged = _divide(rows, slices, gate)
    counts = {"judged": len(judged), "unjudged": unjudged}
    if not judged:
        said = (
            f"none of {unjudged} slice(s) has {gate.minimum_rows} rows of both classes "
            f"on {FEWEST_DAYS} days, so none can be judged"
        )
        return Verdict(name, "inconclusive", said, counts)
    findings = [
        finding
        for where, part in judged.items()
        for finding in _find(where, part, gate, len(judged), seed)
    ]
    return _conclude(name, findings, gate, counts)


def _conclude(
    name: str, findings: Sequence[_Finding], gate: SliceGate, counts: Mapping[str, int]
) -> Verdict:
    """Every slice that is surely beyond its bound is named, and the nearest ones if none is."""
    ordered = sorted(findings, key=lambda finding: (-finding.surplus, finding.slice))
    # what is no number is not fine: it is no reason to pass
    bad = [finding for finding in ordered if not finding.surplus <= 0]
    shown = "; ".join(_say(finding, gate) for finding in bad or ordered[:_SHOWN])
    unsure = f", {counts['unjudged']} too small to judge" if counts["unjudged"] else ""
    reason = (
        f"{len({finding.slice for finding in bad})} of {counts['judged']} slices surely beyond "
        f"what is allowed{unsure}; {'' if bad else 'worst: '}{shown}"
    )
    evidence = {**counts, "findings": [finding.plain for finding in ordered]}
    return Verdict(name, "failed" if bad else "passed", reason, evidence)


def _divide(
    rows: ComparedRows, slices: Mapping[str, npt.NDArray[Any]], gate: SliceGate
) -> tuple[dict[str, ComparedRows], int]:
    """The slices large enough to judge, and how many are not."""
    import numpy as np

    parts = {
        f"{name}={value}": rows.within(np.asarray(mask))
        for name, values in slices.items()
        for value, mask in _masks(values)
    }
    judged = {where: part for where, part in parts.items() if _judgeable(part, gate)}
    return judged, len(parts) - len(judged)


def _masks(values: npt.NDArray[Any]) -> Iterator[tuple[str, npt.NDArray[np.bool_]]]:
    import numpy as np

    named = np.array(["missing" if value is None else str(value) for value in values])
    yield from ((str(value), named == value) for value in np.unique(named))


def _judgeable(part: ComparedRows, gate: SliceGate) -> bool:
    import numpy as np

    both = 0 < part.truth.sum() < len(part.truth)
    return bool(
        len(part.truth) >= gate.minimum_rows and both and len(np.unique(part.days)) >= FEWEST_DAYS
    )


def _find(
    where: str, part: ComparedRows, gate: SliceGate, judged: int, seed: int
) -> Iterator[_Finding]:
    """A slice against the champion and against the limit, as far as there are such."""
    if part.champion is not None:
        worse = compare_models(
            part.truth,
            part.probability,
            part.champion,
            part.days,
            gate.metric,
            confidence=gate.confidence,
            seed=seed,
        )
        worse = correct_for_many(worse, gate.confidence, judged)
        surplus = worse.low - gate.margin
        yield _Finding(where, len(part.truth), "champion", worse, gate.margin, surplus)
    if gate.limit is not None:
        measured = measure_intervals(
            part.truth, part.probability, part.days, confidence=gate.confidence, seed=seed
        )
        value = correct_for_many(measured[gate.metric], gate.confidence, judged)
        higher = gate.metric in HIGHER_IS_BETTER
        surplus = gate.limit - value.high if higher else value.low - gate.limit
        yield _Finding(where, len(part.truth), "limit", value, gate.limit, surplus)


def correct_for_many(interval: Interval, confidence: float, comparisons: int) -> Interval:
    """The interval that holds with ``confidence`` for all of several comparisons together.

    Bonferroni: each at 1 - (1 - confidence) / comparisons. So far out in the tail there are too
    few resamples to read the ends from, so they are moved there by the ratio of the two quantiles
    of Student's t with days - 1 degrees of freedom.
    """
    from scipy.special import stdtrit

    if interval.days < 2:
        return interval
    tail = (1 - confidence) / 2
    one, many = (float(stdtrit(interval.days - 1, 1 - part)) for part in (tail, tail / comparisons))
    below, above = interval.value - interval.low, interval.high - interval.value
    return Interval(
        interval.value,
        interval.value - below * many / one,
        interval.value + above * many / one,
        interval.days,
    )


def _say(finding: _Finding, gate: SliceGate) -> str:
    ends = f"({finding.interval.low:.4f} to {finding.interval.high:.4f})"
    where = f"{finding.slice}, {finding.rows} rows: {gate.metric}"
    if finding.against == "champion":
        allowed = f"at most {finding.bound:g} worse is allowed"
        return f"{where} worse than the champion by {finding.interval.value:.4f} {ends}, {allowed}"
    least = "at least" if gate.metric in HIGHER_IS_BETTER else "at most"
    return f"{where} {finding.interval.value:.4f} {ends}, {least} {finding.bound:g} is asked"
