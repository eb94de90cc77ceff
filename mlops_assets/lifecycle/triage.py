"""What lies behind a window that stands out: a bug in the data, or a world that has changed."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from mlops_assets.lifecycle.drift.report import ColumnDrift, ColumnSummary, DriftReport, Finding
from mlops_assets.lifecycle.drift.sample import say_number
from mlops_assets.lifecycle.performance import PerformanceReport
from mlops_assets.lifecycle.unit_changes import find_unit_change

Cause = Literal["data_bug", "covariate_drift", "concept_drift", "nothing"]

LIGHT = 0.05
"""Broken features that weigh less than this together do not hide the drift of the others."""

WORTH = 0.1
"""A Brier score worse than expected by this share of it is worth a retraining."""

_WORTH_ALONE = 0.01
"""The same as a difference, where no expectation is known."""

BURST = 0.07
"""Missing in so many more of the rows is a bug; less may be the season: rates of delays are missing
after quiet hours, and came to 0.052 more in a year of flights."""

NOVEL = 0.01
"""Levels never seen in so many of the rows are a bug; in fewer the world may have grown: seven new
destinations at Christmas came to 0.005 in a year of flights."""

ATOM = 0.15
"""A number the reference never has, in so many rows, is no measurement: weather came to 0.13."""

_ROUNDING = 1e-9

_CONSTANT = 5
"""So many different quantiles had a column that cannot have become constant by nature."""


@dataclass(frozen=True)
class Triage:
    """What a window suffers from, with its evidence as sentences and the columns they name.

    A ``data_bug`` calls for a person and never for a retraining: a model fitted on broken rows
    would learn the bug. ``covariate_drift``: other rows than in training. ``concept_drift``: the
    same rows mean something else. ``reason`` is one sentence.
    """

    cause: Cause
    reason: str
    evidence: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()


def triage(report: DriftReport, performance: PerformanceReport | None = None) -> Triage:
    """The first of bug, concept drift and covariate drift that the evidence supports.

    A bug comes first, as a retraining on broken rows is worse than a late one. It gives way in
    one case: broken features that weigh less than ``LIGHT`` together, in a window that drifted
    mostly by others. The evidence names all that was found, whatever the cause.
    """
    bugs = {column.column: said for column in report.columns if (said := find_bugs(column))}
    concept = _find_concept(performance)
    drifted = _drifted(report, bugs)
    evidence = (
        *(f"{name}: {said}" for name, found in bugs.items() for said in found),
        *([concept] if concept else []),
        *_describe_drift(report, bugs),
    )
    if bugs and not _is_outweighed(report, bugs):
        reason = f"{_count(bugs)} {'looks' if len(bugs) == 1 else 'look'} broken: {_named(bugs)}"
        return Triage("data_bug", f"{reason}; mend the data first", evidence, tuple(bugs))
    if report.verdict.outcome == "inconclusive":
        return Triage("nothing", f"cannot be told: {report.verdict.reason}", evidence)
    if concept:
        return Triage("concept_drift", concept, evidence)
    if report.verdict.outcome == "failed":
        return Triage("covariate_drift", report.verdict.reason, evidence, drifted)
    return Triage("nothing", report.verdict.reason, evidence)


def find_bugs(column: ColumnDrift) -> tuple[str, ...]:
    """What about a column no change of the world explains, as sentences.

    Labels that are missing have not arrived yet: no bug.
    """
    found = [finding.said for finding in column.findings if _is_bug(finding, column)]
    before, now = column.reference, column.current
    if not (column.flagged and column.kind == "numeric" and before and now):
        return tuple(found)
    stuck, unit = _find_constant(before, now), find_unit_change(before, now)
    return (*found, *([stuck] if stuck else []), *([unit] if unit else []))


def _is_bug(finding: Finding, column: ColumnDrift) -> bool:
    if finding.aspect == "missing":
        return column.role != "label" and finding.now - finding.before >= BURST
    if finding.aspect == "unseen" and column.kind == "numeric":
        return finding.now >= ATOM or not _is_season(column, finding.now, near=0.05)
    if finding.aspect == "unseen":
        return finding.now >= NOVEL
    return not _is_season(column, finding.now)


def _is_season(column: ColumnDrift, share: float, near: float = 1.0) -> bool:
    """Whether values beyond the range are near it, or went there together with the rest.

    Near is ``near`` of the width of the range, 3 times that where rare large values are the nature
    of a column (rain): a year of flight features, compared up to ten months apart, went no
    further than a width. Together: at most half as far again as the quantile that moved most, of
    those that are not made of the ``share`` of the rows with such values.
    """
    before, now = column.reference, column.current
    if before is None or now is None or not before.quantiles or not now.quantiles:
        return False
    ends = (before.lowest, before.highest, now.lowest, now.highest)
    lowest, highest, low, high = ends
    if lowest is None or highest is None or low is None or high is None:
        return False
    beyond, width = max(high - highest, lowest - low, 0.0), highest - lowest
    pairs = zip(before.quantiles, now.quantiles, strict=True)
    moves = sorted((abs(y - x) for x, y in pairs), reverse=True)
    own = int(share / (1 - now.missing) * (len(moves) + 1) + _ROUNDING)
    heavy = before.quantiles[-1] - before.quantiles[0] < 0.1 * width
    close = beyond <= near * width * (3 if heavy else 1)
    return close or (column.drifted and beyond <= 1.5 * moves[min(own, len(moves) // 2)])


def _find_constant(before: ColumnSummary, now: ColumnSummary) -> str | None:
    value, lowest, highest = now.lowest, before.lowest, before.highest
    if value is None or value != now.highest or lowest is None or highest is None:
        return None
    if len(set(before.quantiles)) < _CONSTANT:
        return None
    return f"always {say_number(value)}, was {say_number(lowest)} to {say_number(highest)}"


def _find_concept(performance: PerformanceReport | None) -> str | None:
    """Whether labels are worse than the model's own confidence, beyond noise and by enough."""
    if performance is None or performance.gap is None:
        return None
    value, low = performance.gap.get("value"), performance.gap.get("low")
    if value is None or low is None or low <= 0:
        return None
    expected = performance.estimated.get("brier")
    if value < (WORTH * expected if expected else _WORTH_ALONE):
        return None
    beside = f", {expected:.3f} were expected" if expected else ""
    return (
        f"Brier score worse than the model's confidence by {value:.3f} (at least {low:.3f}, on "
        f"{performance.labelled} labelled rows{beside}): the same rows mean something else"
    )


