"""One window at a time, shown to every detector."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from mlops_assets.commands.simulate.drift.detectors import (
    EvidentlyPreset,
    Ours,
    PlainTests,
    fails_a_check,
    is_dataset_drift,
)
from mlops_assets.commands.simulate.drift.real_days import RealDays
from mlops_assets.commands.simulate.drift.shifts import SHIFTS
from mlops_assets.commands.simulate.drift.windows import draw_from_season, draw_window
from mlops_assets.lifecycle.training import Feature

FEATURES = (10, 17, 30)
"""How many features a window is judged by, as far as the model has so many."""

SHIFTED_AMONG = 17
"""How many features a shifted column is one of."""

CHECKS = "ours, a check fails"
HALF = "Evidently, half of them"

Draw = Literal["days", "weeks"]
DRAWS: tuple[Draw, ...] = ("days", "weeks")
"""What is drawn for a window without drift: each of its days, or whole weeks of one season."""

Flags = dict[str, dict[int, bool]]
"""Whether a detector flagged anything, by its name and the number of features."""


@dataclass(frozen=True)
class Found:
    """Of one shifted column, by detector: whether it was flagged, and whether anything was."""

    column: str
    found: dict[str, bool]
    anything: dict[str, bool]


def judge_same(real: RealDays, draw: Draw, seed: Sequence[int], *, evidently: bool) -> Flags:
    """A window without drift, by as many features as ``FEATURES`` says; which ones is drawn."""
    random = np.random.default_rng(seed)
    drawn = (draw_window if draw == "days" else draw_from_season)(real, random)
    order = _shuffled(real.features, random)
    counts = [count for count in FEATURES if count <= len(order)]
    reports = {count: Ours().measure(drawn, order[:count]) for count in counts}
    plain = PlainTests()
    flags: Flags = {
        Ours.name: {count: report.alarm for count, report in reports.items()},
        CHECKS: {count: fails_a_check(report) for count, report in reports.items()},
        plain.name: {count: bool(plain.flag(drawn, order[:count])) for count in counts},
    }
    if evidently:
        preset = EvidentlyPreset()
        # A column's flag does not depend on the others: once is enough for all three.
        flagged = preset.flag(drawn, order[: max(counts)])
        first = {count: order[:count] for count in counts}
        flags[preset.name] = {n: any(f.name in flagged for f in first[n]) for n in counts}
        flags[HALF] = {n: is_dataset_drift(flagged, first[n]) for n in counts}
    return flags


def judge_shifted(
    real: RealDays, shift: str, number: int, seed: Sequence[int], *, evidently: bool
) -> Found:
    """A window without drift in which one column that a shift suits is shifted; which one follows
    from the number, each in turn."""
    random = np.random.default_rng(seed)
    (chosen,) = [each for each in SHIFTS if each.name == shift]
    column = _pick(chosen.suits(real), number)
    drawn = draw_window(real, random)
    shifted = drawn.changed(chosen.apply(drawn.current, column, random))
    own = [feature for feature in real.features if feature.name == column]
    others = [feature for feature in real.features if feature.name != column]
    asked = _shuffled((*own, *_shuffled(others, random)[: SHIFTED_AMONG - 1]), random)
    by_name = {each.name: each.flag(shifted, asked) for each in (Ours(), PlainTests())}
    anything = {name: bool(flagged) for name, flagged in by_name.items()}
    if evidently:
        preset = EvidentlyPreset()
        by_name[preset.name] = preset.flag(shifted, own)
    found = {name: column in flagged for name, flagged in by_name.items()}
    return Found(column, found, anything)


def _pick(columns: Sequence[str], number: int) -> str:
    """Each in turn, in an order that has the first few be of all kinds."""
    order = np.random.default_rng(len(columns)).permutation(len(columns))
    return columns[int(order[number % len(columns)])]


def _shuffled(features: Sequence[Feature], random: np.random.Generator) -> list[Feature]:
    return [features[index] for index in random.permutation(len(features))]
