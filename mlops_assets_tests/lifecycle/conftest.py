"""What the tests of the lifecycle share: a calendar, labelled rows, an estimator."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest

from mlops_assets.lifecycle.calendar import Calendar
from mlops_assets.lifecycle.evaluation import EvaluationReport
from mlops_assets.lifecycle.training import Feature

FEATURES = (
    Feature("signal", "numeric"),
    Feature("noise", "numeric"),
    Feature("group", "categorical"),
)


@pytest.fixture(scope="session")
def weekly() -> Calendar:
    """26 weeks from 7 January 2013, in UTC."""
    return Calendar(date(2013, 1, 7), date(2013, 7, 8))


@pytest.fixture(scope="session")
def features() -> tuple[Feature, ...]:
    """One feature that tells the label, one that does not, one of categories."""
    return FEATURES


@pytest.fixture(scope="session")
def make_rows() -> Callable[..., pl.DataFrame]:
    """Labelled rows whose label follows ``signal``; both numeric features have gaps."""

    def make(count: int, seed: int = 0) -> pl.DataFrame:
        random = np.random.default_rng(seed)
        signal = random.normal(size=count)
        chance = 1 / (1 + np.exp(-2 * signal))
        begin = datetime(2013, 1, 7, tzinfo=UTC)
        return pl.DataFrame(
            {
                "id": [f"r{seed}-{n}" for n in range(count)],
                "predicted_at": [begin + timedelta(minutes=n) for n in range(count)],
                "signal": signal,
                "noise": [None if gap else 1.0 for gap in random.random(count) < 0.1],
                "group": random.choice(["a", "b", "c"], size=count),
                "late": random.random(count) < chance,
            }
        )

    return make


@pytest.fixture(scope="session")
def build_logistic() -> Callable[..., Any]:
    """A small pipeline that takes gaps and categories."""

    def build(features: tuple[Feature, ...], seed: int) -> Any:
        from sklearn.compose import ColumnTransformer
        from sklearn.impute import SimpleImputer
        from sklearn.linear_model import LogisticRegression
        from sklearn.pipeline import Pipeline
        from sklearn.preprocessing import OneHotEncoder

        def named(kind: str) -> list[str]:
            return [feature.name for feature in features if feature.kind == kind]

        encode = ColumnTransformer(
            [
                ("numbers", SimpleImputer(), named("numeric")),
                ("categories", OneHotEncoder(handle_unknown="ignore"), named("categorical")),
            ]
        )
        return Pipeline([("encode", encode), ("classifier", LogisticRegression(random_state=seed))])

    return build


@pytest.fixture(scope="session")
def report() -> Callable[..., EvaluationReport]:
    """An evaluation report with the given metrics, the others middling."""

    def make(rows: int = 1000, **metrics: float) -> EvaluationReport:
        middling = {"auc": 0.7, "brier": 0.2, "log_loss": 0.6, "calibration_error": 0.05}
        return EvaluationReport(rows, 0.3, {**middling, **metrics})

    return make