def _is_outweighed(report: DriftReport, bugs: Mapping[str, object]) -> bool:
    """Whether the window would have drifted without its broken columns, which hardly matter."""
    broken = [column for column in report.columns if column.column in bugs]
    if report.verdict.outcome != "failed" or any(c.role != "feature" for c in broken):
        return False
    others = math.fsum(c.weight for c in report.columns if c.drifted and c.column not in bugs)
    return math.fsum(c.weight for c in broken) < LIGHT and others >= 0.75 * report.share


def _drifted(report: DriftReport, bugs: Mapping[str, object]) -> tuple[str, ...]:
    """The features that drifted without being broken, the heaviest first."""
    found = [
        c for c in report.columns if c.drifted and c.role == "feature" and c.column not in bugs
    ]
    return tuple(c.column for c in sorted(found, key=lambda c: -c.weight))


def _describe_drift(report: DriftReport, bugs: Mapping[str, object]) -> list[str]:
    """What moved or stands out beside the bugs, the heaviest first, and why it is no bug."""
    columns = sorted((c for c in report.columns if c.column not in bugs), key=lambda c: -c.weight)
    said = [
        f"{c.column}: its distribution moved (effect {c.effect:.2f}, {c.weight:.0%} of the weight)"
        for c in columns
        if c.drifted
    ]
    return said + [f"{c.column}: {f.said}; {_excuse(f, c)}" for c in columns for f in c.findings]


def _excuse(finding: Finding, column: ColumnDrift) -> str:
    if finding.aspect == "missing":
        return (
            "labels may still arrive" if column.role == "label" else f"less than {BURST:.0%} more"
        )
    if finding.aspect == "unseen" and column.kind == "categorical":
        return f"less than {NOVEL:.0%}, the world may have grown"
    return "near what was known, or moved along with the rest"


def _count(names: Sequence[str] | Mapping[str, object]) -> str:
    return f"{len(names)} column{'' if len(names) == 1 else 's'}"


def _named(names: Mapping[str, object]) -> str:
    first = list(names)[:5]
    return ", ".join(first) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
