"""What a model's own confidence says of its answers comes true where the confidence is true."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from scipy.stats import chi2
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import brier_score_loss, log_loss, roc_auc_score

from mlops_assets.lifecycle.confidence import (
    ConfidenceMap,
    estimate_metrics,
    expected_squares,
    fit_confidence,
    hold_back,
    move_expected_squares,
)

AS_ANSWERED = ConfidenceMap(0.0, 1.0, 0)
THRESHOLD = 0.4

shares = st.lists(st.floats(0.01, 0.99), min_size=1, max_size=7)


def measured(truth, answered, threshold=THRESHOLD):
    """The same metrics by scikit-learn, with the labels there."""
    return {
        "accuracy": float(((answered >= threshold) == truth).mean()),
        "brier": brier_score_loss(truth, answered),
        "log_loss": log_loss(truth, answered),
        "auc": roc_auc_score(truth, answered),
        "positive_rate": float(truth.mean()),
    }


def odds(probability):
    return np.log(probability / (1 - probability))


def drawn(seed, rows=4000, intercept=0.0, slope=1.0, a=1.5, b=4.0):
    """Answers, truth drawn from what they speak for, and twelve days."""
    random = np.random.default_rng(seed)
    answered = np.clip(random.beta(a, b, rows), 1e-4, 1 - 1e-4)
    true = 1 / (1 + np.exp(-(intercept + slope * odds(answered))))
    return answered, (random.random(rows) < true).astype(int), np.arange(rows) % 12


class TestEstimate:
    @settings(max_examples=25)
    @given(
        seed=st.integers(0, 10_000),
        a=st.floats(0.8, 4),
        b=st.floats(0.8, 6),
        threshold=st.floats(0.2, 0.8),
    )
    def test_given_calibrated_answers_when_labels_come_then_the_metrics_are_those_estimated(
        self, seed, a, b, threshold
    ):
        answered, truth, _ = drawn(seed, 40_000, a=a, b=b)
        said = estimate_metrics(AS_ANSWERED, answered, threshold)
        for name, value in measured(truth, answered, threshold).items():
            # Five standard errors of the least certain of them, on 40,000 rows.
            assert said[name] == pytest.approx(value, abs=0.02), name

    def test_the_more_rows_the_nearer(self):
        far, near = (
            np.mean(
                [
                    abs(
                        estimate_metrics(AS_ANSWERED, answered, THRESHOLD)["brier"]
                        - brier_score_loss(truth, answered)
                    )
                    for answered, truth, _ in (drawn(seed, rows) for seed in range(40))
                ]
            )
            for rows in (100, 10_000)
        )
        assert near < far / 5

    @settings(max_examples=25)
    @given(answered=shares, threshold=st.floats(0, 1))
    def test_it_is_the_mean_over_all_labels_there_could_be(self, answered, threshold):
        answered = np.array(answered)
        said = estimate_metrics(AS_ANSWERED, answered, threshold)
        mean = dict.fromkeys(("accuracy", "brier", "log_loss", "positive_rate"), 0.0)
        for labels in itertools.product([0, 1], repeat=len(answered)):
            truth = np.array(labels)
            chance = np.where(truth == 1, answered, 1 - answered).prod()
            mean["accuracy"] += chance * ((answered >= threshold) == truth).mean()
            mean["brier"] += chance * ((answered - truth) ** 2).mean()
            mean["log_loss"] -= chance * np.log(np.where(truth, answered, 1 - answered)).mean()
            mean["positive_rate"] += chance * truth.mean()
        for name, value in mean.items():
            assert said[name] == pytest.approx(value), name

    @given(answered=st.lists(st.sampled_from([0.1, 0.3, 0.35, 0.8]), min_size=2, max_size=12))
    def test_the_auc_is_expected_ranked_pairs_over_expected_pairs(self, answered):
        ranked = pairs = 0.0
        for one, other in itertools.permutations(range(len(answered)), 2):
            p = answered[one] * (1 - answered[other])
            pairs += p
            ranked += p * (
                1.0 if answered[one] > answered[other] else 0.5 * (answered[one] == answered[other])
            )
        said = estimate_metrics(AS_ANSWERED, np.array(answered), THRESHOLD)
        assert said["auc"] == pytest.approx(ranked / pairs)

    def test_given_one_row_then_there_is_no_auc_and_given_none_nothing_at_all(self):
        known = {"accuracy", "brier", "log_loss", "positive_rate"}
        assert set(estimate_metrics(AS_ANSWERED, np.array([0.3]), 0.5)) == known
        assert estimate_metrics(AS_ANSWERED, np.array([]), 0.5) == {}

    @pytest.mark.parametrize("answered", [0.0, 1.0])
    def test_given_answers_without_any_doubt_then_all_is_finite(self, answered):
        said = estimate_metrics(AS_ANSWERED, np.full(10, answered), 0.5)
        assert all(np.isfinite(value) for value in said.values())
        assert said["accuracy"] == pytest.approx(1, abs=1e-5)

    def test_harder_rows_alone_are_foreseen(self):
        """Rows moved towards one half: the same meaning, worse answers."""
        answered, truth, days = drawn(1, 20_000)
        sure = fit_confidence(answered, truth, days)
        harder = (answered + 0.5) / 2
        random = np.random.default_rng(2)
        labels = (random.random(len(harder)) < sure.apply(harder)).astype(int)
        said = estimate_metrics(sure, harder, THRESHOLD)
        before = estimate_metrics(sure, answered, THRESHOLD)
        assert said["brier"] > before["brier"] + 0.01
        assert said["brier"] == pytest.approx(brier_score_loss(labels, harder), abs=0.01)


class TestFit:
    def test_it_is_the_logistic_regression_on_log_odds(self):
        answered, truth, days = drawn(3, 30_000, intercept=-0.7, slope=1.6)
        found = fit_confidence(answered, truth, days)
        theirs = LogisticRegression(C=np.inf, tol=1e-10).fit(odds(answered)[:, None], truth)
        assert found.intercept == pytest.approx(theirs.intercept_[0], abs=1e-3)
        assert found.slope == pytest.approx(theirs.coef_[0, 0], abs=1e-3)
        assert found.intercept == pytest.approx(-0.7, abs=0.1)
        assert found.rows == 30_000

    @settings(max_examples=40)
    @given(st.lists(st.tuples(st.floats(0, 1), st.integers(0, 1), st.integers(0, 3)), min_size=1))
    def test_whatever_the_rows_it_is_the_minimum_of_the_penalised_loss(self, rows):
        answered, truth, days = (np.array(column) for column in zip(*rows, strict=True))
        found = fit_confidence(answered, truth, days)
        inside = odds(np.clip(answered, 1e-6, 1 - 1e-6))

        def loss(at):
            all_odds = at[0] + at[1] * inside
            pull = (at[0] ** 2 + (at[1] - 1) ** 2) / 2
            return (np.logaddexp(0, all_odds) - truth * all_odds).sum() + pull

        best = minimize(loss, [0, 1], method="Nelder-Mead", options={"xatol": 1e-9, "fatol": 1e-12})
        assert loss([found.intercept, found.slope]) <= best.fun + 1e-6 * (1 + abs(best.fun))

    def test_given_answers_that_hold_then_nothing_changes(self):
        found = fit_confidence(*drawn(4, 30_000))
        assert (found.intercept, found.slope) == pytest.approx((0, 1), abs=0.06)

    @pytest.mark.parametrize("label", [0, 1])
    def test_given_three_rows_of_one_class_then_it_hardly_moves(self, label):
        found = fit_confidence(np.full(3, 0.5), np.full(3, label), np.arange(3))
        assert abs(found.intercept) < 1.5
        assert found.slope == pytest.approx(1)

    def test_given_no_rows_or_days_of_others_then_it_says_so(self):
        with pytest.raises(ValueError, match=r"got 0 row\(s\)"):
            fit_confidence(np.array([]), np.array([]), np.array([]))
        with pytest.raises(ValueError, match=r"3 row\(s\) and 2 day\(s\)"):
            fit_confidence(np.full(3, 0.5), np.array([0, 1, 1]), np.arange(2))


def drawn_days(seed, days, luck, intercept=0.0):
    """200 answers a day, whose truth is luckier on some days than on others."""
    random = np.random.default_rng(seed)
    answered = np.clip(random.beta(1.5, 4.0, (days, 200)), 1e-4, 1 - 1e-4)
    true = odds(answered) + intercept + luck * random.normal(size=(days, 1))
    truth = random.random(answered.shape) < 1 / (1 + np.exp(-true))
    return answered.ravel(), truth.ravel().astype(int), np.repeat(np.arange(days), 200)


class TestHoldBack:
    def test_given_answers_that_hold_then_the_luck_of_two_weeks_is_not_carried_on(self):
        """Of the next two weeks, estimated by the map as it was fitted and as it is held back."""
        errors = []
        for seed in range(40):
            fitted = fit_confidence(*drawn_days(seed, 14, 0.7))
            answered, truth, _ = drawn_days(1000 + seed, 14, 0.7)
            right = measured(truth, answered)["accuracy"]
            errors.append(
                [
                    abs(estimate_metrics(of, answered, THRESHOLD)["accuracy"] - right)
                    for of in (fitted, hold_back(fitted))
                ]
            )
        as_fitted, held = np.mean(errors, axis=0)
        assert held < 0.9 * as_fitted

    def test_given_answers_that_are_clearly_off_then_nearly_all_of_the_map_stays(self):
        fitted = fit_confidence(*drawn_days(1, 14, 0.2, intercept=-1.0))
        held = hold_back(fitted)
        assert fitted.intercept < held.intercept < 0.9 * fitted.intercept
        assert held.moves == fitted.moves

    @given(
        days=st.lists(st.tuples(st.floats(-1, 1), st.floats(-1, 1)), max_size=8),
        intercept=st.floats(-3, 3),
        slope=st.floats(-1, 3),
    )
    def test_it_lies_between_the_map_and_no_change(self, days, intercept, slope):
        held = hold_back(ConfidenceMap(intercept, slope, 10, tuple(days)))
        assert min(intercept, 0) <= held.intercept <= max(intercept, 0)
        assert min(slope, 1) <= held.slope <= max(slope, 1)
        assert held.intercept * (slope - 1) == pytest.approx(intercept * (held.slope - 1), abs=1e-9)

    def test_the_share_kept_is_what_lies_beyond_the_quantile_of_chance(self):
        """Four days that make both numbers unsure by 0.2: a map 0.6 off has chi-square 9."""
        days = ((0.1, 0.1), (0.1, -0.1), (-0.1, 0.1), (-0.1, -0.1))
        share = 1 - chi2.ppf(0.95, 2) / 9
        held = hold_back(ConfidenceMap(0.6, 1.0, 100, days))
        assert held.intercept == pytest.approx(0.6 * share, abs=1e-3)
        assert hold_back(ConfidenceMap(0.4, 1.0, 100, days)).intercept == 0

    @pytest.mark.parametrize("answer", [0.2, 0.5])
    def test_given_one_answer_for_all_or_two_days_then_it_is_none_the_less_defined(self, answer):
        days = np.repeat(np.arange(5), 20)
        fitted = fit_confidence(np.full(100, answer), (np.arange(100) % 3 == 0).astype(int), days)
        held = hold_back(fitted)
        assert np.isfinite([held.intercept, held.slope]).all()
        two = ConfidenceMap(0.3, 1.2, 10, ((0.1, 0.0), (-0.1, 0.0)))
        assert hold_back(two) == two


class TestMoves:
    @pytest.fixture
    def rows(self):
        return drawn(5, 6000, intercept=0.3, slope=0.8)

    def test_they_say_how_the_map_moves_when_a_day_counts_twice(self, rows):
        answered, truth, days = rows
        found = fit_confidence(answered, truth, days)
        for day, (shift, stretch) in enumerate(found.moves):
            more = np.concatenate([np.arange(len(days)), np.flatnonzero(days == day)])
            twice = fit_confidence(answered[more], truth[more], days[more])
            assert twice.intercept - found.intercept == pytest.approx(shift, rel=0.2, abs=2e-3)
            assert twice.slope - found.slope == pytest.approx(stretch, rel=0.2, abs=2e-3)

    def test_and_so_how_the_squares_to_expect_move(self, rows):
        answered, truth, days = rows
        found = fit_confidence(answered, truth, days)
        later = drawn(6, 500)[0]
        moved = move_expected_squares(found, later)
        for day in range(12):
            more = np.concatenate([np.arange(len(days)), np.flatnonzero(days == day)])
            twice = fit_confidence(answered[more], truth[more], days[more])
            change = expected_squares(twice, later).mean() - expected_squares(found, later).mean()
            assert moved[day] == pytest.approx(change, rel=0.2, abs=2e-4)

    def test_a_map_without_days_moves_nothing(self):
        assert move_expected_squares(AS_ANSWERED, np.array([0.2, 0.9])).shape == (0,)
