"""The science of seattle_rain: does it rain today, given on which days before it rained?"""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import polars as pl

from mlops_assets.lifecycle.features import FeatureInputs
from mlops_assets.lifecycle.point_in_time import rolling_rate
from mlops_assets.lifecycle.training import Feature

ZONE = "America/Los_Angeles"
ASKED_AT = timedelta(hours=7)  # local time of day
COLDEST_DAY = 15  # of the year, about


def build_entities(days: pl.DataFrame) -> pl.DataFrame:
    """One row per day; only its date is known in the morning."""
    return days.select(
        day=pl.col("date").dt.strftime("%Y-%m-%d"),
        morning=_midnight(pl.col("date"), ASKED_AT),
        date="date",
    )


def build_labels(days: pl.DataFrame) -> pl.DataFrame:
    """Whether any rain was measured, known when the day is over."""
    return days.select(
        day=pl.col("date").dt.strftime("%Y-%m-%d"),
        rain=pl.col("precipitation") > 0,
        known_at=_midnight(pl.col("date") + timedelta(days=1)),
    )


def build_features(inputs: FeatureInputs) -> pl.DataFrame:
    """How often it rained on the last days, and how far into winter the day is."""

    def rate(days: int) -> pl.Series:
        known = (inputs.entities, inputs.history)
        return rolling_rate(*known, label="rain", by=[], window=timedelta(days=days))

    angle = (pl.col("date").dt.ordinal_day() - COLDEST_DAY) * (2 * math.pi / 365.25)
    return inputs.entities.with_columns(
        rate(1).alias("rained_yesterday"),
        *(rate(days).alias(f"rain_rate_{days}d") for days in (3, 7, 28)),
        angle.cos().alias("winter"),
    )


def build_estimator(features: Sequence[Feature], seed: int) -> Any:
    """A linear model; a missing rate is replaced by the mean of those known."""
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import StandardScaler

    steps = [("impute", SimpleImputer()), ("scale", StandardScaler())]
    return Pipeline([*steps, ("classify", LogisticRegression(random_state=seed))])


def build_prior(features: Sequence[Feature], seed: int) -> Any:
    """How often it rains, whatever the features say: an experiment that no gate lets pass."""
    from sklearn.dummy import DummyClassifier

    return DummyClassifier(strategy="prior", random_state=seed)


def _midnight(date: pl.Expr, after: timedelta = timedelta()) -> pl.Expr:
    """The beginning of a local date, and some time after it, in UTC."""
    local = (date.cast(pl.Datetime("us")) + after).dt.replace_time_zone(ZONE)
    return local.dt.convert_time_zone("UTC")
