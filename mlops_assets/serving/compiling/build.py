"""From a fitted estimator to whoever answers its rows fastest, and as scikit-learn would."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mlops_assets.lifecycle.training import Feature
from mlops_assets.serving.compiling.check import build_check_rows, find_difference
from mlops_assets.serving.compiling.classifiers import compile_classifier
from mlops_assets.serving.compiling.columns import NotCompiledError, Seen, frame_columns, reader
from mlops_assets.serving.compiling.predictor import (
    CompiledPredictor,
    Predictor,
    ScikitLearnPredictor,
)


def build_predictor(estimator: Any, features: Sequence[Feature]) -> Predictor:
    """The compiled form of a fitted binary classifier, where it has one that is seen to be right.

    Never raises for an estimator that cannot be compiled: scikit-learn then answers itself, and
    ``reason`` says why.
    """
    try:
        return _compile(estimator, features)
    except NotCompiledError as error:
        reason = str(error)
    except Exception as error:  # noqa: BLE001 - an estimator may be anything, and is served all the same
        reason = f"compiling {type(estimator).__name__} raised {type(error).__name__}: {error}"
    return ScikitLearnPredictor(estimator, features, reason)


def _compile(estimator: Any, features: Sequence[Feature]) -> CompiledPredictor:
    """Raises ``NotCompiledError`` where there is no compiled form, or it answers differently."""
    seen = Seen()
    classifier = compile_classifier(estimator, frame_columns(features), seen)
    original = ScikitLearnPredictor(estimator, features, None)
    compiled = CompiledPredictor(reader(features), classifier.probability, original)
    difference = find_difference(compiled, original, build_check_rows(features, seen))
    if difference:
        raise NotCompiledError(f"the compiled form is not used, as {difference}")
    return compiled
