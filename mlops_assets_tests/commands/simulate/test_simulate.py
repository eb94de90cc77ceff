"""The simulation counts as the rules count, and its rates are what the project promises."""

from __future__ import annotations

import json
import math
from dataclasses import fields, replace

import numpy as np
import pytest
from scipy.stats import binomtest, poisson

from mlops_assets import cli
from mlops_assets.commands.simulate.rates import measure_rate, measure_yearly
from mlops_assets.commands.simulate.report import run_simulate
from mlops_assets.commands.simulate.rollouts.endings import Endings, simulate_rollouts
from mlops_assets.commands.simulate.rollouts.report import measure, tell
from mlops_assets.commands.simulate.rollouts.returning import VISITS, draw_visits
from mlops_assets.commands.simulate.rollouts.rules import (
    GUARDRAILS,
    MARGIN,
    RATE,
    SAMPLE,
    NaiveTest,
    Sequential,
    Threshold,
)
from mlops_assets.commands.simulate.rollouts.scenarios import SCENARIOS, Scenario
from mlops_assets.commands.simulate.rollouts.traffic import Arms, Increment, draw_requests
from mlops_assets.lifecycle.rollout.budget import count_guardrails
from mlops_assets.lifecycle.rollout.decision import RolloutEvidence
from mlops_assets.lifecycle.rollout.guardrails import judge_guardrails
from mlops_assets.lifecycle.rollout.policy import (
    AnalysisPolicy,
    OutcomePolicy,
    PredictionPolicy,
    RolloutPolicy,
)
from mlops_assets.lifecycle.rollout.promotion import judge_promotion
from mlops_assets.lifecycle.rollout.window import Arm, Window

BY_NAME = {scenario.name: scenario for scenario in SCENARIOS}
POLICY = RolloutPolicy(
    "canary",
    (10, 50),
    AnalysisPolicy(
        slow_milliseconds=1, prediction=PredictionPolicy(odds_ratio=1.0), outcome=OutcomePolicy()
    ),
)


def totals(scenario: Scenario, runs: int, seed: int = 1):
    """After each look, the running totals of both arms."""
    draw = draw_visits if scenario.users else draw_requests
    canary, baseline = (Arms.empty(runs, len(scenario.ramp)) for _ in range(2))
    for look, increment in enumerate(draw(scenario, runs, np.random.default_rng(seed))):
        canary.add(increment, 0, scenario.step(look))
        baseline.add(increment, 1, scenario.step(look))
        yield look, canary, baseline


def windows_of(scenario: Scenario, canary: Arms, baseline: Arms, run: int) -> tuple[Window, ...]:
    def arm(version: str, counted: Arms, step: int) -> Arm:
        names = ("requests", "units", "failed", "errors", "slow", "high")
        return Arm(version, *(int(getattr(counted, name)[run, step]) for name in names))

    return tuple(
        Window(weight, arm("v2", canary, step), arm("v1", baseline, step))
        for step, weight in enumerate(scenario.weights)
    )


# --- the same as rollout by rollout -------------------------------------------------------------


@pytest.mark.parametrize("users", [None, 60])
@pytest.mark.parametrize("added", [0.0, 0.05])
def test_rollouts_at_once_are_decided_as_each_alone_by_the_rules_themselves(users, added):
    scenario = Scenario(
        "", "", 0.02, added, looks=60, users=users, ramp=((0, 10), (20, 50)), promotes=True,
        every_guardrail=users is None, requests=60,
    )  # fmt: skip
    runs, rule = 8, Sequential(scenario, None)
    ended = np.zeros(runs, dtype=bool)
    for look, canary, baseline in totals(scenario, runs):
        alarm, shown = rule.look(look, canary, baseline)
        for run in np.flatnonzero(~ended):
            evidence = RolloutEvidence(windows_of(scenario, canary, baseline, run))
            judged = judge_guardrails(evidence, POLICY)
            sampled = all(window.canary.requests >= SAMPLE for window in evidence.windows)
            compared = judged[:3] if scenario.every_guardrail else judged[:1]
            assert alarm[run] == any(verdict.outcome == "failed" for verdict in compared)
            assert shown[run] == (sampled and judge_promotion(evidence, POLICY)[0].passed)
        ended |= alarm | shown
    assert ended.any() or added == 0


def test_the_simulated_policy_is_the_default_one_with_every_guardrail_on():
    default = AnalysisPolicy()
    assert count_guardrails(POLICY) == GUARDRAILS
    assert (default.false_rollback_rate, default.false_promotion_rate) == (RATE, RATE)
    assert (default.minimum_sample, default.error_margin) == (SAMPLE, MARGIN)


