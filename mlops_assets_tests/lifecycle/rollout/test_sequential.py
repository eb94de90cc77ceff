"""E-processes: right by enumeration and by direct simulation, valid at every look."""

from __future__ import annotations

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from mlops_assets.lifecycle.rollout.sequential import (
    _BETS,
    _RATIOS,
    log10,
    log_betting_evidence,
    log_limit_evidence,
    log_margin_evidence,
    log_mean,
    log_odds_evidence,
    log_ratio_evidence,
)

SHARES = st.sampled_from([0.01, 0.1, 0.25, 0.5, 0.9, 0.99])
COUNTS = st.integers(0, 60)


def mixture(values_and_prior, product) -> float:
    """The mean of ``product(value)`` in plain Python."""
    total = sum(prior for _, prior in values_and_prior)
    return sum(prior * product(value) for value, prior in values_and_prior) / total


def evidence_of(arms: tuple[bool, ...], shares: tuple[float, ...], at_most: float = 1.0) -> float:
    """The e-value of first events whose arms (canary or not) came at these shares, one by one."""
    windows = sorted(set(shares))
    canary = [sum(a and w == at for a, w in zip(arms, shares, strict=True)) for at in windows]
    other = [sum(w == at for w in shares) - k for at, k in zip(windows, canary, strict=True)]
    return math.exp(log_ratio_evidence(canary, other, windows, at_most))


def chance(arms: tuple[bool, ...], shares: tuple[float, ...], ratio: float) -> float:
    """Of such arms, when events are ``ratio`` times as frequent in the canary."""
    p = [w * ratio / (w * ratio + 1 - w) for w in shares]
    return math.prod(q if arm else 1 - q for arm, q in zip(arms, p, strict=True))


def sequences(length: int):
    return itertools.product([True, False], repeat=length)


# --- how many times more events the canary has --------------------------------------------------


@given(k=COUNTS, m=COUNTS, share=SHARES)
def test_the_evidence_is_the_mixture_of_binomial_likelihood_ratios(k, m, share):
    def ratio(r: float) -> float:
        p = share * r / (share * r + 1 - share)
        return float(np.exp(binom.logpmf(k, k + m, p) - binom.logpmf(k, k + m, share)))

    expected = mixture(_RATIOS, ratio)
    if expected > 1e-200:
        assert log_ratio_evidence([k], [m], [share]) == pytest.approx(math.log(expected), abs=1e-8)


@pytest.mark.parametrize("at_most", [1.0, 2.0])
@pytest.mark.parametrize("ramp", [(0.1,) * 8, (0.1,) * 4 + (0.5,) * 4, (0.01, 0.1, 0.1, 0.5, 0.9)])
def test_over_all_arms_of_all_events_the_mean_is_one_where_ratios_are_equal(ramp, at_most):
    mean = sum(
        chance(arms, ramp, at_most) * evidence_of(arms, ramp, at_most)
        for arms in sequences(len(ramp))
    )
    assert mean == pytest.approx(1)


@pytest.mark.parametrize("ratio", [0.0, 0.3, 0.9])
def test_over_all_arms_the_mean_is_below_one_where_the_canary_has_fewer(ratio):
    ramp = (0.1,) * 4 + (0.5,) * 4
    for at_most in (1.0, 2.0):
        mean = sum(
            chance(arms, ramp, ratio * at_most) * evidence_of(arms, ramp, at_most)
            for arms in sequences(8)
        )
        assert mean < 1


def test_looked_at_after_each_event_of_a_ramp_it_alarms_in_no_more_than_alpha():
    """Exactly: over all 2^13 sequences of arms, whether it was ever above."""
    ramp = (0.1,) * 6 + (0.5,) * 7
    arms = np.array(list(sequences(13)))
    likely = np.where(arms, ramp, 1 - np.array(ramp)).prod(axis=1)
    windows = np.array([[at == share for at in ramp] for share in (0.1, 0.5)])
    canary = (arms[:, None] & windows).cumsum(axis=-1).swapaxes(1, 2)
    other = (~arms[:, None] & windows).cumsum(axis=-1).swapaxes(1, 2)
    highest = log_ratio_evidence(canary, other, [0.1, 0.5]).max(axis=1)
    for alpha in (0.01, 0.1, 0.3):
        assert 0 < likely[highest >= -math.log(alpha)].sum() <= alpha


