"""Ensembles: weights against a grid, planted cases, and how often a useless one is chosen."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss

from mlops_assets.lifecycle.ensembles import (
    EnsemblePolicy,
    choose,
    fit_blend,
)
from mlops_assets.lifecycle.errors import TrainingError
from mlops_assets.lifecycle.resampling import compare_models

BLEND, STACKING = EnsemblePolicy(), EnsemblePolicy("stacking")
NAMES = ("a", "b", "c")


def members_with_own_errors(rows, seed, errors, days=7):
    """Truth, members that see what is known with a noise of their own, and the day of each row."""
    random = np.random.default_rng(seed)
    known = random.normal(-1, 1.5, rows)
    truth = (random.random(rows) < expit(known)).astype(int)
    seen = {
        name: expit(0.8 * (known + random.normal(0, error, rows)))
        for name, error in zip(NAMES, errors, strict=False)
    }
    return truth, seen, np.repeat(np.arange(days), rows // days + 1)[:rows]


@pytest.mark.parametrize("errors", [(0.5, 0.5), (0.3, 1.5), (0.6, 0.7, 0.8)])
def test_the_weights_have_the_lowest_log_loss_on_a_grid(errors):
    truth, members, _ = members_with_own_errors(600, 1, errors)
    weights = fit_blend(truth, members)
    assert sum(weights.values()) == pytest.approx(1)

    def loss(shares):
        mixed = sum(share * members[name] for share, name in zip(shares, members, strict=True))
        return log_loss(truth, mixed)

    steps = np.linspace(0, 1, 41)
    grid = [s for s in product(steps, repeat=len(members)) if abs(sum(s) - 1) < 1e-9]
    best = min(grid, key=loss)
    assert loss(weights.values()) <= loss(best) + 1e-9
    assert list(weights.values()) == pytest.approx(best, abs=0.05)


@st.composite
def opinions(draw: st.DrawFn):
    size = draw(st.integers(2, 40))
    column = st.lists(st.floats(0.01, 0.99), min_size=size, max_size=size).map(np.array)
    truth = draw(st.lists(st.integers(0, 1), min_size=size, max_size=size))
    return np.array(truth), {name: draw(column) for name in NAMES[: draw(st.integers(1, 3))]}


@settings(max_examples=60)
@given(made=opinions())
def test_no_weights_are_better_by_the_certificate_of_convexity(made):
    """For a mixture, loss(w) - loss(best) <= max_k mean(given_k / given @ w) - 1 (Lindsay 1983)."""
    truth, members = made
    weights = fit_blend(truth, members)
    assert all(weight == 0 or 1e-3 <= weight <= 1 + 1e-12 for weight in weights.values())
    assert sum(weights.values()) == pytest.approx(1)
    given_ = {name: np.where(truth == 1, p, 1 - p) for name, p in members.items()}
    mixed = sum(weights[name] * given_[name] for name in members)
    assert max((g / mixed).mean() for g in given_.values()) - 1 < 1e-2


def test_a_member_that_knows_all_gets_all_the_weight_and_noise_none():
    random = np.random.default_rng(2)
    truth = random.integers(0, 2, 500)
    members = {"knows": np.where(truth == 1, 0.999, 0.001), "noise": random.random(500)}
    assert fit_blend(truth, members) == {"knows": 1.0, "noise": 0.0}


def test_a_probability_of_zero_for_what_happened_breaks_nothing():
    weights = fit_blend(np.array([0, 1, 1]), {"a": np.array([0.0, 0.0, 1.0]), "b": np.full(3, 0.5)})
    assert np.isfinite(list(weights.values())).all()


@pytest.mark.parametrize("policy", [BLEND, STACKING], ids=["blend", "stacking"])
def test_members_with_errors_of_their_own_are_combined(policy):
    truth, members, days = members_with_own_errors(6000, 3, (1.0, 1.0))
    choice = choose(truth, members, days, policy, seed=1)
    assert choice.chosen == "ensemble"
    assert choice.verdict.name == "ensemble_earns_its_place"
    assert choice.verdict.outcome == "passed"
    assert 0 < choice.gain.low <= choice.gain.value <= choice.gain.high
    assert choice.gain.value == pytest.approx(
        choice.losses[choice.best_member] - choice.losses["ensemble"]
    )
    assert set(choice.weights) == {"a", "b"}


@pytest.mark.parametrize("policy", [BLEND, STACKING], ids=["blend", "stacking"])
def test_the_loss_of_the_ensemble_is_that_of_days_it_was_not_fitted_on(policy):
    truth, members, days = members_with_own_errors(700, 4, (0.8, 1.0))
    inputs = np.column_stack(list(members.values()))
    left_out = np.empty(700)
    for day in range(7):
        inside = days == day
        if policy is STACKING:
            fitted = LogisticRegression().fit(inputs[~inside], truth[~inside])
            left_out[inside] = fitted.predict_proba(inputs[inside])[:, 1]
        else:
            others = {name: p[~inside] for name, p in members.items()}
            weights = fit_blend(truth[~inside], others)
            left_out[inside] = sum(weights[name] * p[inside] for name, p in members.items())
    choice = choose(truth, members, days, policy, seed=1)
    assert choice.losses["ensemble"] == pytest.approx(log_loss(truth, left_out), abs=1e-9)
    for name, probability in members.items():
        assert choice.losses[name] == pytest.approx(log_loss(truth, probability))


def test_identical_members_are_not_combined():
    truth, members, days = members_with_own_errors(2000, 5, (0.5,))
    choice = choose(truth, {"a": members["a"], "b": members["a"]}, days, BLEND, seed=1)
    assert choice.chosen == choice.best_member == "a"
    assert choice.verdict.outcome == "inconclusive"
    assert choice.gain.value == pytest.approx(0, abs=1e-9)


def test_of_equal_members_the_first_is_the_best():
    truth, members, days = members_with_own_errors(700, 5, (0.5,))
    same = {"b": members["a"], "a": members["a"]}
    assert choose(truth, same, days, BLEND, seed=1).chosen == "b"


def test_a_member_that_is_better_within_noise_does_not_replace_the_first():
    kept = set()
    for seed in range(40):
        truth, members, days = members_with_own_errors(70, seed, (0.6, 0.6))
        choice = choose(truth, members, days, BLEND, seed=1)
        worse = compare_models(
            truth, members["a"], members["b"], days, "log_loss", confidence=0.9, seed=1
        )
        assert choice.best_member == ("b" if worse.low > 0 else "a")
        kept.add(choice.losses["a"] > choice.losses["b"] and choice.best_member == "a")
    assert True in kept  # also where the other has the lower loss of the two


def test_a_member_that_is_better_beyond_noise_replaces_the_first():
    truth, members, days = members_with_own_errors(6000, 5, (1.5, 0.1))
    assert choose(truth, members, days, BLEND, seed=1).best_member == "b"


@pytest.mark.parametrize("policy", [BLEND, STACKING], ids=["blend", "stacking"])
def test_noise_beside_a_member_that_knows_all_is_left_alone(policy):
    random = np.random.default_rng(6)
    truth = random.integers(0, 2, 2000)
    members = {"noise": random.random(2000), "knows": np.where(truth == 1, 0.9999, 0.0001)}
    choice = choose(truth, members, np.arange(2000) % 7, policy, seed=1)
    assert choice.chosen == choice.best_member == "knows"
    assert not choice.verdict.passed


def test_an_ensemble_that_is_worse_beyond_noise_has_failed():
    """Weights that each day asks otherwise of: fitted on the others, they are wrong on it."""
    days = np.repeat([0, 1], 400)
    truth = np.tile([0, 1], 400)
    right, wrong = np.where(truth == 1, 0.9, 0.1), np.where(truth == 1, 0.1, 0.9)
    members = {
        "even": np.full(800, 0.5),
        "a": np.where(days == 0, right, wrong),
        "b": np.where(days == 0, wrong, right),
    }
    choice = choose(truth, members, days, BLEND, seed=1)
    assert choice.chosen == "even"
    assert choice.verdict.outcome == "failed"
    assert "worse by" in choice.verdict.reason


def test_an_ensemble_that_is_better_within_noise_is_not_chosen():
    outcomes = set()
    for seed in range(20):
        truth, members, days = members_with_own_errors(210, seed, (0.4, 0.8))
        choice = choose(truth, members, days, BLEND, seed=1)
        if choice.gain.value > 0 >= choice.gain.low:
            outcomes.add((choice.chosen == choice.best_member, choice.verdict.outcome))
    assert outcomes == {(True, "inconclusive")}


def test_a_useless_ensemble_is_seldom_chosen():
    """Two members that see the same with noise about them that no weights can remove.

    ``b`` tells what ``a`` tells, blurred by a coin: the best blend is ``a`` alone.
    """
    chosen = 0
    for seed in range(1000):
        random = np.random.default_rng(seed)
        days = np.repeat(np.arange(7), 30)
        effect = random.normal(0, 0.4, 7)[days]
        known = random.normal(-1, 1, 210)
        truth = (random.random(210) < expit(known + effect)).astype(int)
        members = {"a": expit(known), "b": expit(known + random.normal(0, 0.5, 210))}
        choice = choose(truth, members, days, BLEND, seed=seed)
        chosen += choice.chosen == "ensemble"
    assert chosen / 1000 < 0.05


def test_the_reason_says_members_losses_rows_days_and_interval():
    truth, members, days = members_with_own_errors(6000, 3, (1.0, 1.0))
    choice = choose(truth, members, days, BLEND, seed=1)
    losses, gain = choice.losses, choice.gain
    assert choice.verdict.reason == (
        f"blend of a {choice.weights['a']:.2f}, b {choice.weights['b']:.2f}: log loss "
        f"{losses['ensemble']:.4f} against {losses[choice.best_member]:.4f} of "
        f"{choice.best_member} alone on 6,000 later rows of 7 days, better by {gain.value:.4f} "
        f"(90% interval of the gain {gain.low:.4f} to {gain.high:.4f})"
    )


def test_one_member_is_chosen_without_a_comparison():
    truth, members, days = members_with_own_errors(300, 1, (0.5,))
    choice = choose(truth, members, days, BLEND, seed=1)
    assert (choice.chosen, choice.weights, choice.gain) == ("a", {"a": 1.0}, None)
    assert "one candidate" in choice.verdict.reason


def test_one_day_is_too_few_to_choose_the_ensemble():
    truth, members, _ = members_with_own_errors(300, 1, (1.0, 1.0))
    choice = choose(truth, members, np.zeros(300), BLEND, seed=1)
    assert choice.chosen == choice.best_member
    assert choice.verdict.outcome == "inconclusive"
    assert "1 day" in choice.verdict.reason


@pytest.mark.parametrize("policy", [BLEND, STACKING], ids=["blend", "stacking"])
def test_when_all_positives_are_of_one_day_then_nothing_is_compared(policy):
    truth, days = np.array([1, 1, 0, 0, 0, 0]), np.array([3, 3, 3, 4, 4, 5])
    members = {"a": np.full(6, 0.4), "b": np.full(6, 0.6)}
    choice = choose(truth, members, days, policy, seed=1)
    assert (
        choice.verdict.reason == "without 3 there are 0 positive later rows, at least 2 are needed"
    )


def test_no_member_and_a_member_named_like_the_ensemble_are_refused():
    with pytest.raises(TrainingError, match="no member"):
        choose(np.array([0, 1]), {}, np.array([1, 2]), BLEND, seed=1)
    with pytest.raises(TrainingError, match="named 'ensemble'"):
        choose(np.array([0, 1]), {"ensemble": np.ones(2)}, np.array([1, 2]), BLEND, seed=1)
    with pytest.raises(ValueError, match="one probability per row"):
        fit_blend(np.array([0, 1]), {"a": np.ones(3)})


@pytest.mark.parametrize(
    ("change", "said"),
    [({"method": "vote"}, "blend or stacking, got 'vote'"), ({"confidence": 1}, "between 0 and 1")],
)
def test_impossible_policies_are_refused(change, said):
    with pytest.raises(ValueError, match=said):
        EnsemblePolicy(**change)