def test_the_naive_test_is_the_textbook_one():
    scenario = BY_NAME["worse by 2 points"]
    rule, met = NaiveTest(scenario), set()
    for look, canary, baseline in totals(replace(scenario, looks=200), 5):
        alarm, _ = rule.look(look, canary, baseline)
        for run in range(5):
            k, n = int(canary.failures[run].sum()), int(canary.requests[run].sum())
            j, m = int(baseline.failures[run].sum()), int(baseline.requests[run].sum())
            if n and m and 0 < k + j < n + m:
                pooled = (k + j) / (n + m)
                spread = math.sqrt(pooled * (1 - pooled) * (1 / n + 1 / m))
                assert alarm[run] == ((k / n - j / m) / spread > 2.3263)
                met.add(bool(alarm[run]))
    assert met == {True, False}


@pytest.mark.parametrize("stated", [{"factor": 1.2}, {"limit": 0.07}])
def test_a_threshold_fails_a_rollout_with_its_fifth_failed_check(stated):
    scenario = replace(BY_NAME["worse by 2 points"], looks=200)
    rule, failed, before = Threshold(scenario, **stated), [0, 0, 0], [(0, 0, 0, 0)] * 3
    for look, canary, baseline in totals(scenario, 3):
        alarm, _ = rule.look(look, canary, baseline)
        for run in range(3 if (look + 1) % 10 == 0 else 0):
            parts = (canary.failures, canary.requests, baseline.failures, baseline.requests)
            now = tuple(int(part[run].sum()) for part in parts)
            k, n, j, m = (a - b for a, b in zip(now, before[run], strict=True))
            before[run] = now
            failed[run] += n > 0 and k / n > (1.2 * j / m if "factor" in stated else 0.07)
        assert list(alarm) == [count >= 5 for count in failed]
    assert max(failed) > 0


# --- traffic ------------------------------------------------------------------------------------


def test_requests_fall_to_the_arms_by_weight_and_fail_by_their_rates():
    scenario = Scenario("", "", 0.05, 0.1, requests=100, looks=100, ramp=((0, 10), (50, 50)))
    *_, (_, canary, baseline) = totals(scenario, 300)
    assert canary.requests.sum(axis=0) / (300 * 5000) == pytest.approx([0.1, 0.5], abs=0.002)
    assert (canary.requests + baseline.requests).sum() == 300 * 100 * 100
    assert canary.failures.sum() / canary.requests.sum() == pytest.approx(0.15, abs=0.002)
    assert baseline.errors.sum() / baseline.units.sum() == pytest.approx(0.05, abs=0.002)


def test_base_rates_follow_the_day():
    scenario = Scenario("", "", 0.05, cycle=0.8, requests=100, looks=100)
    random = np.random.default_rng(1)
    rates = [part.failures.sum() for part in draw_requests(scenario, 200, random)]
    assert np.mean(rates[10:40]) > 3 * np.mean(rates[60:90])


def test_returning_users_are_counted_once_and_their_requests_each():
    scenario = Scenario("", "", 0.05, looks=100, users=80, ramp=((0, 10), (40, 50)))
    *_, (_, canary, baseline) = totals(scenario, 50)
    assert (canary.requests + baseline.requests).sum() == 50 * 80 * VISITS
    assert (canary.units + baseline.units).sum() == 50 * 80
    failed = (canary.failures + baseline.failures).sum(axis=1)
    first = (canary.errors + baseline.errors).sum(axis=1)
    assert (first <= 80).all()
    assert (first < failed).any()
    assert ((canary.failed + baseline.failed).sum(axis=1) <= first).all()
    assert canary.units.sum(axis=0) / (canary.units + baseline.units).sum(axis=0) == pytest.approx(
        [0.1, 0.5], abs=0.05
    )


def test_every_count_is_added_up():
    ones = Increment(*(np.ones((2, 2), dtype=np.int64) for _ in fields(Increment)))
    arms = Arms.empty(2, 3)
    arms.add(ones, 0, 1)
    arms.add(ones, 0, 1)
    for each in fields(Arms):
        assert getattr(arms, each.name).tolist() == [[0, 2, 0]] * 2


# --- what the project promises, on fewer rollouts -----------------------------------------------


def rate_above(happened: np.ndarray, promised: float) -> bool:
    """Whether so many would be surprising (1 in 1,000) if the promise were kept."""
    test = binomtest(int(happened.sum()), happened.size, promised, alternative="greater")
    return bool(test.pvalue < 0.001)