@given(
    counts=st.lists(st.tuples(COUNTS, COUNTS, SHARES), min_size=1, max_size=4),
    next_share=SHARES,
    at_most=st.sampled_from([1.0, 1.5, 3.0]),
)
def test_whatever_came_before_the_next_event_is_expected_to_change_nothing(
    counts, next_share, at_most
):
    canary, other, shares = (list(column) for column in zip(*counts, strict=True))
    now = log_ratio_evidence(canary, other, shares, at_most)
    if_canary = log_ratio_evidence([*canary, 1], [*other, 0], [*shares, next_share], at_most)
    if_other = log_ratio_evidence([*canary, 0], [*other, 1], [*shares, next_share], at_most)
    p = next_share * at_most / (next_share * at_most + 1 - next_share)
    expected = p * math.exp(if_canary - now) + (1 - p) * math.exp(if_other - now)
    assert expected == pytest.approx(1, rel=1e-9)


@given(k=COUNTS, m=COUNTS, share=SHARES)
def test_an_event_of_the_canary_raises_the_evidence_and_another_lowers_it(k, m, share):
    now = log_ratio_evidence([k], [m], [share])
    assert (
        log_ratio_evidence([k + 1], [m], [share]) > now > log_ratio_evidence([k], [m + 1], [share])
    )


@given(k=COUNTS, m=COUNTS, share=SHARES)
def test_no_mixture_exceeds_the_best_ratio_in_hindsight(k, m, share):
    best = 0.0
    if k + m and k / (k + m) > share:
        best = binom.logpmf(k, k + m, k / (k + m)) - binom.logpmf(k, k + m, share)
    assert log_ratio_evidence([k], [m], [share]) <= best + 1e-9


@given(parts=st.lists(st.tuples(COUNTS, COUNTS), min_size=1, max_size=5), share=SHARES)
def test_windows_at_the_same_share_count_as_one(parts, share):
    canary, other = zip(*parts, strict=True)
    apart = log_ratio_evidence(canary, other, [share] * len(parts))
    assert apart == pytest.approx(float(log_ratio_evidence([sum(canary)], [sum(other)], [share])))


def test_windows_of_a_ramp_are_not_pooled_while_failures_become_more_frequent():
    """1 % of both versions fail at 10 %, later 5 % of both at 50 %: alike in each window, and yet
    the canary has 260 of 6,000 failures in all, against 340 of 14,000.
    """
    assert log_ratio_evidence([10, 250], [90, 250], [0.1, 0.5]) < 0
    assert log_ratio_evidence([260], [340], [0.3]) > math.log(100)


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_where_all_units_fall_the_same_way_arms_tell_nothing(share):
    events = ([0, 3], [7, 1]) if share == 0 else ([7, 3], [0, 1])
    with_silent = log_ratio_evidence(*events, [share, 0.1])
    assert with_silent == pytest.approx(float(log_ratio_evidence([3], [1], [0.1])))
    units = log_margin_evidence(*events, [70, 100], [share, 0.1], 0.01)
    assert units == pytest.approx(float(log_margin_evidence([3], [1], [100], [0.1], 0.01)))


def test_without_events_there_is_no_evidence_either_way():
    assert log_ratio_evidence([0], [0], [0.1]) == 0
    assert log_ratio_evidence([], [], []) == 0
    assert log_margin_evidence([], [], [], [], 0.01) == pytest.approx(0)
    assert log_limit_evidence(0, 0, 0.01) == pytest.approx(0)
    assert log_betting_evidence([], []) == pytest.approx(0)


