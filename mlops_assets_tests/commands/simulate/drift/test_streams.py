"""A year without drift, decided week by week as the monitoring would."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from sklearn.metrics import brier_score_loss

from mlops_assets.commands.simulate.drift.real_days import RealDays
from mlops_assets.commands.simulate.drift.streams import (
    Regime,
    Year,
    build_regimes,
    count_retrains,
    play_year,
)
from mlops_assets.lifecycle.retraining.policy import (
    PerformanceTrigger,
    RetrainingPolicy,
    Triggers,
)
from mlops_assets_tests.examples.reading import read_example

WEEKS = 8
NAMES = ["distance", "temp", "engines"]
ALWAYS = {"false_discovery_rate": 1.0, "minimum_effect": 1e-9, "drift_share": 1e-9}
NEVER = {"minimum_effect": 1.0, "missing": 1.0, "unseen": 1.0, "tail": 1.0}


def model_of(monitoring=None, **retraining):
    """A model that asks for three of the columns there are."""
    stated = {"minimum_rows": 100, "reference": 3, "permutations": 99, **(monitoring or {})}
    return read_example(
        "seattle_rain",
        {
            "features": {"numeric": NAMES},
            "monitoring": stated,
            "training": {"split": {"test": 2, "validation": 1, "minimum_fit": 3}},
            "retraining": {
                "mode": "enabled",
                "cooldown": 1,
                "budget": {"retrainings": 52, "false_per_year": 52},
                **retraining,
            },
        },
    )


def year_of(real: RealDays, monitoring=None) -> Year:
    return Year(model_of(monitoring), real, (1, 2), WEEKS)


def drift_regime(**policy) -> Regime:
    return Regime("", RetrainingPolicy("enabled", **policy))


@pytest.mark.parametrize(
    ("policy", "retrains"),
    [
        ({"windows": 1, "violated": 1, "cooldown": 1}, WEEKS),
        ({"windows": 3, "violated": 2, "cooldown": 1}, WEEKS // 2),
        ({"windows": 3, "violated": 2, "cooldown": 4}, WEEKS // 4),
        ({"windows": 1, "violated": 1, "cooldown": WEEKS + 1}, 0),
    ],
)
def test_when_every_window_drifts_then_it_is_asked_for_as_often_as_the_policy_allows(
    real, policy, retrains
):
    assert play_year(year_of(real, ALWAYS), drift_regime(**policy)) == retrains


def test_when_nothing_ever_drifts_then_nothing_is_asked_for(real):
    year = year_of(real, NEVER)
    assert play_year(year, drift_regime(windows=1, violated=1)) == 0
    assert len(year._reports) == WEEKS  # one champion all year, every week beside its reference


def test_any_flag_is_heard_where_the_share_is_not_reached(real):
    # Seven days of weather are mostly far from 21 others; what counts in the model is not.
    year = year_of(real, {**ALWAYS, "minimum_effect": 0.15, "drift_share": 0.5})
    shared = drift_regime(windows=1, violated=1, cooldown=1)
    assert play_year(year, shared) == 0
    assert play_year(year, replace(shared, any_flag=True)) > WEEKS / 2


def test_a_champion_is_compared_with_the_weeks_before_its_training(real):
    year = year_of(real)
    report = year.measure(5, 9)
    assert report.reference_rows == sum(week.height for week in year.weeks[2:5])
    assert report.current_rows == year.weeks[9].height
    assert year.measure(5, 9) is report
    weights = {column.column: column.weight for column in report.columns}
    assert weights == pytest.approx({"distance": 0.8, "temp": 0.2, "engines": 0.0})


def test_answers_are_compared_with_those_of_the_weeks_tested_on(real):
    year, trigger = year_of(real), PerformanceTrigger(worse_by=0.1, minimum_labelled=100)
    evidence = year.compare(5, 8, trigger).evidence

    def brier(*weeks):
        rows = pl.concat(weeks).drop_nulls("truth")
        return brier_score_loss(rows["truth"].to_numpy(), rows["probability"].to_numpy())

    assert evidence["found"] == pytest.approx(brier(year.weeks[8]))
    assert evidence["tested"] == pytest.approx(brier(*year.weeks[3:5]))


def test_bad_days_alone_ask_for_a_training_where_performance_is_watched(real):
    policy = RetrainingPolicy(
        "enabled",
        triggers=Triggers(drift=False, performance=PerformanceTrigger(worse_by=0.01)),
        windows=1,
        violated=1,
        cooldown=1,
    )
    year = year_of(real)
    assert play_year(year, Regime("", policy)) > 0
    assert not year._reports
    fair = real.rows.with_columns(
        truth=pl.Series(np.arange(real.rows.height) % 2.0), probability=0.5
    )
    assert (
        play_year(Year(model_of(), replace(real, rows=fair), (1,), WEEKS), Regime("", policy)) == 0
    )


def test_the_first_regime_is_what_the_model_states_whatever_its_mode():
    model = model_of(
        mode="disabled", windows=4, violated=3, triggers={"every": 4, "new_rows": 10, "drift": True}
    )
    own, hasty, flags, worse = build_regimes(model)
    assert own.policy == replace(
        model.spec.retraining, mode="enabled", triggers=Triggers(drift=True)
    )
    assert (hasty.policy.windows, hasty.policy.violated, hasty.any_flag) == (1, 1, False)
    assert flags.policy == own.policy
    assert flags.any_flag
    assert worse.policy.triggers.performance
    assert not worse.policy.triggers.drift


def test_the_same_seed_counts_the_same(real):
    counted = [count_retrains(real, model_of(ALWAYS), seed, WEEKS) for seed in ((1,), (1,), (2,))]
    assert counted[0] == counted[1]
    assert counted[0]["the first window is enough"] == WEEKS
