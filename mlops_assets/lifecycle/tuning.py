"""What a study searches, and what a trial is worth: judged on later rows than it is fitted on."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import TYPE_CHECKING, Any, Literal, Protocol

from mlops_assets.lifecycle.digests import digest_value
from mlops_assets.lifecycle.errors import TrainingError
from mlops_assets.lifecycle.training import Feature, fit_estimator, predict_probability

if TYPE_CHECKING:
    from mlops_assets.lifecycle.splits import Fold


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
    """A search: scikit-learn parameter names and their ranges, how many trials, which seed.

    ``timeout``: seconds of search in all, None for no limit. ``workers``: processes that fit at
    once; it belongs to the search's identity, because a round of that many trials is drawn before
    any of them is known. ``pruning``: give up a trial whose first folds are worse than the median
    of earlier trials at the same fold.
    """

    space: Mapping[str, Dimension] = field(default_factory=dict)
    trials: int = 10
    seed: int = 7
    timeout: float | None = None
    workers: int = 1
    pruning: bool = False

    def __post_init__(self) -> None:
        for name in ("trials", "workers"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if self.timeout is not None and not self.timeout > 0:
            raise ValueError(f"timeout must be above 0 seconds, got {self.timeout}")


class Objective(Protocol):
    """What a trial costs, fold by fold. Must pickle when ``Tuning.workers`` is above 1."""

    @property
    def folds(self) -> int:
        """How many validation folds there are, at least 1."""

    def __call__(self, parameters: Mapping[str, Any], fold: int) -> float:
        """The loss on validation fold ``fold``, from 0 in order of time, of an estimator fitted
        on rows earlier than that fold."""


@dataclass(frozen=True)
class Trial:
    """One trial that ended. ``number`` counts from 1, ``folds`` are the losses it came to.

    ``value`` is their mean, None when the trial was pruned before its last fold. ``seconds`` is
    the time its folds took, added up.
    """

    number: int
    parameters: Mapping[str, Any]
    value: float | None
    folds: tuple[float, ...]
    seconds: float = field(compare=False)

    @property
    def pruned(self) -> bool:
        return self.value is None

    @property
    def mean(self) -> float:
        """The mean loss of the folds it came to."""
        return fmean(self.folds)

    def describe(self, of: int) -> str:
        """One line for a log; ``of`` is how many trials were asked for."""
        given_up = f"pruned after fold {len(self.folds)} at " if self.pruned else ""
        parameters = dict(self.parameters)
        return f"trial {self.number} of {of}: {given_up}{self.mean:.5f} {parameters}"


@dataclass(frozen=True)
class TuningResult:
    """What a study found; lower is better.

    ``parameters`` and ``value`` are those of the best complete trial, the first of equals.
    ``importance`` is the share of each parameter in reaching good values, adding up to 1; empty
    when too few trials tell. ``stopped`` says what ended the search: the number of trials asked
    for, or the time limit.
    """

    parameters: Mapping[str, Any]
    value: float
    trials: tuple[Trial, ...]
    importance: Mapping[str, float] = field(default_factory=dict)
    stopped: Literal["trials", "time"] = "trials"

    @property
    def values(self) -> tuple[float, ...]:
        """The values of the complete trials, in order."""
        return tuple(trial.value for trial in self.trials if trial.value is not None)


def require_space(name: str, tuning: Tuning) -> None:
    """Raise ``TrainingError`` when study ``name`` has no parameter to search."""
    if not tuning.space:
        raise TrainingError(
            f"tuning {name}: a search needs at least one parameter, got an empty space; "
            "name parameters and their ranges, or remove the tuning"
        )


def require_finite(name: str, value: float, parameters: Mapping[str, Any], fold: int) -> None:
    """Raise ``TrainingError`` when the loss on a fold (from 0) is not a finite number."""
    if not math.isfinite(value):
        raise TrainingError(
            f"tuning {name}: the objective is {value} on fold {fold + 1} for {dict(parameters)}; "
            "narrow the search space, or correct the estimator"
        )


def conclude_study(
    name: str,
    trials: Sequence[Trial],
    importance: Mapping[str, float],
    stopped: Literal["trials", "time"],
) -> TuningResult:
    """The result of a study's trials. Raises ``TrainingError`` when all of them were pruned."""
    complete = [(trial, trial.value) for trial in trials if trial.value is not None]
    if not complete:
        raise TrainingError(
            f"tuning {name}: none of {len(trials)} trial(s) was complete; turn pruning off"
        )
    best, value = min(complete, key=lambda pair: pair[1])
    return TuningResult(best.parameters, value, tuple(trials), dict(importance), stopped)


def study_digest(
    data: str, tuning: Tuning, code: str, *, estimator: str, parameters: Mapping[str, Any]
) -> str:
    """The key of a study: the digest of all that its trials depend on.

    ``data`` and ``code`` are digests, ``parameters`` are fixed ones. How many trials and how much
    time are no part of it: asking for more continues the study.
    """
    return digest_value(
        {
            "data": data,
            "space": tuning.space,
            "seed": tuning.seed,
            "workers": tuning.workers,
            "pruning": tuning.pruning,
            "code": code,
            "estimator": estimator,
            "parameters": parameters,
        }
    )


@dataclass(frozen=True)
class TrialScorer:
    """The objective of a study: log loss on later rows of an estimator fitted on earlier ones.

    ``parts`` are the folds, in order of time; ``fixed`` are parameters that are not searched.
    """

    build_estimator: Callable[..., Any]
    parts: Sequence[Fold]
    features: Sequence[Feature]
    label: str
    seed: int
    fixed: Mapping[str, Any] = field(default_factory=dict)

    @property
    def folds(self) -> int:
        return len(self.parts)

    def __call__(self, parameters: Mapping[str, Any], fold: int) -> float:
        from sklearn.metrics import log_loss

        part = self.parts[fold]
        model = fit_estimator(
            self.build_estimator,
            part.fit,
            self.features,
            self.label,
            parameters={**self.fixed, **parameters},
            seed=self.seed,
        )
        probability = predict_probability(model, part.score, self.features)
        truth = part.score[self.label].cast(int).to_numpy()
        return float(log_loss(truth, probability, labels=[0, 1]))