def test_overwhelming_evidence_stays_a_number():
    assert math.isfinite(log_ratio_evidence([10**6], [0], [0.01]))
    assert math.isfinite(log_ratio_evidence([0], [10**6], [0.99]))
    assert math.isfinite(log_margin_evidence([10**6], [0], [10**7], [0.01], 0.01))
    assert math.isfinite(log_limit_evidence(10**6, 10**6, 1e-6))


@pytest.mark.parametrize("share", [0.1, 0.5])
def test_returning_users_whose_error_rates_differ_are_one_piece_of_evidence_each(share):
    """Directly, request by request: nested sticky arms over a ramp, some users far worse."""
    random, alarms, runs, alpha = np.random.default_rng(11), 0, 150, 0.1
    for _ in range(runs):
        first: dict[int, tuple[bool, int]] = {}
        number = random.random(60)
        rate = np.where(random.random(60) < 0.3, 0.2, 0.001)
        crossed = False
        for request in range(900):
            step = int(request > 300)
            user = int(random.integers(60))
            canary = number[user] < (share, 0.5)[step]
            if random.random() < rate[user] * (1 + step) and user not in first:
                first[user] = (bool(canary), step)
                counts = [
                    [sum(arm is side and s == j for arm, s in first.values()) for j in (0, 1)]
                    for side in (True, False)
                ]
                crossed |= bool(log_ratio_evidence(*counts, [share, 0.5]) >= math.log(1 / alpha))
        alarms += crossed
    assert alarms / runs <= alpha + 3 * math.sqrt(alpha * (1 - alpha) / runs)


def fates(h1: float, h2: float, t1: float, t2: float):
    """What can become of a unit over a ramp from 10 to 50 %, and how likely: (canary, window).

    Its chance of a first failure is ``h1`` and then ``h2`` beside the canary, whose hazards are
    ``t1`` and ``t2`` times as high. Units below 0.1 are the canary's in both windows, those up to
    0.5 in the second.
    """
    bad1, bad2 = 1 - (1 - h1) ** t1, 1 - (1 - h2) ** t2
    yield (True, 0), 0.1 * bad1
    yield (False, 0), 0.9 * h1
    yield (True, 1), (0.1 * (1 - bad1) + 0.4 * (1 - h1)) * bad2
    yield (False, 1), 0.5 * (1 - h1) * h2
    yield None, (0.1 * (1 - bad1) + 0.4 * (1 - h1)) * (1 - bad2) + 0.5 * (1 - h1) * (1 - h2)


@pytest.mark.parametrize("better", [(1.0, 1.0), (0.9, 1.0), (0.5, 1.0), (0.0, 1.0), (0.7, 0.7)])
@pytest.mark.parametrize("hazards", [[(0.3, 0.3)] * 4, [(0.9, 0.9), (0.9, 0.1), (0.1, 0.5)]])
def test_what_a_better_canary_spared_at_ten_percent_does_not_count_against_it_at_fifty(
    better, hazards
):
    """More of its units are left to fail later; the mean over all fates stays at most one."""
    mean = 0.0
    for units in itertools.product(*(list(fates(*each, *better)) for each in hazards)):
        events = [fate for fate, _ in units if fate]
        counts = [[events.count((side, at)) for at in (0, 1)] for side in (True, False)]
        mean += math.prod(p for _, p in units) * math.exp(log_ratio_evidence(*counts, [0.1, 0.5]))
    assert mean == pytest.approx(1) if better == (1.0, 1.0) else mean < 1


# --- not worse than a margin --------------------------------------------------------------------


def unit_outcomes(bad: Fraction, good: Fraction, share: Fraction):
    """The four things that can happen to a unit: (canary, failed) and how likely it is."""
    return [
        ((True, True), share * bad),
        ((True, False), share * (1 - bad)),
        ((False, True), (1 - share) * good),
        ((False, False), (1 - share) * (1 - good)),
    ]


