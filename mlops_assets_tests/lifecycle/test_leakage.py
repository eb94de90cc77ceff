"""Leakage: rows shared, labels too early or too late, features that are the label in disguise."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from mlops_assets.lifecycle.errors import FeatureError
from mlops_assets.lifecycle.leakage import LeakagePolicy, judge_leakage, measure_single_features
from mlops_assets.lifecycle.training import Feature

NUMBER = Feature("x", "numeric")
CATEGORY = Feature("c", "categorical")
BEGIN = datetime(2013, 1, 7, tzinfo=UTC)
HOUR = timedelta(hours=1)


def rows(count: int, *, first: int = 0, seed: int = 0, begin: datetime = BEGIN, **columns):
    """Rows predicted a minute apart, their label known an hour later; both features are noise."""
    random = np.random.default_rng((seed, first))
    predicted = [begin + timedelta(minutes=n) for n in range(count)]
    made = pl.DataFrame(
        {
            "id": [f"r{n}" for n in range(first, first + count)],
            "predicted_at": predicted,
            "known_at": [moment + HOUR for moment in predicted],
            "late": random.random(count) < 0.3,
            "x": random.normal(size=count),
            "c": random.choice(["a", "b", "d"], size=count),
        }
    )
    return made.with_columns(**columns)


def judge(fit, test, features=(NUMBER, CATEGORY), limit=0.95):
    return judge_leakage(fit, test, features, "late", "id", LeakagePolicy(limit))


@pytest.fixture(scope="module")
def fit():
    return rows(600)


@pytest.fixture(scope="module")
def test():
    return rows(300, first=600, begin=BEGIN + 600 * timedelta(minutes=1) + HOUR)


def measure(fit, test, feature) -> float:
    return measure_single_features(fit, test, [feature], "late")[feature.name]


def late(then: object, otherwise: object) -> pl.Expr:
    return pl.when(pl.col("late")).then(then).otherwise(otherwise)


# --- rows and times -----------------------------------------------------------------------------


def test_given_rows_apart_in_time_and_features_of_noise_then_nothing_leaks(fit, test):
    verdict = judge(fit, test)
    assert (verdict.name, verdict.outcome) == ("nothing_leaks", "passed")
    assert verdict.evidence["overlap"] == verdict.evidence["labels_too_late"] == 0
    assert verdict.evidence["predicted_too_late"] == 0
    assert 0.5 <= verdict.evidence["auc"] < 0.65
    assert f"strongest feature alone is {verdict.evidence['feature']}" in verdict.reason


@pytest.mark.parametrize("shared", [1, 7])
def test_given_entities_in_both_then_it_fails_and_counts_them(fit, test, shared):
    mixed = test.with_columns(
        id=pl.concat([fit["id"].head(shared), test["id"].tail(test.height - shared)])
    )
    verdict = judge(fit, mixed)
    assert verdict.outcome == "failed"
    assert verdict.evidence["overlap"] == shared
    assert f"{shared} tested row(s) are of entities that were fitted on" in verdict.reason


def test_a_label_known_in_the_moment_testing_begins_is_in_time_and_a_second_later_is_not(fit, test):
    first = test["predicted_at"].min()
    on_time = fit.with_columns(
        known_at=pl.when(pl.col("id") == "r5").then(first).otherwise("known_at")
    )
    assert judge(on_time, test).passed
    second = timedelta(seconds=1)
    verdict = judge(
        fit.with_columns(
            known_at=pl.when(pl.col("id") == "r5").then(first + second).otherwise("known_at")
        ),
        test,
    )
    assert verdict.outcome == "failed"
    assert verdict.evidence["labels_too_late"] == 1
    assert "1 label(s) fitted on became known after the first tested row was predicted" in (
        verdict.reason
    )


@pytest.mark.parametrize("part", ["fit", "test"])
@pytest.mark.parametrize(("late_by", "faults"), [(-1, 0), (0, 3), (1, 3)])
def test_a_row_has_to_be_predicted_before_its_own_label_is_known(fit, test, part, late_by, faults):
    frames = {"fit": fit, "test": test}
    some = pl.int_range(pl.len()) < 3
    moment = pl.col("known_at") + pl.duration(seconds=late_by)
    # the known moment is moved, not the predicted one: that would shift where testing begins
    known = pl.when(some).then(pl.col("predicted_at") - (moment - pl.col("known_at")))
    frames[part] = frames[part].with_columns(known_at=known.otherwise("known_at"))
    verdict = judge(frames["fit"], frames["test"])
    assert verdict.evidence["predicted_too_late"] == faults
    assert verdict.outcome == ("failed" if faults else "passed")


def test_every_fault_is_told_at_once(fit, test):
    told = judge(fit, fit.with_columns(x=late(1.0, 0.0)))
    assert "300 tested" not in told.reason
    assert "600 tested row(s)" in told.reason
    assert "became known after" in told.reason
    assert "x (AUC 1.000)" in told.reason


# --- single features ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("feature", "column"),
    [
        (NUMBER, late(1.0, 0.0)),
        (NUMBER, late(-5.0, pl.col("x").abs())),
        (NUMBER, late(None, pl.col("x"))),
        (NUMBER, late(float("nan"), pl.col("x"))),
        (NUMBER, late(pl.col("x").abs() + 1, None)),
        (NUMBER, late(0.0, pl.col("x").sign() * (1 + pl.col("x").abs()))),
        (CATEGORY, late(pl.lit("yes"), pl.lit("no"))),
        (CATEGORY, late(None, pl.col("c"))),
        (CATEGORY, late(pl.format("l{}", pl.col("c")), pl.col("c"))),
    ],
    ids=[
        "the label",
        "backwards",
        "missing when late",
        "no number when late",
        "missing when not",
        "in the middle when late",
        "a word for the label",
        "no word when late",
        "a prefix when late",
    ],
)
def test_a_label_in_disguise_is_found_and_named(fit, test, feature, column):
    disguised = {"x": column} if feature is NUMBER else {"c": column}
    verdict = judge(fit.with_columns(**disguised), test.with_columns(**disguised))
    assert verdict.outcome == "failed"
    assert f"{feature.name} (AUC {verdict.evidence['auc']:.3f})" in verdict.reason
    assert verdict.evidence["auc"] > 0.97
    assert verdict.evidence["feature"] == feature.name
    other = "c" if feature is NUMBER else "x"
    assert f"{other} (AUC" not in verdict.reason


def test_a_feature_that_only_helps_is_no_leak(fit, test):
    helpful = {"x": pl.col("x") + late(1.5, 0.0)}
    verdict = judge(fit.with_columns(**helpful), test.with_columns(**helpful))
    assert verdict.passed
    assert 0.8 < verdict.evidence["auc"] < 0.95


def test_the_limit_is_what_the_policy_says_and_reaching_it_is_too_much(fit, test):
    strength = judge(fit, test).evidence["auc"]
    assert judge(fit, test, limit=strength).outcome == "failed"
    assert judge(fit, test, limit=strength + 1e-9).passed


def test_a_category_is_judged_by_what_the_fitted_rows_taught_so_a_new_name_per_row_says_nothing(
    fit, test
):
    named = {"c": pl.col("id")}
    assert measure(fit.with_columns(**named), test.with_columns(**named), CATEGORY) == 0.5


SCORES = st.lists(st.none() | st.integers(-3, 3).map(float), min_size=2, max_size=40)


@settings(max_examples=150)
@given(scores=SCORES, seed=st.integers(0, 99))
def test_a_number_is_worth_at_least_its_auc_with_the_missing_at_either_end(scores, seed):
    truth = np.random.default_rng(seed).random(len(scores)) < 0.5
    assume(0 < truth.sum() < len(truth))
    test = pl.DataFrame({"late": truth, "x": pl.Series(scores, dtype=pl.Float64)})
    fit = pl.DataFrame({"late": [True, False], "x": [0.0, 0.0]})  # teaches nothing
    ways = [
        np.array([filled if score is None else score for score in scores]) for filled in (-9.0, 9.0)
    ]
    ways.append(np.array([float(score is None) for score in scores]))
    aucs = [roc_auc_score(truth, way) for way in ways]
    oracle = max(max(auc, 1 - auc) for auc in aucs)
    assert measure(fit, test, NUMBER) >= oracle - 1e-12
    if None not in scores:
        assert measure(fit, test, NUMBER) == pytest.approx(oracle, abs=1e-12)


def test_missing_numbers_are_ranked_where_the_fitted_rows_have_them():
    """Late are none at 0, 1 in 5 of the missing, 2 in 5 at 1, all at 2, and more than half in all:
    missing belongs between 0 and 1, not at an end and not at the share of all.
    """
    shares = {0.0: 0.0, None: 0.2, 1.0: 0.4, 2.0: 1.0}
    sizes = {0.0: 10, None: 50, 1.0: 50, 2.0: 90}
    values = [value for value, size in sizes.items() for _ in range(size)]
    label = [n < shares[value] * size for value, size in sizes.items() for n in range(size)]
    both = pl.DataFrame({"late": label, "x": pl.Series(values, dtype=pl.Float64)})
    oracle = roc_auc_score(label, [shares[value] for value in values])
    assert measure(both, both, NUMBER) == pytest.approx(oracle)


@settings(max_examples=50)
@given(seed=st.integers(0, 10_000))
def test_a_category_ranks_by_its_share_in_the_fitted_rows(seed):
    random = np.random.default_rng(seed)
    fit, test = (
        pl.DataFrame(
            {
                "late": random.random(60) < 0.4,
                "c": random.choice(["a", "b", "d", None], size=60).tolist(),
            },
            schema={"late": pl.Boolean, "c": pl.String},
        )
        for _ in range(2)
    )
    assume(test["late"].n_unique() == 2)
    shares, all_in_all = {}, float(fit["late"].mean())
    for value in ("a", "b", "d", None):
        inside = fit.filter(pl.col("c").eq_missing(pl.lit(value)))["late"]
        shares[value] = float(inside.mean()) if len(inside) else all_in_all
    learned = roc_auc_score(test["late"], [shares[value] for value in test["c"]])
    absent = roc_auc_score(test["late"], test["c"].is_null().cast(float))
    oracle = max(learned, 1 - learned, absent, 1 - absent)
    assert measure(fit, test, CATEGORY) == pytest.approx(oracle, abs=1e-12)


@settings(max_examples=30)
@given(seed=st.integers(0, 10_000))
def test_neither_the_order_of_rows_nor_the_scale_of_a_number_matters(seed):
    random = np.random.default_rng(seed)
    fit = rows(80, seed=seed)
    test = rows(80, first=80, seed=seed)
    shuffled = test[random.permutation(80)]
    scaled = {"x": (pl.col("x") * 0.5).exp()}
    before = measure(fit, test, NUMBER)
    assert measure(fit, shuffled, NUMBER) == pytest.approx(before)
    assert measure(fit.with_columns(**scaled), test.with_columns(**scaled), NUMBER) == (
        pytest.approx(before)
    )


def test_noise_is_seldom_taken_for_a_leak():
    """31 features of noise on the fewest rows of one class that are judged, 25 times."""
    random = np.random.default_rng(5)
    features = [Feature(f"f{n}", "numeric") for n in range(31)]
    found = 0
    for _ in range(25):
        label = np.array([True] * 10 + [False] * 40)
        frame = pl.DataFrame({name.name: random.normal(size=50) for name in features})
        strength = measure_single_features(
            frame.with_columns(late=random.permutation(label)),
            frame[random.permutation(50)].with_columns(late=label),
            features,
            "late",
        )
        found += max(strength.values()) >= LeakagePolicy().single_feature_auc
    assert found == 0


def test_the_strongest_feature_comes_first(fit, test):
    made = {"x": pl.col("x") + late(3.0, 0.0)}
    strength = measure_single_features(
        fit.with_columns(**made), test.with_columns(**made), (CATEGORY, NUMBER), "late"
    )
    assert list(strength) == ["x", "c"]


# --- where it cannot be said ---------------------------------------------------------------------


@pytest.mark.parametrize("empty", ["fit", "test"])
def test_given_no_rows_then_it_is_inconclusive(fit, test, empty):
    frames = {"fit": fit, "test": test}
    frames[empty] = frames[empty].clear()
    verdict = judge(frames["fit"], frames["test"])
    assert verdict.outcome == "inconclusive"
    assert "both are needed to judge" in verdict.reason


@pytest.mark.parametrize(
    ("positives", "outcome"), [(0, "inconclusive"), (9, "inconclusive"), (10, "passed")]
)
def test_given_hardly_any_row_of_one_class_then_features_cannot_be_judged(
    fit, test, positives, outcome
):
    few = test.with_columns(late=pl.int_range(pl.len()) < positives)
    verdict = judge(fit, few)
    assert verdict.outcome == outcome
    if outcome == "inconclusive":
        assert verdict.reason == (
            f"{positives} test rows of the rarer class, at least 10 are needed to judge features "
            "one by one"
        )


def test_given_hardly_any_row_of_one_class_then_shared_entities_fail_all_the_same(fit):
    verdict = judge(fit, fit.with_columns(late=pl.lit(value=False)))
    assert verdict.outcome == "failed"
    assert "600 tested row(s)" in verdict.reason


def test_a_feature_with_no_value_at_all_says_nothing(fit, test):
    gone = {"x": pl.lit(None, dtype=pl.Float64)}
    assert measure(fit.with_columns(**gone), test.with_columns(**gone), NUMBER) == 0.5
    assert measure(fit.with_columns(**gone), test, NUMBER) < 0.6


def test_a_feature_that_is_no_column_is_refused_by_name(fit, test):
    with pytest.raises(FeatureError, match="gone"):
        judge(fit, test, [Feature("gone", "numeric")])


@pytest.mark.parametrize("value", [0.5, 0.0, 1.01, float("nan")])
def test_a_limit_that_every_feature_or_none_reaches_is_refused(value):
    with pytest.raises(ValueError, match=f"single_feature_auc must lie above 0.5.*got {value}"):
        LeakagePolicy(value)
