"""Staging: rows that probe, and what they must show before a version may be decided on."""

from __future__ import annotations

import math
import os
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from mlops_assets.lifecycle.errors import FeatureError
from mlops_assets.lifecycle.staging import (
    BATCH_ROWS,
    ServingPolicy,
    StagedAnswers,
    build_probe_rows,
    judge_latency,
    judge_parity,
    judge_size,
    predict_offline,
    slice_batches,
)
from mlops_assets.lifecycle.training import Feature, fit_estimator, predict_probability

PROBABILITIES = st.floats(0, 1)
POLICY = ServingPolicy()


def answered(*probabilities: float | None, **changes) -> StagedAnswers:
    answers = StagedAnswers(probabilities, (), (), 0.1, loaded=True)
    return replace(answers, **changes)


@pytest.fixture(scope="module")
def real(make_rows):
    return make_rows(500, seed=3)


# Probe rows


@pytest.mark.parametrize("count", [4, 5, 17, 100, 10_000])
def test_probe_rows_are_as_many_as_asked_of_the_features_alone(real, features, count):
    probe = build_probe_rows(real, features, count, seed=0)
    assert probe.height == count
    assert probe.schema == {"signal": pl.Float64, "noise": pl.Float64, "group": pl.String}


@settings(max_examples=40)
@given(
    count=st.integers(4, 400),
    seed=st.integers(0, 2**32),
    numbers=st.lists(st.floats(allow_infinity=False) | st.none(), min_size=1, max_size=20),
    text=st.sampled_from(["a", "", "unseen", "unseen?", None]),
)
def test_every_feature_misses_values_and_has_some_that_nobody_has_seen(count, seed, numbers, text):
    rows = pl.DataFrame(
        {"x": numbers, "c": [text] * len(numbers)}, {"x": pl.Float64, "c": pl.String}
    )
    features = (Feature("x", "numeric"), Feature("c", "categorical"))
    probe = build_probe_rows(rows, features, count, seed)
    assert probe.height == count
    assert probe["x"].null_count() > 0
    assert probe["c"].null_count() > 0
    assert set(probe["c"]) - {text, None}
    assert 1e30 in probe["x"].to_list()
    assert probe["x"].is_infinite().sum() == 0
    assert probe.filter(pl.all_horizontal(pl.all().is_null())).height > 0


def test_the_first_quarter_is_real_rows_as_they_are(real, features):
    probe = build_probe_rows(real, features, 400, seed=1).head(100)
    names = [feature.name for feature in features]
    assert probe.join(real, on=names, how="anti", nulls_equal=True).is_empty()
    assert probe["signal"].n_unique() > 50


def test_some_rows_miss_everything(real, features):
    probe = build_probe_rows(real, features, 1000, seed=1)
    assert probe.filter(pl.all_horizontal(pl.all().is_null())).height >= 20


def test_unusual_values_are_of_every_sort(real, features):
    probe = build_probe_rows(real, features, 1000, seed=1)
    texts, numbers = set(probe["group"].drop_nulls()), probe["signal"].drop_nulls().to_list()
    assert "" in texts
    assert any(len(text) > 500 for text in texts)
    assert any(not text.isascii() for text in texts)
    assert {1e6, -1e6, 1e30, -1e30, 5e-324} <= set(numbers)
    assert any(value == 0 and math.copysign(1, value) < 0 for value in numbers)
    assert any(value == 0 and math.copysign(1, value) > 0 for value in numbers)
    assert np.isfinite(np.array(numbers, dtype=np.float32)).all()


def test_the_same_seed_gives_the_same_rows_and_another_others(real, features):
    first = build_probe_rows(real, features, 200, seed=5)
    assert_frame_equal(first, build_probe_rows(real, features, 200, seed=5))
    assert not first.equals(build_probe_rows(real, features, 200, seed=6))


def test_most_values_stay_real_so_that_answers_are_not_all_the_same(real, features):
    probe = build_probe_rows(real, features, 1000, seed=2)
    known = set(real["signal"])
    assert sum(value in known for value in probe["signal"]) > 600


@pytest.mark.parametrize(("rows", "count"), [(0, 10), (5, 3), (5, 0)])
def test_probe_rows_cannot_be_made_of_nothing_or_too_few(real, features, rows, count):
    with pytest.raises(ValueError, match="probe rows"):
        build_probe_rows(real.head(rows), features, count, seed=0)


def test_a_feature_that_is_not_there_is_named(real):
    with pytest.raises((FeatureError, pl.exceptions.ColumnNotFoundError), match="lost"):
        build_probe_rows(real, (Feature("lost", "numeric"),), 10, seed=0)