def mean_margin_evidence(bad, good, margin, shares) -> float:
    """Over all outcomes of all units, one unit per window."""
    mean = 0.0
    for happened in itertools.product(*(unit_outcomes(bad, good, share) for share in shares)):
        k = [int(canary and failed) for (canary, failed), _ in happened]
        m = [int(failed and not canary) for (canary, failed), _ in happened]
        log = log_margin_evidence(k, m, [1] * len(k), [float(w) for w in shares], float(margin))
        mean += float(math.prod(p for _, p in happened)) * math.exp(log)
    return mean


@pytest.mark.parametrize("good", [Fraction(0), Fraction(1, 10), Fraction(1, 2)])
def test_over_all_outcomes_the_mean_is_one_at_the_margin_and_below_beyond_it(good):
    margin, shares = Fraction(1, 20), (Fraction(1, 10),) * 3 + (Fraction(1, 2),) * 2
    assert mean_margin_evidence(good + margin, good, margin, shares) == pytest.approx(1)
    assert mean_margin_evidence(good + 2 * margin, good, margin, shares) < 1
    assert mean_margin_evidence(good, good, margin, shares) > 1


@given(
    k=st.integers(0, 5), m=st.integers(0, 9), rest=st.integers(0, 400), share=SHARES,
    margin=st.sampled_from([0.001, 0.01, 0.1]),
)  # fmt: skip
def test_the_evidence_of_a_margin_is_a_plain_product_over_units(k, m, rest, share, margin):
    scores = [1 / share] * k + [-1 / (1 - share)] * m + [0.0] * rest

    def product(bet: float) -> float:
        stake = bet / (1 / share - margin)
        return math.prod(1 + stake * (margin - score) for score in scores)

    expected = mixture(_BETS, product)
    if expected > 1e-300:
        found = log_margin_evidence([k], [m], [k + m + rest], [share], margin)
        assert found == pytest.approx(math.log(expected), abs=1e-7)


@pytest.mark.parametrize("share", [0.05, 0.1, 0.5])
@pytest.mark.parametrize("margin", [0.005, 0.01, 0.05])
def test_without_failures_a_version_passes_after_little_more_than_the_fewest_units(share, margin):
    """No test can pass it before ln(1/alpha) / -ln(1 - margin) canary units."""
    fewest = math.log(100) / -math.log(1 - margin)
    passes = next(
        n
        for n in range(1, 10**6)
        if log_margin_evidence([0], [0], [n / share], [share], margin) >= math.log(100)
    )
    assert fewest < passes < 1.35 * fewest


@given(k=st.integers(0, 30), m=st.integers(0, 30), n=st.integers(100, 5000), share=SHARES)
def test_a_failure_of_the_canary_takes_from_the_proof_and_another_adds_to_it(k, m, n, share):
    now = log_margin_evidence([k], [m], [n], [share], 0.01)
    assert log_margin_evidence([k + 1], [m], [n], [share], 0.01) < now
    assert log_margin_evidence([k], [m + 1], [n], [share], 0.01) > now
    assert log_margin_evidence([k], [m], [n + 1], [share], 0.01) > now or k > 0


# --- odds that may differ by a factor -----------------------------------------------------------


def mean_odds_evidence(canary: tuple, baseline: tuple, at_most: float, shares: tuple) -> float:
    """Over all arms and answers of one unit per window, whose rates of high answers are given."""
    mean = 0.0
    for units in itertools.product(itertools.product([True, False], repeat=2), repeat=len(shares)):
        p = 1.0
        for (arm, high), w, bad, good in zip(units, shares, canary, baseline, strict=True):
            rate = bad if arm else good
            p *= (w if arm else 1 - w) * (rate if high else 1 - rate)
        arms = [
            tuple([int(unit == (side, answer)) for unit in units] for answer in (True, False))
            for side in (True, False)
        ]
        mean += p * math.exp(log_odds_evidence(*arms, shares, at_most))
    return mean


def with_odds(times: float, rate: float) -> float:
    return times * rate / (1 + (times - 1) * rate)


