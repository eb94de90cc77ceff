"""Fitting an estimator on a training set, and the signature its files carry."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from mlops_assets.lifecycle.errors import FeatureError, TrainingError

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    import numpy.typing as npt
    import pandas as pd
    import polars as pl

MISSING_CATEGORY = ""
"""What a categorical feature holds when it is unknown, in training and in serving alike."""


@dataclass(frozen=True)
class Feature:
    """One model input: ``numeric`` (float64, NaN when missing) or ``categorical`` (text)."""

    name: str
    kind: Literal["numeric", "categorical"]


@dataclass(frozen=True)
class ModelSignature:
    """What a fitted model expects and where it comes from; stored beside its files.

    ``entity_key`` and ``time`` name the columns that identify a row; callers may send them along
    so that predictions can be joined with labels later.
    """

    model: str
    features: tuple[Feature, ...]
    entity_key: str
    time: str
    label: str
    train_as_of: str
    training_set: str
    estimator: str
    parameters: Mapping[str, Any] = field(default_factory=dict)

    @property
    def names(self) -> list[str]:
        return [feature.name for feature in self.features]


def to_model_frame(frame: pl.DataFrame, features: Sequence[Feature]) -> pd.DataFrame:
    """The features as scikit-learn gets them, in order: the one way in, for training and serving.

    Raises ``FeatureError`` naming the columns that are missing or hold text instead of numbers.
    """
    import polars as pl

    missing = [feature.name for feature in features if feature.name not in frame.columns]
    if missing:
        raise FeatureError(
            f"features: the table has no column {', '.join(missing)}; "
            f"it has {', '.join(frame.columns)}"
        )
    categories = [feature.name for feature in features if feature.kind == "categorical"]
    return (
        cast_features(frame, features)
        .with_columns(pl.col(categories).fill_null(MISSING_CATEGORY))
        .to_pandas()
    )


def cast_features(frame: pl.DataFrame, features: Sequence[Feature]) -> pl.DataFrame:
    """The features alone, in order, each in the type of its kind.

    Raises ``FeatureError`` naming the feature and a value that does not fit.
    """
    import polars as pl

    types = {"numeric": pl.Float64, "categorical": pl.String}
    try:
        return frame.select(pl.col(feature.name).cast(types[feature.kind]) for feature in features)
    except pl.exceptions.InvalidOperationError as error:
        reason = str(error).splitlines()[0]
        raise FeatureError(f"features: a value does not fit its feature: {reason}") from error


def fit_estimator(
    build_estimator: Callable[..., Any],
    rows: pl.DataFrame,
    features: Sequence[Feature],
    label: str,
    *,
    parameters: Mapping[str, Any],
    seed: int,
) -> Any:
    """Build the estimator, set its parameters, fit it on ``rows``.

    ``build_estimator(features, seed)`` returns an unfitted scikit-learn classifier or pipeline;
    ``parameters`` are scikit-learn parameter names. Raises ``TrainingError`` when a parameter
    does not exist or the rows hold one class only.
    """
    classes = rows[label].n_unique()
    if classes < 2:
        raise TrainingError(
            f"training: label '{label}' has {classes} class(es) in {rows.height} rows; "
            "fitting needs both, widen the training set"
        )
    estimator = build_estimator(features=tuple(features), seed=seed)
    try:
        estimator.set_params(**parameters)
    except ValueError as error:
        raise TrainingError(f"training: {error}") from error
    return estimator.fit(to_model_frame(rows, features), rows[label].cast(int).to_numpy())


def predict_probability(
    model: Any, rows: pl.DataFrame, features: Sequence[Feature]
) -> npt.NDArray[np.float64]:
    """The probability of the positive label for each row, shape (rows,)."""
    probability: npt.NDArray[np.float64] = model.predict_proba(to_model_frame(rows, features))[:, 1]
    return probability
