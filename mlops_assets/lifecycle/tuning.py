"""What a study searches, and what a trial is worth: judged on later rows than it is fitted on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from mlops_assets.lifecycle.training import Feature, fit_estimator, predict_probability

if TYPE_CHECKING:
    from mlops_assets.lifecycle.splits import Split


@dataclass(frozen=True)
class Dimension:
    """The range of one parameter: ``choices``, or ``low`` to ``high`` (whole when ``int``)."""

    low: float | None = None
    high: float | None = None
    log: bool = False
    int: bool = False
    choices: tuple[str | float | bool, ...] | None = None

    def __post_init__(self) -> None:
        bounds = (self.low, self.high)
        if None in bounds if self.choices is None else bounds != (None, None):
            raise ValueError("give either low and high, or choices")
        if self.choices is not None and not self.choices:
            raise ValueError("choices must name at least one value")
        if self.low is not None and self.high is not None and self.low >= self.high:
            raise ValueError(f"low must be below high, got {self.low} and {self.high}")
        if self.log and self.low is not None and self.low <= 0:
            raise ValueError(f"a log range must begin above 0, got {self.low}")


@dataclass(frozen=True)
class Tuning:
    """A search: scikit-learn parameter names and their ranges, how many trials, which seed."""

    space: Mapping[str, Dimension]
    trials: int = 10
    seed: int = 7

    def __post_init__(self) -> None:
        if self.trials < 1:
            raise ValueError(f"trials must be at least 1, got {self.trials}")
        if not self.space:
            raise ValueError("space must name at least one parameter")


@dataclass(frozen=True)
class TuningResult:
    """The best parameters and every trial's value, in order; lower is better."""

    parameters: Mapping[str, Any]
    value: float
    values: tuple[float, ...]


@dataclass(frozen=True)
class TrialScorer:
    """The objective of a study: validation log loss of an estimator fitted on earlier rows."""

    build_estimator: Callable[..., Any]
    split: Split
    features: Sequence[Feature]
    label: str
    seed: int
    fixed: Mapping[str, Any] = field(default_factory=dict)

    def __call__(self, parameters: Mapping[str, Any]) -> float:
        from sklearn.metrics import log_loss

        model = fit_estimator(
            self.build_estimator,
            self.split.tuning,
            self.features,
            self.label,
            parameters={**self.fixed, **parameters},
            seed=self.seed,
        )
        later = self.split.validation
        probability = predict_probability(model, later, self.features)
        truth = later[self.label].cast(int).to_numpy()
        return float(log_loss(truth, probability, labels=[0, 1]))