@pytest.mark.parametrize("at_most", [1.0, 2.0, 5.0])
@pytest.mark.parametrize("moving", [(0.1,) * 5, (0.5,) * 5, (0.02, 0.4, 0.6, 0.9, 0.99)])
def test_the_mean_is_at_most_one_while_odds_are_tolerated_also_if_the_base_rate_moves(
    at_most, moving
):
    shares = (0.1, 0.1, 0.1, 0.5, 0.5)
    for times in (0.2, 1.0, at_most):
        canary = tuple(with_odds(times, rate) for rate in moving)
        assert mean_odds_evidence(canary, moving, at_most, shares) <= 1 + 1e-9
    beyond = tuple(with_odds(4 * at_most, rate) for rate in (0.2,) * 5)
    assert mean_odds_evidence(beyond, (0.2,) * 5, at_most, shares) > 1.05


def test_equal_odds_at_a_tolerance_of_one_are_a_fair_game():
    shares = (0.1, 0.1, 0.5, 0.5)
    rates = (0.1, 0.7, 0.3, 0.9)
    assert mean_odds_evidence(rates, rates, 1.0, shares) == pytest.approx(1)


def test_odds_are_told_apart_only_while_units_fall_both_ways():
    idle = log_odds_evidence(([9, 30], [1, 10]), ([0, 10], [0, 30]), [1.0, 0.5], 2.0)
    alone = log_odds_evidence(([30], [10]), ([10], [30]), [0.5], 2.0)
    assert idle == pytest.approx(float(alone))
    assert log_odds_evidence(([], []), ([], []), [], 2.0) == pytest.approx(0)


# --- a share against a limit --------------------------------------------------------------------


@pytest.mark.parametrize("limit", [0.01, 0.1, 0.5, 0.99])
def test_over_all_outcomes_the_mean_is_one_at_the_limit_and_below_under_it(limit):
    n = 40

    def mean(p: float) -> float:
        return sum(
            binom.pmf(k, n, p) * math.exp(log_limit_evidence(k, n, limit)) for k in range(n + 1)
        )

    assert mean(limit) == pytest.approx(1)
    assert mean(limit * 0.9) < 1
    assert mean(min(limit * 1.1, 1)) > 1


@given(value=st.floats(0, 1), limit=st.sampled_from([0.01, 0.3, 0.9]))
def test_a_share_between_0_and_1_counts_for_no_more_than_its_mean_would(value, limit):
    mixed = value * math.exp(log_limit_evidence(1, 1, limit)) + (1 - value) * math.exp(
        log_limit_evidence(0, 1, limit)
    )
    assert math.exp(log_limit_evidence(value, 1, limit)) <= mixed + 1e-12


# --- bets on scores -----------------------------------------------------------------------------


@given(
    scores=st.lists(st.tuples(st.floats(-1, 1), st.floats(1, 20)), max_size=60),
)
def test_the_evidence_of_bets_is_a_plain_product(scores):
    def product(bet: float) -> float:
        return math.prod(1 + bet * gain / most for gain, most in scores)

    expected = mixture(_BETS, product)
    found = log_betting_evidence([gain for gain, _ in scores], [most for _, most in scores])
    assert found == pytest.approx(math.log(expected), abs=1e-9)


def test_over_all_outcomes_of_a_fair_game_the_mean_is_one_and_of_a_losing_one_less():
    losses = [1.0, 2.0, 1.0, 4.0]
    for gain, p, expected in ((1.0, 0.5, 1.0), (3.0, 0.25, 1.0), (1.0, 0.4, None)):
        mean = 0.0
        for won in sequences(4):
            gains = [gain * most if w else -most for w, most in zip(won, losses, strict=True)]
            weight = math.prod(p if w else 1 - p for w in won)
            mean += weight * math.exp(log_betting_evidence(gains, losses))
        assert mean == pytest.approx(expected) if expected else mean < 1


def test_evidence_at_every_few_gains_is_that_of_the_gains_until_then():
    gains = np.random.default_rng(2).normal(0.1, 0.3, (5, 40)).clip(-1, 1)
    looks = log_betting_evidence(gains, np.ones(40), every=10)
    assert looks.shape == (5, 4)
    for look in range(4):
        until = gains[:, : 10 * (look + 1)]
        ended = log_betting_evidence(until, np.ones(until.shape[1]))
        assert looks[:, look] == pytest.approx(ended)


