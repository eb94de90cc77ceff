"""What a model's YAML says about training again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from mlops_assets.lifecycle.errors import did_you_mean
from mlops_assets.lifecycle.metrics import METRICS

Trigger = Literal["by_hand", "performance", "drift", "new_data", "schedule"]


@dataclass(frozen=True)
class PerformanceTrigger:
    """A window is worse when ``metric`` on at least ``minimum_labelled`` labelled rows is worse
    than the champion's own test by more than ``worse_by`` of it (0.1 is a tenth)."""

    metric: str = "brier"
    worse_by: float = 0.1
    minimum_labelled: int = 300

    def __post_init__(self) -> None:
        if self.metric not in METRICS:
            hint = did_you_mean(self.metric, METRICS)
            raise ValueError(
                f"metric '{self.metric}' is not measured, allowed are {', '.join(METRICS)}{hint}"
            )
        if not self.worse_by > 0:  # nor NaN
            raise ValueError(f"worse_by must be above 0, got {self.worse_by}")
        if self.minimum_labelled < 1:
            raise ValueError(f"minimum_labelled must be at least 1, got {self.minimum_labelled}")


@dataclass(frozen=True)
class Triggers:
    """What may ask for a retraining beside a person, who always may.

    ``drift`` and ``performance`` ask once enough windows are violated. ``every``: so many
    partitions after the champion was trained. ``new_rows``: so many labelled rows since then.
    """

    drift: bool = True
    performance: PerformanceTrigger | None = None
    every: int | None = None
    new_rows: int | None = None

    def __post_init__(self) -> None:
        for name in ("every", "new_rows"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name} must be at least 1, got {value}")


@dataclass(frozen=True)
class RetrainingBudget:
    """At most ``retrainings`` in any ``partitions`` in a row, whatever asks but a person.

    ``false_per_year``: how many of a year may be asked for by chance alone, on a stream that
    does not drift; a policy that cannot keep to that is refused when it is read.
    """

    retrainings: int = 12
    partitions: int = 52
    false_per_year: float = 1.0

    def __post_init__(self) -> None:
        for name in ("retrainings", "partitions"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if not self.false_per_year > 0:  # nor NaN
            raise ValueError(f"false_per_year must be above 0, got {self.false_per_year}")


@dataclass(frozen=True)
class RetrainingPolicy:
    """``violated`` of the last ``windows``, the newest among them, ask for a retraining, at the
    soonest ``cooldown`` partitions after the champion was trained, within the budget.

    ``mode``: ``enabled`` acts, ``dry_run`` only says what it would do, ``disabled`` is silent.
    ``evaluate_after``: of how many partitions with all their labels the new champion and the one
    before are compared, to say whether it helped.
    """

    mode: Literal["disabled", "dry_run", "enabled"] = "disabled"
    triggers: Triggers = Triggers()
    windows: int = 3
    violated: int = 2
    cooldown: int = 2
    budget: RetrainingBudget = RetrainingBudget()
    evaluate_after: int = 2

    def __post_init__(self) -> None:
        if not 1 <= self.violated <= self.windows:
            raise ValueError(
                f"violated must lie between 1 and windows, got {self.violated} of {self.windows}"
            )
        if self.cooldown < 0:
            raise ValueError(f"cooldown must not be negative, got {self.cooldown}")
        if self.evaluate_after < 1:
            raise ValueError(f"evaluate_after must be at least 1, got {self.evaluate_after}")
