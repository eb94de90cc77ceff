"""Who answers rows: a compiled form of the estimator, or scikit-learn itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, Protocol

from mlops_assets.lifecycle.training import Feature
from mlops_assets.serving.compiling.columns import Matrix, Rows, UndecidedError
from mlops_assets.serving.compiling.frames import build_model_frame

Values = Mapping[str, Sequence[float | str | None]]
"""One list per feature, None where a value is missing."""


class Predictor(Protocol):
    """Answers rows; may be asked from several threads.

    ``reason`` says why it is not compiled, None when it is.
    """

    kind: Literal["compiled", "scikit-learn"]
    reason: str | None

    def predict(self, columns: Values, height: int) -> list[float]:
        """The probability of the positive class for each of ``height`` rows.

        Raises whatever the estimator raises for these rows.
        """
        ...


class ScikitLearnPredictor:
    """The estimator as it is, asked the way it was tested."""

    kind: Literal["compiled", "scikit-learn"] = "scikit-learn"

    def __init__(self, estimator: Any, features: Sequence[Feature], reason: str | None) -> None:
        self.reason = reason
        self._estimator, self._features = estimator, tuple(features)

    def predict(self, columns: Values, height: int) -> list[float]:  # noqa: ARG002 - lists know it
        """The estimator's own answer."""
        frame = build_model_frame(columns, self._features)
        probability = self._estimator.predict_proba(frame)[:, 1]
        plain: list[float] = probability.astype(float).tolist()
        return plain


class CompiledPredictor:
    """A compiled form; what that does not decide, the estimator itself answers or refuses."""

    kind: Literal["compiled", "scikit-learn"] = "compiled"
    reason: str | None = None

    def __init__(
        self,
        read: Callable[[Values, int], Rows],
        answer: Callable[[Rows], Matrix],
        original: ScikitLearnPredictor,
    ) -> None:
        self._read, self._answer, self._original = read, answer, original

    def predict(self, columns: Values, height: int) -> list[float]:
        """The compiled answer, or scikit-learn's where the compiled form leaves it to that."""
        try:
            return self.decide(columns, height)
        except UndecidedError:
            return self._original.predict(columns, height)

    def decide(self, columns: Values, height: int) -> list[float]:
        """The compiled answer alone. Raises ``UndecidedError`` where there is none."""
        plain: list[float] = self._answer(self._read(columns, height)).tolist()
        return plain
