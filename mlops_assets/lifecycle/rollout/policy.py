"""What ``defs.yaml`` may say about how a version gets its traffic, and what would take it away."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

Strategy = Literal["shadow", "canary", "blue_green", "ab_test", "recreate"]


@dataclass(frozen=True)
class PredictionPolicy:
    """How far a canary's answers may differ from the baseline's.

    ``threshold``: from this probability on an answer counts as high. ``odds_ratio``: the odds of
    a high answer may be that many times higher or lower before it counts against the canary.
    """

    threshold: float = 0.5
    odds_ratio: float = 2.0

    def __post_init__(self) -> None:
        _require_inside("threshold", self.threshold)
        if not self.odds_ratio >= 1:
            raise ValueError(f"odds_ratio must be at least 1, got {self.odds_ratio}")


@dataclass(frozen=True)
class OutcomePolicy:
    """How far a canary's mean loss (squared error of its probabilities) may exceed the baseline's.

    A rollout with it waits for labels before it promotes.
    """

    margin: float = 0.01

    def __post_init__(self) -> None:
        _require_inside("margin", self.margin)


@dataclass(frozen=True)
class AnalysisPolicy:
    """When a version may go on and when it has to go.

    ``minimum_sample``: canary units before a step can pass. ``maximum_sample``: canary units after
    which a rollout that has shown nothing ends; None never ends it. ``false_rollback_rate``: how
    often an equally good canary may be rolled back in one rollout, by all guardrails together,
    over any number of looks. ``false_promotion_rate``: how often one that is worse than a margin
    may be promoted. ``error_margin``: how far the share of its units whose first request failed may
    exceed the baseline's; without one, how large it may be. ``slow_milliseconds``: an answer that
    takes longer is slow; None leaves time alone. ``prediction`` and ``outcome`` add their
    guardrails.
    """

    minimum_sample: int = 200
    false_rollback_rate: float = 0.01
    false_promotion_rate: float = 0.01
    error_margin: float = 0.01
    slow_milliseconds: float | None = None
    prediction: PredictionPolicy | None = None
    outcome: OutcomePolicy | None = None
    maximum_sample: int | None = None

    def __post_init__(self) -> None:
        _require_count("minimum_sample", self.minimum_sample)
        for name in ("false_rollback_rate", "false_promotion_rate", "error_margin"):
            _require_inside(name, getattr(self, name))
        if self.slow_milliseconds is not None and not self.slow_milliseconds > 0:
            raise ValueError(f"slow_milliseconds must be above 0, got {self.slow_milliseconds}")
        if self.maximum_sample is not None and self.maximum_sample < self.minimum_sample:
            raise ValueError(
                f"maximum_sample must not be below minimum_sample, got {self.maximum_sample} "
                f"and {self.minimum_sample}"
            )


@dataclass(frozen=True)
class ShadowPolicy:
    """What a version has to show on copies of requests, before anybody gets its answers.

    ``mirror``: percent of the requests that are copied. ``minimum_sample``: copies before it can
    pass. ``agreement``: the share of rows it has to put on the same side of the decision threshold
    as the baseline. ``labels``: with them, it also has to show that its mean loss on the same rows
    exceeds the baseline's by less than ``margin`` (0: that it is better).
    """

    minimum_sample: int = 300
    agreement: float = 0.9
    labels: bool = False
    margin: float = 0.0
    mirror: int = 100

    def __post_init__(self) -> None:
        _require_count("minimum_sample", self.minimum_sample)
        _require_inside("agreement", self.agreement)
        if not 0 <= self.margin < 1:
            raise ValueError(f"margin must lie in [0, 1), got {self.margin}")
        if not 1 <= self.mirror <= 100:
            raise ValueError(f"mirror must be a percentage from 1 to 100, got {self.mirror}")


@dataclass(frozen=True)
class RolloutPolicy:
    """How a version gets from no traffic to all of it.

    ``shadow`` copies requests to it first, and then goes through ``steps``, if there are any;
    ``canary`` goes through ``steps`` (percent of the units) and is analysed at each;
    ``blue_green`` switches at once and keeps the old version warm until the new one has proved
    itself; ``ab_test`` gives it ``split`` percent until outcomes name a winner; ``recreate``
    switches at once and looks no further. ``start``: ``automatic`` begins as soon as a challenger
    has passed its gates, ``manual`` waits for a person. ``approval``: no version gets traffic
    before a person has approved it. ``ready_timeout``: seconds the endpoint has to load it.
    ``drill_seconds``: within which a drilled rollback has to be through.
    """

    strategy: Strategy = "recreate"
    steps: tuple[int, ...] = ()
    analysis: AnalysisPolicy = field(default_factory=AnalysisPolicy)
    start: Literal["automatic", "manual"] = "automatic"
    approval: bool = False
    ready_timeout: float = 60.0
    shadow: ShadowPolicy = field(default_factory=ShadowPolicy)
    split: int = 50
    drill_seconds: float = 1.0

    def __post_init__(self) -> None:
        _require_steps(self.strategy, self.steps)
        _require_time_to_finish(self)
        if self.strategy == "blue_green":
            _require_errors_only(self.analysis)
        if not 1 <= self.split <= 99:
            raise ValueError(f"split must be a percentage from 1 to 99, got {self.split}")
        if not self.ready_timeout > 0:  # said in this way, it refuses NaN too
            raise ValueError(f"ready_timeout must be above 0, got {self.ready_timeout}")
        if not self.drill_seconds > 0:
            raise ValueError(f"drill_seconds must be above 0, got {self.drill_seconds}")


def _require_count(name: str, value: int) -> None:
    if value < 1:
        raise ValueError(f"{name} must be at least 1, got {value}")


def _require_inside(name: str, value: float) -> None:
    if not 0 < value < 1:
        raise ValueError(f"{name} must lie between 0 and 1, got {value}")


def _require_steps(strategy: Strategy, steps: tuple[int, ...]) -> None:
    if strategy not in ("canary", "shadow") and steps:
        raise ValueError(f"steps belong to strategy canary or shadow, {strategy} has none")
    if strategy == "canary" and not steps:
        raise ValueError("canary needs steps, for example [10, 50]")
    if any(not 1 <= step <= 99 for step in steps):
        raise ValueError(
            f"steps must be percentages from 1 to 99, got {list(steps)}; 100 follows by itself"
        )
    if list(steps) != sorted(set(steps)):
        raise ValueError(f"steps must rise from one to the next, got {list(steps)}")


def _require_time_to_finish(policy: RolloutPolicy) -> None:
    """A rollout that ends before its last step can pass would never promote anything."""
    analysis, steps = policy.analysis, len(policy.steps)
    if (
        analysis.maximum_sample is None
        or analysis.maximum_sample >= analysis.minimum_sample * steps
    ):
        return
    raise ValueError(
        f"maximum_sample must not be below minimum_sample times the {steps} steps, got "
        f"{analysis.maximum_sample} and {analysis.minimum_sample}"
    )


def _require_errors_only(analysis: AnalysisPolicy) -> None:
    for name in ("slow_milliseconds", "prediction", "outcome"):
        if getattr(analysis, name) is not None:
            raise ValueError(
                f"{name} compares with a baseline that answers at the same time, and blue_green "
                "has none; leave it out, or use canary"
            )
