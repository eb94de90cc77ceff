"""Does a compiled form answer as scikit-learn does? Asked about what the estimator turns on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from mlops_assets.lifecycle.training import Feature
from mlops_assets.serving.compiling.columns import Seen, UndecidedError
from mlops_assets.serving.compiling.encoders import UNSEEN_TEXT
from mlops_assets.serving.compiling.predictor import CompiledPredictor, ScikitLearnPredictor

ROWS = 64
TOLERANCE = 1e-9
"""How far a compiled probability may lie from scikit-learn's; meant is the same double."""

_COMPLETE_ROWS = 16
_MISSING_SHARE = 0.15
_SEED = 0
_NUMBERS = (0.0, -1.0, 1.0, 100.0)


def build_check_rows(features: Sequence[Feature], seen: Seen) -> dict[str, list[Any]]:
    """Rows of the estimator's own categories and thresholds: the same ones every time.

    The first rows are complete; then one misses everything, one has never been seen, and the rest
    misses some values.
    """
    random = np.random.default_rng(_SEED)
    rows: dict[str, list[Any]] = {}
    for feature in features:
        if feature.kind == "categorical":
            known: list[Any] = seen.texts.get(feature.name) or [UNSEEN_TEXT]
            never: Any = UNSEEN_TEXT
        else:
            known = [*seen.numbers.get(feature.name, []), *_NUMBERS]
            never = max(known) * 2 + 1
        values = [known[place] for place in random.integers(len(known), size=ROWS)]
        gaps = random.random(ROWS) < _MISSING_SHARE
        for place in np.flatnonzero(gaps[_COMPLETE_ROWS:]).tolist():
            values[_COMPLETE_ROWS + place] = None
        values[_COMPLETE_ROWS : _COMPLETE_ROWS + 2] = [None, never]
        rows[feature.name] = values
    return rows


def find_difference(
    compiled: CompiledPredictor, original: ScikitLearnPredictor, rows: dict[str, list[Any]]
) -> str | None:
    """How the compiled form differs from scikit-learn on ``rows``, each alone and all together.

    None where it does not. Rows that it leaves to scikit-learn do not differ, yet it has to answer
    one of them.
    """
    expected = _ask_scikit_learn(original, rows)
    places = [place for place, answer in enumerate(expected) if answer is not None]
    asked = [[place] for place in range(len(expected))] + ([places] if places else [])
    decided = 0
    for together in asked:
        try:
            answers = compiled.decide(_pick(rows, together), len(together))
        except UndecidedError:
            continue
        decided += 1
        for place, answer in zip(together, answers, strict=True):
            wanted = expected[place]
            if wanted is None:
                return f"it answers check row {place}, which scikit-learn refuses"
            if not abs(answer - wanted) <= TOLERANCE:
                return f"it answers {answer!r} to check row {place}, scikit-learn {wanted!r}"
    return None if decided else "it answers none of the check rows"


def _ask_scikit_learn(
    original: ScikitLearnPredictor, rows: dict[str, list[Any]]
) -> list[float | None]:
    """Its answer to each row, None where it refuses."""
    height = len(next(iter(rows.values())))
    try:
        return list(original.predict(rows, height))
    except ValueError:  # some row is refused, which one shows when each is asked alone
        return [_ask_one(original, _pick(rows, [place])) for place in range(height)]


def _ask_one(original: ScikitLearnPredictor, row: dict[str, list[Any]]) -> float | None:
    try:
        return original.predict(row, 1)[0]
    except ValueError:
        return None


def _pick(rows: dict[str, list[Any]], places: Sequence[int]) -> dict[str, list[Any]]:
    return {name: [values[place] for place in places] for name, values in rows.items()}
