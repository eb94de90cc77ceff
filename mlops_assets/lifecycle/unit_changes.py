"""Whether a numeric column is as it was, but written in another unit.

A change of unit multiplies the middle of a column and its ends alike. Seasons and busy weeks move
the middle too, and leave the ends of a bounded column where they were, or stretch it unevenly. On
8,500 pairs of a flight week with eight weeks before it, up to ten months apart, the limits below
took 4 natural changes for another unit. Of real weeks in kilometres instead of miles they tell
84 % by columns as steady as distances, few by the weather: a bound in ``validation`` tells more.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from mlops_assets.lifecycle.drift.report import ColumnSummary
from mlops_assets.lifecycle.drift.sample import INFINITE

FACTORS = (
    ("miles", "kilometres", 1.609344),
    ("feet", "metres", 0.3048),
    ("inches", "centimetres", 2.54),
    ("inches", "millimetres", 25.4),
    ("centimetres", "millimetres", 10.0),
    ("feet", "inches", 12.0),
    ("pounds", "kilograms", 0.45359237),
    ("gallons", "litres", 3.785411784),
    ("metres per second", "kilometres per hour", 3.6),
    ("miles per hour", "metres per second", 0.44704),
    ("metres per second", "knots", 1.943844),
    ("knots", "kilometres per hour", 1.852),
    ("inches of mercury", "hectopascals", 33.8639),
    ("hours", "minutes", 60.0),
    ("days", "hours", 24.0),
    ("hours", "seconds", 3600.0),
    ("shares", "percent", 100.0),
    ("thousands", "ones", 1000.0),
)
"""What one of the first unit is in the second: the definitions of the units."""

_NINE_FIFTHS = 9 / 5
TEMPERATURES = (
    ("Fahrenheit", "Celsius", 1 / _NINE_FIFTHS, -32 / _NINE_FIFTHS),
    ("Celsius", "Fahrenheit", _NINE_FIFTHS, 32.0),
    ("Fahrenheit", "Kelvin", 1 / _NINE_FIFTHS, 273.15 - 32 / _NINE_FIFTHS),
    ("Kelvin", "Fahrenheit", _NINE_FIFTHS, 32 - _NINE_FIFTHS * 273.15),
    ("Celsius", "Kelvin", 1.0, 273.15),
    ("Kelvin", "Celsius", 1.0, -273.15),
)
"""Factor and offset from the first scale to the second."""

UNNATURAL = 1.5
"""A factor (or its inverse) below which nothing is read into a scale."""
_IMPOSSIBLE = 5.0
"""A factor that no season of a year of flights came near: here the shape may differ."""
_DISTINCT = 5
"""Fewer different quantiles than this have no shape that could be recognised."""


def find_unit_change(reference: ColumnSummary, current: ColumnSummary) -> str | None:
    """A sentence such as ``1.61 times what it was, as miles written in kilometres``, or None."""
    before, now = reference.quantiles, current.quantiles
    if len(before) != len(now) or len(set(before)) < _DISTINCT or len(set(now)) < 2:
        return None
    if max(map(abs, (*before, *now))) >= INFINITE:
        return None
    return _temperature(before, now) or _scale(reference, current)


def _scale(reference: ColumnSummary, current: ColumnSummary) -> str | None:
    """Least squares through the origin: ``factor`` times the old quantiles, and what is left."""
    before, now = reference.quantiles, current.quantiles
    squares = math.fsum(x * x for x in before)
    products = math.fsum(x * y for x, y in zip(before, now, strict=True))
    factor = products / squares if squares else 0.0
    size = abs(math.log(abs(factor))) if factor else 0.0
    if size < math.log(UNNATURAL):
        return None
    left = _distance([y / factor for y in now], before)
    if _moved(before, now) < left:
        return None
    if size >= math.log(_IMPOSSIBLE):
        return _said(factor, left, _known(factor, 0.1)) if left <= 0.35 else None
    ends, known = _ends(reference, current, factor), _known(factor, 0.04)
    if _is_share(current) or ends is None:
        return None
    close = left <= 0.05 and ends <= 0.2 if known else left <= 0.03 and ends <= 0.1
    return _said(factor, left, known) if close else None


def _temperature(before: Sequence[float], now: Sequence[float]) -> str | None:
    """Whether a conversion undone brings the column back to where it was, and nothing else."""
    raw = _distance(now, before)
    for old, new, factor, offset in TEMPERATURES:
        left = _distance([(y - offset) / factor for y in now], before)
        if "Kelvin" in (old, new):
            fits = raw >= 5 and left <= 1
        else:
            slope = _slope(before, now)
            fits = (
                left <= 0.5
                and raw >= 2 * left
                and raw >= 0.5
                and slope > 0
                and abs(math.log(slope / factor)) < 0.25
            )
        if fits:
            return f"its quantiles are where {old} would be in {new}"
    return None


def _distance(one: Sequence[float], other: Sequence[float]) -> float:
    """The root mean square between quantiles, in widths of the middle nine tenths of ``other``."""
    width = other[-1] - other[0]
    away = [(x - y) / width for x, y in zip(one, other, strict=True)]
    return math.sqrt(math.fsum(gap * gap for gap in away) / len(other))


def _moved(before: Sequence[float], now: Sequence[float]) -> float:
    """What is left between the quantiles after one was moved, unscaled, onto the other."""
    offset = (math.fsum(now) - math.fsum(before)) / len(before)
    return _distance([y - offset for y in now], before)


def _slope(before: Sequence[float], now: Sequence[float]) -> float:
    """Of the straight line with least squares through the pairs of quantiles."""
    x, y = math.fsum(before) / len(before), math.fsum(now) / len(now)
    spread = math.fsum((a - x) * (a - x) for a in before)
    both = math.fsum((a - x) * (b - y) for a, b in zip(before, now, strict=True))
    return both / spread if spread else 0.0


def _ends(reference: ColumnSummary, current: ColumnSummary, factor: float) -> float | None:
    """How far, in logarithms, the farther end is from ``factor`` times what it was."""
    ends = (reference.lowest, reference.highest, current.lowest, current.highest)
    lowest, highest, low, high = ends
    if lowest is None or highest is None or low is None or high is None:
        return None
    was, now = (highest, high) if abs(highest) >= abs(lowest) else (lowest, low)
    ratio = now / was / factor if was else 0.0
    return abs(math.log(ratio)) if ratio > 0 else math.inf


def _is_share(current: ColumnSummary) -> bool:
    """Between 0 and 1 there is no other unit to be in, and shares double by nature."""
    low, high = current.lowest, current.highest
    return low is not None and high is not None and low >= 0 and high <= 1


def _known(factor: float, tolerance: float) -> str | None:
    """The units one turns into the other by about ``factor``, the closest first."""
    both = [(old, new, by) for old, new, by in FACTORS]
    both += [(new, old, 1 / by) for old, new, by in FACTORS]
    old, new, by = min(both, key=lambda known: abs(math.log(abs(factor) / known[2])))
    close = factor > 0 and abs(math.log(factor / by)) < tolerance
    return f"as {old} written in {new}" if close else None


def _said(factor: float, left: float, known: str | None) -> str:
    named = known or "too much for any season"
    return f"{factor:.3g} times what it was ({named}; its shape agrees within {left:.1%})"