# Policy


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"rows": 19}, "rows must be at least 20, got 19"),
        ({"tolerance": -1e-9}, "tolerance must lie in"),
        ({"tolerance": 1.0}, "tolerance must lie in"),
        ({"tolerance": math.nan}, "tolerance must lie in"),
        ({"p95_milliseconds": 0}, "p95_milliseconds must be above 0 and finite, got 0"),
        ({"p95_milliseconds": math.inf}, "p95_milliseconds must be"),
        ({"megabytes": -1}, "megabytes must be above 0 and finite, got -1"),
        ({"megabytes": math.nan}, "megabytes must be"),
        ({"samples": 19}, "samples must lie between 20 and rows"),
        ({"rows": 50, "samples": 51}, r"rows \(50\), got 51"),
    ],
)
def test_an_impossible_policy_is_refused_by_the_name_of_its_field(wrong, said):
    with pytest.raises(ValueError, match=said):
        ServingPolicy(**wrong)


# Offline


def test_offline_is_the_prediction_of_the_same_slices(real, features, build_logistic):
    model = fit_estimator(build_logistic, real, features, "late", parameters={}, seed=0)
    parts = [predict_probability(model, part, features) for _, part in slice_batches(real)]
    assert np.array_equal(predict_offline(model, real, features), np.concatenate(parts))
    assert len(parts) == math.ceil(real.height / BATCH_ROWS)


@given(st.integers(0, 3 * BATCH_ROWS + 1))
def test_slices_hold_each_row_once_in_order(count):
    rows = pl.DataFrame({"x": list(range(count))}, {"x": pl.Int64})
    slices = list(slice_batches(rows))
    assert [value for _, part in slices for value in part["x"]] == rows["x"].to_list()
    assert all(part["x"][0] == start and part.height <= BATCH_ROWS for start, part in slices)


def test_offline_is_none_when_the_estimator_raises_on_one_row(real, features):
    class Fragile:
        def predict_proba(self, frame):
            if frame["signal"].isna().any():
                raise RuntimeError("cannot")
            return np.full((len(frame), 2), 0.5)

    assert predict_offline(Fragile(), real, features) is not None
    broken = real.with_columns(signal=pl.when(pl.col("id") != "r3-499").then("signal"))
    assert predict_offline(Fragile(), broken, features) is None


def test_offline_predicts_in_one_thread(real, features):
    from threadpoolctl import threadpool_info

    seen = []

    class Watching:
        def predict_proba(self, frame):
            seen.extend(pool["num_threads"] for pool in threadpool_info())
            return np.full((len(frame), 2), 0.5)

    predict_offline(Watching(), real, features)
    assert set(seen) == {1}
    if (os.cpu_count() or 1) > 1:
        assert max(pool["num_threads"] for pool in threadpool_info()) > 1


def test_no_rows_have_no_predictions(real, features):
    assert predict_offline(object(), real.head(0), features).shape == (0,)


# Parity


@given(st.lists(PROBABILITIES, min_size=1, max_size=50))
def test_equal_answers_pass(values):
    verdict = judge_parity(answered(*values), np.array(values), POLICY)
    assert verdict.name == "serves_what_was_tested"
    assert verdict.passed
    assert verdict.evidence["largest_difference"] == 0


@given(st.lists(PROBABILITIES, min_size=1, max_size=50), st.data())
def test_one_row_that_differs_in_its_last_bit_fails_and_is_counted(values, data):
    at = data.draw(st.integers(0, len(values) - 1))
    offline = np.array(values)
    offline[at] = np.nextafter(offline[at], 2.0)
    verdict = judge_parity(answered(*values), offline, POLICY)
    assert verdict.outcome == "failed"
    assert (verdict.evidence["differing"], verdict.evidence["refused"]) == (1, 0)
    assert verdict.evidence["largest_difference"] == offline[at] - values[at]


@given(
    st.lists(st.tuples(PROBABILITIES | st.none(), PROBABILITIES), min_size=1, max_size=40),
    st.sampled_from([0.0, 1e-9, 0.01, 0.5]),
)
def test_the_verdict_is_that_of_each_row_by_itself(pairs, tolerance):
    served, offline = [one for one, _ in pairs], np.array([two for _, two in pairs])
    verdict = judge_parity(answered(*served), offline, ServingPolicy(tolerance=tolerance))
    differing = sum(one is not None and abs(one - two) > tolerance for one, two in pairs)
    assert verdict.evidence["differing"] == differing
    assert verdict.evidence["refused"] == served.count(None)
    assert verdict.passed == (differing == 0 and None not in served)


