"""Values that a request for a model could hold, found in what its estimator was fitted on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from mlops_assets.lifecycle.training import ModelSignature

ANY_NUMBER, ANY_TEXT = 1.0, "unknown"
FITTED = ("sklearn.", "mlops_assets.serving.compiling.predictor")
"""Where the classes come from that are fitted, or hold what is."""

MAX_DEPTH = 14
"""Estimators hold estimators; an ensemble of calibrated pipelines has about eight layers."""


def find_example(predictor: Any, signature: ModelSignature) -> dict[str, float | str]:
    """One row: a value per feature, and what identifies the row.

    ``predictor`` is whoever answers: a fitted estimator, or what was made of it. Categories are
    ones that the estimator knows, numbers lie in the middle of what it was fitted on; where it
    does not tell, any number and any text will do.
    """
    found: dict[tuple[str, bool], float | str] = {}
    for part in _parts(predictor, MAX_DEPTH, set()):
        for name, value in _values(part):
            # An encoded category is a number to the trees behind the encoder.
            found.setdefault((name, isinstance(value, float)), value)
    row: dict[str, float | str] = {}
    for feature in signature.features:
        numeric = feature.kind == "numeric"
        anything: float | str = ANY_NUMBER if numeric else ANY_TEXT
        row[feature.name] = found.get((feature.name, numeric), anything)
    row.setdefault(signature.entity_key, "example")
    row.setdefault(signature.time, f"{signature.train_as_of}T12:00:00+00:00")
    return row


def _parts(part: Any, depth: int, seen: set[int]) -> Iterator[Any]:
    """The estimator and all it is made of."""
    if depth == 0 or id(part) in seen:
        return
    seen.add(id(part))
    if isinstance(part, list | tuple):
        inner: Iterable[Any] = part[:50]  # members are alike: a forest has hundreds
    elif isinstance(part, dict):
        inner = part.values()
    elif type(part).__module__.startswith(FITTED) and hasattr(part, "__dict__"):
        yield part
        inner = vars(part).values()
    else:
        return
    for item in inner:
        yield from _parts(item, depth - 1, seen)


def _values(part: Any) -> Iterator[tuple[str, float | str]]:
    """What one part tells about the columns it was fitted on."""
    names = getattr(part, "feature_names_in_", None)
    steps = getattr(part, "steps", None)
    if steps and len(steps) > 1:
        yield from _thresholds(steps)
    if names is None:
        return
    if hasattr(part, "categories_"):
        for name, categories in zip(names, part.categories_, strict=False):
            known = [value for value in categories if isinstance(value, str) and value]
            if known:
                yield str(name), known[len(known) // 2]
    for attribute in ("statistics_", "mean_", "center_"):
        numbers = getattr(part, attribute, None)
        if numbers is not None and getattr(numbers, "shape", None) == (len(names),):
            yield from _numbers(names, numbers)


def _thresholds(steps: Sequence[tuple[str, Any]]) -> Iterator[tuple[str, float | str]]:
    """The middle of the bins that boosted trees sort each column into."""
    first, last = steps[0][1], steps[-1][1]
    bins = getattr(getattr(last, "_bin_mapper", None), "bin_thresholds_", None)
    if bins is None or not hasattr(first, "get_feature_names_out"):
        return
    names = [str(name).rpartition("__")[2] for name in first.get_feature_names_out()]
    if len(names) == len(bins):
        known = [(n, b[len(b) // 2]) for n, b in zip(names, bins, strict=True) if len(b)]
        yield from _numbers([name for name, _ in known], [value for _, value in known])


def _numbers(names: Iterable[Any], numbers: Iterable[Any]) -> Iterator[tuple[str, float | str]]:
    """Finite numbers to four digits, as people write them."""
    for name, number in zip(names, numbers, strict=True):
        if isinstance(number, str):
            yield str(name), number
        elif abs(value := float(number)) < float("inf"):
            yield str(name), float(f"{value:.4g}")