# --- all of them --------------------------------------------------------------------------------


def test_many_rollouts_at_once_are_judged_as_each_alone():
    random = np.random.default_rng(4)
    canary, other = random.integers(0, 9, (20, 2)), random.integers(0, 9, (20, 2))
    units, shares = random.integers(100, 900, (20, 2)), [0.1, 0.5]
    ratio = log_ratio_evidence(canary, other, shares, 1.5)
    margin = log_margin_evidence(canary, other, units, shares, 0.02)
    limit = log_limit_evidence(canary[:, 0], units[:, 0], 0.01)
    for run in range(20):
        alone = (canary[run], other[run])
        assert ratio[run] == pytest.approx(float(log_ratio_evidence(*alone, shares, 1.5)))
        assert margin[run] == pytest.approx(
            float(log_margin_evidence(*alone, units[run], shares, 0.02))
        )
        assert limit[run] == pytest.approx(
            float(log_limit_evidence(canary[run, 0], units[run, 0], 0.01))
        )


@given(logs=st.lists(st.floats(-500, 500), min_size=1, max_size=5))
def test_the_mean_of_e_values_is_their_mean(logs):
    highest = max(logs)
    expected = highest + math.log(sum(math.exp(log - highest) for log in logs) / len(logs))
    assert log_mean(*logs) == pytest.approx(expected)
    assert min(logs) - 1e-9 <= log_mean(*logs) <= highest + 1e-9


def test_people_read_powers_of_ten():
    assert log10(math.log(1000)) == 3.0


# --- at many looks ------------------------------------------------------------------------------


def simulate(
    random: np.random.Generator, runs: int, requests: int, share: float, bad: float, good: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """After each request of each rollout: errors of both arms and requests of the canary."""
    canary = random.random((runs, requests)) < share
    failed = random.random((runs, requests)) < np.where(canary, bad, good)
    return (
        (failed & canary).cumsum(axis=1),
        (failed & ~canary).cumsum(axis=1),
        canary.cumsum(axis=1),
    )


@pytest.mark.parametrize("share", [0.1, 0.5])
def test_an_equally_good_canary_is_seldom_rolled_back_however_often_one_looks(share):
    alpha, runs = 0.05, 2000
    random = np.random.default_rng(int(100 * share))
    k, m, _ = simulate(random, runs, 500, share, 0.05, 0.05)
    evidence = log_ratio_evidence(k[..., None], m[..., None], [share])
    crossed = (evidence >= -math.log(alpha)).any(axis=1).mean()
    assert 0 < crossed <= alpha + 3 * math.sqrt(alpha * (1 - alpha) / runs)


def test_a_test_for_one_look_would_not_survive_looking_often():
    """What the e-value is for: a z-test at 5 %, looked at after each request, alarms often."""
    random = np.random.default_rng(3)
    k, m, seen = simulate(random, 500, 1000, 0.5, 0.05, 0.05)
    others = np.arange(1, 1001) - seen
    with np.errstate(divide="ignore", invalid="ignore"):
        pooled = (k + m) / (seen + others)
        spread = np.sqrt(pooled * (1 - pooled) * (1 / seen + 1 / others))
        z = (k / seen - m / others) / spread
    assert (z > 1.645).any(axis=1).mean() > 0.15


@pytest.mark.parametrize("share", [0.1, 0.5])
def test_a_broken_canary_is_caught_within_forty_of_its_requests_in_the_median(share):
    random = np.random.default_rng(5)
    requests = int(200 / share)
    k, m, seen = simulate(random, 200, requests, share, 0.25, 0.005)
    caught = log_ratio_evidence(k[..., None], m[..., None], [share]) >= math.log(100)
    assert caught.any(axis=1).mean() > 0.99
    first = caught.argmax(axis=1)
    assert np.median(seen[np.arange(200), first]) <= 40
