"""The science of seattle_ensemble: the rows of seattle_rain, and three ways to learn from them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import polars as pl

from mlops_assets.lifecycle.behaviour import Behaviour
from mlops_assets.lifecycle.features import FeatureInputs
from mlops_assets.lifecycle.training import Feature
from mlops_assets_tests.examples.seattle_rain import model as rain


def build_entities(days: pl.DataFrame) -> pl.DataFrame:
    """One row per day."""
    return rain.build_entities(days)


def build_labels(days: pl.DataFrame) -> pl.DataFrame:
    """Whether any rain was measured, known when the day is over."""
    return rain.build_labels(days)


def build_features(inputs: FeatureInputs) -> pl.DataFrame:
    """How often it rained on the last days, and how far into winter the day is."""
    return rain.build_features(inputs)


def build_recent(features: Sequence[Feature], seed: int) -> Any:
    """A linear model of the last days alone."""
    return _linear(["rained_yesterday", "rain_rate_3d", "rain_rate_7d"], seed)


def build_seasonal(features: Sequence[Feature], seed: int) -> Any:
    """A linear model of the season and the last weeks alone."""
    return _linear(["winter", "rain_rate_28d"], seed)


def build_tree(features: Sequence[Feature], seed: int) -> Any:
    """One small tree of all features."""
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import Pipeline
    from sklearn.tree import DecisionTreeClassifier

    tree = DecisionTreeClassifier(max_depth=3, min_samples_leaf=20, random_state=seed)
    return Pipeline([("impute", SimpleImputer()), ("classify", tree)])


def build_unrepeatable(features: Sequence[Feature], seed: int) -> Any:
    """The mistake that ``is_reproducible`` is there to find: it takes no heed of the seed."""
    import secrets

    from sklearn.ensemble import RandomForestClassifier

    return RandomForestClassifier(3, max_depth=3, random_state=secrets.randbits(31))


def build_space() -> dict[str, Any]:
    """What a study of the tree may search."""
    from mlops_assets.lifecycle.tuning import Dimension

    return {"classify__max_depth": Dimension(low=2, high=6, int=True)}


def rain_yesterday_raises_the_risk(rows: pl.DataFrame) -> Behaviour:
    """Wet days follow wet days."""
    wet = ("rained_yesterday", "rain_rate_3d", "rain_rate_7d")
    changed = rows.with_columns(pl.lit(1.0).alias(name) for name in wet)
    return Behaviour(changed, "higher", tolerance=0.05)


def _linear(names: list[str], seed: int) -> Any:
    from sklearn.compose import ColumnTransformer
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import Pipeline

    chosen = ColumnTransformer([("impute", SimpleImputer(), names)])
    return Pipeline([("chosen", chosen), ("classify", LogisticRegression(random_state=seed))])
