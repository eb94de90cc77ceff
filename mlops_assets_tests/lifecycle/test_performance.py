"""Labels come late: what they say about the predictions that have them."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from mlops_assets.lifecycle.performance import measure_performance


def predictions(late: list[bool | None], probability: list[float | None]) -> pl.DataFrame:
    return pl.DataFrame(
        {"late": late, "probability": probability}, schema_overrides={"late": pl.Boolean}
    )


def test_before_any_label_there_is_nothing_to_measure():
    report = measure_performance(predictions([None, None], [0.1, 0.2]), "late")
    assert (report.predictions, report.labelled) == (2, 0)
    assert (report.positive_rate, report.metrics) == (None, {})
    assert measure_performance(predictions([], []), "late").predictions == 0


@pytest.mark.parametrize(("late", "rate"), [(True, 1.0), (False, 0.0)])
def test_labels_of_one_class_give_a_rate_but_no_metrics(late, rate):
    report = measure_performance(predictions([late, late, None], [0.1, 0.2, 0.3]), "late")
    assert (report.predictions, report.labelled) == (3, 2)
    assert (report.positive_rate, report.metrics) == (rate, {})


def test_a_prediction_that_failed_is_no_labelled_prediction():
    report = measure_performance(predictions([True, False, True], [0.9, 0.2, None]), "late")
    assert (report.predictions, report.labelled, report.positive_rate) == (3, 2, 0.5)
    assert report.metrics["auc"] == 1.0


@settings(deadline=None, max_examples=40)
@given(rows=st.lists(st.tuples(st.sampled_from([True, False, None]), st.floats(0, 1)), max_size=30))
def test_metrics_are_those_of_the_labelled_rows_alone(rows):
    late, probability = [row[0] for row in rows], [row[1] for row in rows]
    report = measure_performance(predictions(late, probability), "late")
    known = [(label, value) for label, value in rows if label is not None]
    assert (report.predictions, report.labelled) == (len(rows), len(known))
    if len({label for label, _ in known}) == 2:
        truth, scores = zip(*known, strict=True)
        assert report.metrics["auc"] == pytest.approx(roc_auc_score(truth, scores))
        assert report.positive_rate == pytest.approx(np.mean(truth))
    else:
        assert report.metrics == {}
