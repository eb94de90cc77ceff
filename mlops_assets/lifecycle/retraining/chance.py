"""How often a policy would ask for a retraining by chance alone."""

from __future__ import annotations

import math

from mlops_assets.lifecycle.retraining.policy import RetrainingPolicy


def expected_false_retrains(
    false_alarm_rate: float, policy: RetrainingPolicy, partitions_per_year: int
) -> float:
    """At most how many retrainings a year drift alarms ask for on a stream that does not drift.

    ``false_alarm_rate``: the chance that a window drifts although nothing has changed, windows
    being independent. A window asks when it drifts and at least ``violated - 1`` of the
    ``windows - 1`` before do: rate * P(Binomial(windows - 1, rate) >= violated - 1). That episodes
    ask once only is left out, so it is an upper bound; cooldown and budget cap it. What the
    schedule and new data ask for is meant, and performance has no rate of chance: they do not
    count.
    """
    if not 0 <= false_alarm_rate <= 1:
        raise ValueError(f"false_alarm_rate must lie in [0, 1], got {false_alarm_rate}")
    if not policy.triggers.drift:
        return 0.0
    others = policy.windows - 1
    enough = sum(
        math.comb(others, count)
        * false_alarm_rate**count
        * (1 - false_alarm_rate) ** (others - count)
        for count in range(policy.violated - 1, others + 1)
    )
    by_chance = false_alarm_rate * enough * partitions_per_year
    by_cooldown = math.ceil(partitions_per_year / max(policy.cooldown, 1))
    budget = policy.budget
    by_budget = budget.retrainings * math.ceil(partitions_per_year / budget.partitions)
    return min(by_chance, float(by_cooldown), float(by_budget))
