"""Behaviour: what a model's predictions have to do when its rows are changed in a known way.

Invariance and directional expectation tests (Ribeiro et al., "Beyond Accuracy: Behavioral Testing
of NLP Models with CheckList", ACL 2020): they need no labels, so they also speak of rows that were
never seen.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

from mlops_assets.lifecycle.errors import FeatureError, did_you_mean
from mlops_assets.lifecycle.verdicts import Verdict

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import polars as pl

    Probabilities = npt.NDArray[np.float64]

Expectation = Literal["same", "higher", "lower"]

_ROUNDING = 1e-12
"""A smaller difference is no change: sums over batches may be rounded another way."""

_SIGNS = {"higher": 1, "lower": -1}


@dataclass(frozen=True, eq=False)
class Behaviour:
    """What a function of ``model.py`` states: ``changed`` is predicted the same as, higher or
    lower than ``of``, row by row (None for the rows the function was given).

    ``tolerance``: how far a probability may move, or move the wrong way, and still do as expected.
    ``share``: the share of the changed rows that has to; the others may be odd. Rows that are not
    changed say nothing and are not counted. Higher and lower ask the mean to move so too.
    """

    changed: pl.DataFrame
    expect: Expectation
    of: pl.DataFrame | None = None
    tolerance: float = 0.0
    share: float = 0.9


def judge_behaviour(
    name: str,
    behaviour: object,
    rows: pl.DataFrame,
    predict: Callable[[pl.DataFrame], Probabilities],
) -> Verdict:
    """Whether a model does what the function ``name`` of ``model.py`` states.

    ``behaviour`` is what the function returned for ``rows``; ``predict`` gives one probability per
    row. The verdict has the function's name. Inconclusive when no row is changed. Raises
    ``FeatureError`` naming the function when it returned no ``Behaviour`` or an impossible one.
    """
    import numpy as np

    stated = _require_behaviour(name, behaviour)
    base = rows if stated.of is None else stated.of
    changed = _find_changed(name, base, stated.changed)
    if not changed.any():
        return Verdict(name, "inconclusive", f"none of {base.height} rows was changed")
    at = np.flatnonzero(changed)
    before, after = (np.asarray(predict(frame))[at] for frame in (base, stated.changed))
    wrong = _measure_wrong(before, after, stated.expect)
    as_expected = float((wrong <= stated.tolerance + _ROUNDING).mean())
    mean = float((after - before).mean())
    moved = stated.expect == "same" or mean * _SIGNS[stated.expect] > 0
    worst = int(np.argmax(wrong))
    evidence = {
        "rows": len(at),
        "as_expected": as_expected,
        "mean_change": _finite(mean),
        "worst": {
            "row": int(at[worst]),
            "before": _finite(float(before[worst])),
            "after": _finite(float(after[worst])),
        },
    }
    return Verdict(
        name,
        "passed" if as_expected >= stated.share and moved else "failed",
        f"{as_expected:.1%} of {len(at)} changed rows {_say(stated)}, at least {stated.share:.1%} "
        f"is asked; mean change {mean:+.4f}{'' if moved else f', {stated.expect} is expected'}; "
        f"worst row {at[worst]}: from {before[worst]:.4f} to {after[worst]:.4f}",
        evidence,
    )


def pick_behaviour_rows(rows: pl.DataFrame, count: int = 2000, *, seed: int) -> pl.DataFrame:
    """At most ``count`` of the rows, drawn without replacement, in the order they came."""
    import numpy as np

    if rows.height <= count:
        return rows
    picked = np.random.default_rng(seed).choice(rows.height, count, replace=False)
    return rows[np.sort(picked)]


def _require_behaviour(name: str, came: object) -> Behaviour:
    if not isinstance(came, Behaviour):
        raise FeatureError(f"{name}: must return a Behaviour, it returned {type(came).__name__}")
    if came.expect not in get_args(Expectation):
        allowed = get_args(Expectation)
        hint = did_you_mean(str(came.expect), allowed)
        raise FeatureError(
            f"{name}: expect must be one of {', '.join(allowed)}, got {came.expect!r}{hint}"
        )
    if not 0 <= came.tolerance < 1:
        raise FeatureError(f"{name}: tolerance must lie in [0, 1), got {came.tolerance}")
    if not 0 < came.share <= 1:
        raise FeatureError(f"{name}: share must lie in (0, 1], got {came.share}")
    return came


def _find_changed(name: str, base: pl.DataFrame, changed: pl.DataFrame) -> npt.NDArray[np.bool_]:
    """Per row whether any column differs. Raises when the two are not the same rows."""
    import numpy as np
    import polars as pl

    if changed.height != base.height:
        raise FeatureError(
            f"{name}: must return as many changed rows as it changes, {base.height} expected, "
            f"{changed.height} came"
        )
    missing = [column for column in base.columns if column not in changed.columns]
    if missing:
        raise FeatureError(
            f"{name}: must return the columns it was given, {', '.join(missing)} is missing"
        )
    differs = np.zeros(base.height, dtype=bool)
    for column in base.columns:
        try:
            differs |= base[column].ne_missing(changed[column]).to_numpy()
        except pl.exceptions.PolarsError as error:
            raise FeatureError(
                f"{name}: column '{column}' must stay {base[column].dtype}, "
                f"it came as {changed[column].dtype}"
            ) from error
    return differs


def _measure_wrong(
    before: Probabilities, after: Probabilities, expect: Expectation
) -> Probabilities:
    """How far each row moved against what is expected of it; what is no number is infinitely so."""
    import numpy as np

    change = after - before
    wrong = np.abs(change) if expect == "same" else -_SIGNS[expect] * change
    return np.where(np.isnan(wrong), np.inf, wrong)


def _say(stated: Behaviour) -> str:
    within = f"by more than {stated.tolerance:g}" if stated.tolerance else "at all"
    against = {"same": "move", "higher": "fall", "lower": "rise"}[stated.expect]
    return f"do not {against} {within}"


def _finite(value: float) -> float | None:
    """JSON has no NaN."""
    return value if math.isfinite(value) else None