@pytest.mark.parametrize(
    ("name", "looks", "runs"), [("equal, watched", 400, 500), ("equal, returning users", 1000, 400)]
)
def test_an_equal_version_is_seldom_rolled_back_and_others_do_worse(name, looks, runs):
    endings = simulate_rollouts(replace(BY_NAME[name], looks=looks), runs, 3)
    assert not rate_above(endings["ours"].rolled_back, 0.01)
    assert endings["z-test"].rolled_back.mean() > 0.1
    assert endings["rate > baseline x 1.2"].rolled_back.mean() > 0.5


@pytest.mark.parametrize(
    ("name", "within"),
    [
        ("fails all", 20),
        ("fails half", 20),
        ("+2 points on 1 %, at 10 %", 700),
        ("+2 points on 2 %, at 10 %", 1100),
    ],
)
def test_a_worse_version_is_out_within_as_many_canary_requests_as_promised(name, within):
    scenario = BY_NAME[name]
    ended = simulate_rollouts(scenario, 1000, 5)["ours"]
    assert measure(scenario, "ours", ended)["requests_to_roll_back"] <= within


@pytest.mark.parametrize("name", ["worse by 2 points", "worse by the margin"])
def test_a_version_that_is_worse_than_the_margin_is_seldom_promoted(name):
    endings = simulate_rollouts(BY_NAME[name], 500, 7)
    assert not rate_above(endings["ours"].promoted, 0.01)
    assert endings["z-test"].promoted.mean() > 0.02


def test_an_equal_version_is_promoted():
    ended = simulate_rollouts(BY_NAME["equal on 0.1 %"], 200, 7)["ours"]
    assert ended.promoted.mean() > 0.95
    assert np.median(ended.requests) < 700


# --- the report ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("k", "n"), [(0, 50), (3, 50), (50, 50)])
def test_the_interval_of_a_rate_is_the_exact_binomial_one(k, n):
    expected = binomtest(k, n).proportion_ci(0.95, method="exact")
    found = measure_rate(np.arange(n) < k)
    assert found["rate"] == k / n
    assert (found["low"], found["high"]) == pytest.approx((expected.low, expected.high))


def test_a_median_is_over_all_rollouts_also_those_that_did_not_end_so():
    ended = Endings(
        np.array([True, True, False]), np.array([False, False, True]), np.array([5, 9, 700])
    )
    told = measure(Scenario("s", "", 0.01, promotes=True), "ours", ended)
    assert told["requests_to_roll_back"] == 9
    assert told["requests_to_promote"] is None
    assert told["promoted"]["rate"] == pytest.approx(1 / 3)


def test_what_is_printed_is_what_is_kept(tmp_path):
    chosen = [BY_NAME["fails all"], BY_NAME["fails half"]]

    def simulate(seed: int) -> str:
        return run_simulate(tmp_path, 30, seed, chosen, parts=["rollouts"])

    said = simulate(7)
    kept = json.loads((tmp_path / "simulate.json").read_text())
    assert (kept["runs"], kept["seed"]) == (30, 7)
    assert said == tell(kept["measured"])
    assert [(each["scenario"], each["rule"]) for each in kept["measured"]][:2] == [
        ("fails all", "ours"),
        ("fails all", "z-test"),
    ]
    assert said.count("aim: out within 20") == 2
    assert simulate(7) == said
    assert simulate(8) != said


def test_a_part_that_does_not_exist_is_refused_and_nothing_is_written(tmp_path):
    with pytest.raises(ValueError, match="no part drfit; there are rollouts, drift"):
        run_simulate(tmp_path / "build", 1, parts=["drfit"])
    assert not (tmp_path / "build").exists()


@pytest.mark.parametrize("counts", [[0, 0, 0], [1, 0, 4, 2]])
def test_the_interval_of_a_yearly_count_holds_as_often_as_it_says(counts):
    found, years = measure_yearly(counts), len(counts)
    assert found["rate"] == sum(counts) / years
    # Garwood: at either end the count seen has a probability of 2.5 % on its side.
    assert poisson.sf(sum(counts) - 1, found["low"] * years) == pytest.approx(
        0.025 if sum(counts) else 1.0
    )
    assert poisson.cdf(sum(counts), found["high"] * years) == pytest.approx(0.025)


def test_the_command_simulates_every_scenario(tmp_path, capsys):
    asked = ["simulate", "rollouts", "--runs", "1", "--build", str(tmp_path)]
    assert cli.main(asked) == 0
    printed = capsys.readouterr().out
    assert all(scenario.name in printed for scenario in SCENARIOS)