def test_a_difference_within_the_tolerance_passes():
    policy = ServingPolicy(tolerance=0.01)
    assert judge_parity(answered(0.5, 0.6), np.array([0.509, 0.6]), policy).passed
    assert not judge_parity(answered(0.5, 0.6), np.array([0.511, 0.6]), policy).passed


def test_the_reason_says_how_many_rows_and_why():
    answers = answered(0.5, None, 0.75, reasons=("ValueError: no NaN\nand a page of help",))
    verdict = judge_parity(answers, np.array([0.5, 0.5, 0.5]), POLICY)
    assert verdict.reason == (
        "1 of 3 rows were refused: ValueError: no NaN; "
        "1 of 3 rows are not equal, the largest difference is 0.25"
    )


@pytest.mark.parametrize("served", [(None, None), (0.5, None), (0.5, 0.5)])
def test_an_estimator_that_raises_offline_fails_whatever_the_server_does(served):
    verdict = judge_parity(answered(*served, reasons=("ValueError: gap",)), None, POLICY)
    assert verdict.outcome == "failed"
    assert "raised on the 2 rows offline" in verdict.reason
    assert "ValueError: gap" in verdict.reason


def test_a_version_that_was_not_loaded_fails_with_the_reason():
    answers = answered(None, None, loaded=False, reasons=("the digest does not match",))
    verdict = judge_parity(answers, np.array([0.5, 0.5]), POLICY)
    assert verdict.outcome == "failed"
    assert verdict.reason == "the server could not load the version: the digest does not match"


def test_a_probability_that_is_no_number_never_passes():
    assert not judge_parity(answered(0.5), np.array([math.nan]), POLICY).passed
    assert not judge_parity(answered(math.nan), np.array([math.nan]), POLICY).passed


def test_no_rows_prove_nothing():
    assert judge_parity(answered(), np.empty(0), POLICY).outcome == "inconclusive"


def test_answers_to_other_rows_are_an_error():
    with pytest.raises(ValueError, match="2 served rows cannot be compared"):
        judge_parity(answered(0.5, 0.5), np.array([0.5]), POLICY)


# Latency and size


@given(st.lists(st.floats(0.01, 1e4), min_size=20, max_size=200), st.floats(0.01, 1e4))
def test_the_limit_is_kept_when_95_of_100_requests_keep_it(times, limit):
    policy = ServingPolicy(p95_milliseconds=limit)
    verdict = judge_latency(answered(milliseconds=tuple(times)), policy)
    kept = sum(time <= limit for time in times) / len(times)
    assert verdict.passed == (kept >= 0.95)
    oracle = np.quantile(times, 0.95, method="inverted_cdf")
    assert verdict.evidence["p95_milliseconds"] == oracle


def test_the_order_of_the_times_does_not_matter():
    times = tuple(float(n) for n in range(1, 101))
    policy = ServingPolicy(p95_milliseconds=95.0)
    assert judge_latency(answered(milliseconds=times), policy).passed
    assert judge_latency(answered(milliseconds=times[::-1]), policy).passed
    slower = (*times[:-6], *[200.0] * 6)
    assert judge_latency(answered(milliseconds=slower), policy).outcome == "failed"


@pytest.mark.parametrize("limit", [None, 1e9])
def test_fewer_than_20_times_are_too_few_to_judge(limit):
    policy = ServingPolicy(p95_milliseconds=limit)
    verdict = judge_latency(answered(milliseconds=(1.0,) * 19), policy)
    assert (verdict.name, verdict.outcome) == ("answers_in_time", "inconclusive")
    assert judge_latency(answered(milliseconds=(1.0,) * 20), policy).passed


@pytest.mark.parametrize(
    ("weight", "limit", "outcome"),
    [(1.0, 1.0, "passed"), (1.01, 1.0, "failed"), (900.0, None, "passed")],
)
def test_the_files_may_weigh_the_limit_and_no_more(weight, limit, outcome):
    verdict = judge_size(answered(megabytes=weight), ServingPolicy(megabytes=limit))
    assert (verdict.name, verdict.outcome) == ("is_small_enough", outcome)


def test_a_version_that_was_not_loaded_is_not_called_small():
    answers = answered(None, loaded=False, megabytes=0.0)
    assert judge_size(answers, ServingPolicy(megabytes=1)).outcome == "inconclusive"
