"""Every kind of model that model files have to hold, fitted on the same small table.

Run by path (``runpy``) by the tests of several folders and by processes they start.
"""

from __future__ import annotations

import numpy as np
import polars as pl
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import (
    ExtraTreesClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
    StackingClassifier,
    VotingClassifier,
)
from sklearn.frozen import FrozenEstimator
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, SplineTransformer, StandardScaler

from mlops_assets.lifecycle.training import Feature, ModelSignature, to_model_frame

FEATURES = (
    Feature("distance", "numeric"),
    Feature("wind", "numeric"),
    Feature("carrier", "categorical"),
)
KINDS = (
    "logistic",
    "spline",
    "boosting",
    "forest",
    "extra_trees",
    "voting",
    "stacking",
    "calibrated_sigmoid",
    "calibrated_isotonic",
    "calibrated_voting",
)


def make_rows(count: int = 240, seed: int = 0) -> pl.DataFrame:
    """Labelled rows with gaps in ``wind`` and ``carrier``."""
    random = np.random.default_rng(seed)
    distance = random.normal(1000, 300, size=count)
    wind = random.gamma(3, 4, size=count)
    return pl.DataFrame(
        {
            "distance": distance,
            "wind": [None if gap else value for gap, value in zip(wind > 25, wind, strict=True)],
            "carrier": random.choice(["UA", "DL", "AA", None], size=count).tolist(),
            "late": distance / 300 + wind / 8 + random.normal(size=count) > 5,
        }
    )


def signature(kind: str) -> ModelSignature:
    """The signature of a model of this kind, which is also its name."""
    return ModelSignature(kind, FEATURES, "id", "at", "late", "2013-W10", "table", kind)


def fit_kinds() -> dict[str, object]:
    """One fitted model of each kind."""
    rows = make_rows()
    frame, y = to_model_frame(rows, FEATURES), rows["late"].cast(int).to_numpy()
    fitted: dict[str, object] = {name: model.fit(frame, y) for name, model in _simple().items()}
    names = ("logistic", "boosting", "forest")
    members = [(name, FrozenEstimator(fitted[name])) for name in names]
    fitted["voting"] = VotingClassifier(members, voting="soft", weights=[0.5, 0.3, 0.2])
    fitted["stacking"] = StackingClassifier(members, LogisticRegression(), cv="prefit")
    for name in ("voting", "stacking"):
        fitted[name].fit(frame, y)
    for name, member, method in (
        ("calibrated_sigmoid", "forest", "sigmoid"),
        ("calibrated_isotonic", "boosting", "isotonic"),
        ("calibrated_voting", "voting", "isotonic"),
    ):
        frozen = FrozenEstimator(fitted[member])
        fitted[name] = CalibratedClassifierCV(frozen, method=method).fit(frame, y)
    assert set(fitted) == set(KINDS)
    return {kind: fitted[kind] for kind in KINDS}


def _simple() -> dict[str, object]:
    spline = make_pipeline(SimpleImputer(strategy="median"), SplineTransformer(n_knots=4))
    scale = make_pipeline(SimpleImputer(add_indicator=True), StandardScaler())
    forest = {"n_estimators": 5, "max_depth": 4, "random_state": 7, "n_jobs": 1}
    boosting = HistGradientBoostingClassifier(max_iter=5, random_state=7)
    return {
        "logistic": make_pipeline(_columns(scale, _one_hot()), LogisticRegression()),
        "spline": make_pipeline(_columns(spline, _one_hot()), LogisticRegression()),
        "boosting": make_pipeline(_columns("passthrough", _ordinal()), boosting),
        "forest": make_pipeline(
            _columns(SimpleImputer(), _ordinal()), RandomForestClassifier(**forest)
        ),
        "extra_trees": make_pipeline(
            _columns(SimpleImputer(), _ordinal()), ExtraTreesClassifier(**forest)
        ),
    }


def _columns(numbers: object, categories: object) -> ColumnTransformer:
    parts = [("numbers", numbers, ["distance", "wind"]), ("categories", categories, ["carrier"])]
    return ColumnTransformer(parts)


def _one_hot() -> OneHotEncoder:
    return OneHotEncoder(handle_unknown="infrequent_if_exist", min_frequency=10)


def _ordinal() -> OrdinalEncoder:
    return OrdinalEncoder(
        handle_unknown="use_encoded_value", unknown_value=-1, min_frequency=10, dtype=float
    )
