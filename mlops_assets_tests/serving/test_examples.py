"""A row that a model could be asked about, from what its estimator was fitted on."""

from __future__ import annotations

import polars as pl
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import make_column_transformer
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import HistGradientBoostingClassifier, VotingClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler

from mlops_assets.lifecycle.training import Feature, to_model_frame
from mlops_assets.serving.compiling import build_predictor
from mlops_assets.serving.web.examples import ANY_NUMBER, ANY_TEXT, find_example

ROWS = pl.DataFrame(
    {
        "distance": [1000.0 + 10 * n for n in range(40)],
        "carrier": ["UA", "DL", "AA", ""] * 10,
        "late": [0, 1] * 20,
    }
)
FEATURES = (Feature("distance", "numeric"), Feature("carrier", "categorical"))


def boosting():
    encoder = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
    columns = make_column_transformer((encoder, ["carrier"]), remainder="passthrough")
    return make_pipeline(columns, HistGradientBoostingClassifier(max_iter=2))


def logistic():
    columns = make_column_transformer(
        (OneHotEncoder(handle_unknown="ignore"), ["carrier"]),
        (make_pipeline(SimpleImputer(strategy="median"), StandardScaler()), ["distance"]),
    )
    return make_pipeline(columns, LogisticRegression())


def fitted(estimator):
    return estimator.fit(to_model_frame(ROWS, FEATURES), ROWS["late"].to_numpy())


def calibrated():
    return CalibratedClassifierCV(FrozenEstimator(fitted(boosting())), ensemble=False)


def committee():
    return VotingClassifier([("one", logistic()), ("other", boosting())], voting="soft")


@pytest.mark.parametrize("make", [boosting, logistic, calibrated, committee])
@pytest.mark.parametrize("compiled", [True, False])
def test_values_are_ones_the_estimator_was_fitted_on(signature, make, compiled):
    estimator = fitted(make())
    row = find_example(build_predictor(estimator, FEATURES) if compiled else estimator, signature())
    assert row["carrier"] in {"UA", "DL", "AA"}
    assert 1050 < row["distance"] < 1350


def test_an_estimator_that_tells_nothing_gets_any_number_and_any_text(signature):
    row = find_example(fitted(DummyClassifier()), signature())
    assert (row["distance"], row["carrier"]) == (ANY_NUMBER, ANY_TEXT)


def test_the_row_says_what_it_is_about_and_when(signature):
    row = find_example(fitted(boosting()), signature())
    assert list(row) == ["distance", "carrier", "flight", "departs_at"]
    assert (row["flight"], row["departs_at"]) == ("example", "2013-06-01T12:00:00+00:00")


def test_a_value_of_the_other_kind_is_not_taken(signature):
    swapped = (Feature("distance", "categorical"), Feature("carrier", "numeric"))
    row = find_example(fitted(boosting()), signature(features=swapped))
    assert (type(row["distance"]), type(row["carrier"])) == (str, float)


@pytest.mark.parametrize("odd", [None, 7, [], {"a": object()}, object()])
def test_whatever_answers_there_is_an_example(signature, odd):
    assert find_example(odd, signature())["distance"] == ANY_NUMBER


def test_what_holds_itself_is_walked_through_once(signature):
    estimator = fitted(logistic())
    estimator.itself = [estimator]
    assert find_example(estimator, signature())["carrier"] in {"UA", "DL", "AA"}
