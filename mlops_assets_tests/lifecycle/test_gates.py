"""Gates: bounds, the champion, verdicts from elsewhere, and what is too little to judge."""

from __future__ import annotations

import json
import math
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlops_assets.lifecycle.evaluation import EvaluationReport
from mlops_assets.lifecycle.gate_policies import ChampionGate, GatePolicy, SliceGate
from mlops_assets.lifecycle.gates import Evidence, judge_gates
from mlops_assets.lifecycle.leakage import LeakagePolicy
from mlops_assets.lifecycle.metrics import METRICS, measure_metrics
from mlops_assets.lifecycle.resampling import compare_models
from mlops_assets.lifecycle.slice_gates import FEWEST_DAYS
from mlops_assets.lifecycle.staging import ServingPolicy
from mlops_assets.lifecycle.verdicts import Verdict

VALUES = st.floats(0, 1)
LEAKS = Verdict("nothing_leaks", "passed", "nothing was found")
CHAMPION = "is_no_worse_than_champion"
SLICES = "no_slice_is_worse"
ORDER = {"failed": 0, "inconclusive": 1, "passed": 2}


def logistic(logit: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-logit))


def simulate(seed: int, *, days: int = 14, per_day: int = 100, noise: float = 0.35):
    """Truth, a challenger whose logits carry ``noise``, a champion with 0.35, and days.

    Days differ in how late flights are and in what either model makes of them, so the rows of one
    day depend on each other.
    """
    random = np.random.default_rng(seed)
    day = np.repeat(np.arange(days), per_day)
    logit = random.normal(size=len(day)) - 1.4 + random.normal(size=days)[day] * 0.5
    truth = (random.random(len(day)) < logistic(logit)).astype(int)

    def model(noise: float) -> np.ndarray:
        own = random.normal(size=len(day)) * noise + random.normal(size=days)[day] * 0.15
        return logistic(logit + own)

    return truth, model(noise), model(0.35), day


NOISE_AT_MARGIN, NOISE_AT_TWICE = 0.555, 0.706
"""Logit noise of a challenger whose Brier score is 0.005 and 0.010 above that of ``simulate``."""


def measured(truth, probability) -> EvaluationReport:
    metrics = measure_metrics(truth, probability)
    return EvaluationReport(len(truth), float(truth.mean()), metrics)


def compared(truth, probability, champion, days, **more) -> Evidence:
    """The evidence of a challenger and a champion on the same rows."""
    return Evidence(
        report=measured(truth, probability),
        champion=measured(truth, champion),
        truth=truth,
        probability=probability,
        champion_probability=champion,
        days=days,
        **{"leaks": LEAKS, **more},
    )


def judge(evidence: Evidence, policy: GatePolicy) -> dict[str, Verdict]:
    return {verdict.name: verdict for verdict in judge_gates(evidence, policy, seed=1)}


def bound(report: EvaluationReport, policy: GatePolicy) -> dict[str, str]:
    """The outcomes of an evaluation without a champion, but for leaks."""
    judged = judge(Evidence(report=report, leaks=LEAKS), policy)
    return {name: v.outcome for name, v in judged.items() if name != "nothing_leaks"}


def against_champion(seed=0, margin=0.005, metric="brier", minimum_rows=500, **world) -> Verdict:
    policy = GatePolicy(champion=ChampionGate(metric, margin), minimum_rows=minimum_rows)
    return judge(compared(*simulate(seed, **world)), policy)[CHAMPION]


# --- bounds --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "outcome"), [(0.65, "passed"), (0.62, "passed"), (0.6199, "failed"), (0.0, "failed")]
)
def test_a_minimum_is_reached_or_not(report, value, outcome):
    policy = GatePolicy(minimum={"auc": 0.62})
    assert bound(report(auc=value), policy) == {"auc_is_high_enough": outcome}


@pytest.mark.parametrize(
    ("value", "outcome"), [(0.1, "passed"), (0.22, "passed"), (0.2201, "failed"), (9.0, "failed")]
)
def test_a_maximum_is_kept_or_not(report, value, outcome):
    policy = GatePolicy(maximum={"brier": 0.22})
    assert bound(report(brier=value), policy) == {"brier_is_low_enough": outcome}


def test_too_few_rows_leave_every_bound_inconclusive_however_good_the_model(report):
    policy = GatePolicy({"auc": 0.6}, {"brier": 0.3}, minimum_rows=500)
    few = Evidence(report=report(rows=499, auc=0.99, brier=0.01), leaks=LEAKS)
    judged = judge_gates(few, policy, seed=1)
    assert [verdict.outcome for verdict in judged[:2]] == ["inconclusive"] * 2
    assert judged[0].reason == "499 test rows, at least 500 are needed to judge"


def test_as_many_rows_as_asked_are_enough(report):
    policy = GatePolicy({"auc": 0.6}, minimum_rows=500)
    assert bound(report(rows=500), policy) == {"auc_is_high_enough": "passed"}


def test_a_metric_that_is_no_number_never_passes(report):
    policy = GatePolicy({"auc": 0.6}, {"brier": 0.3})
    assert set(bound(report(auc=math.nan, brier=math.nan), policy).values()) == {"failed"}


# --- the champion --------------------------------------------------------------------------------


@pytest.mark.parametrize("metric", METRICS)
def test_a_model_is_no_worse_than_itself_without_any_margin(metric):
    truth, probability, _, days = simulate(0)
    policy = GatePolicy(champion=ChampionGate(metric, 0.0))
    verdict = judge(compared(truth, probability, probability, days), policy)[CHAMPION]
    assert verdict.passed
    assert verdict.evidence["worse_by"] == verdict.evidence["high"] == 0


@pytest.mark.parametrize("metric", METRICS)
def test_a_much_better_model_passes_and_the_other_way_round_it_fails(metric):
    truth, _, champion, days = simulate(0, per_day=400)
    poor = logistic(np.random.default_rng(2).normal(size=len(truth)))
    policy = GatePolicy(champion=ChampionGate(metric, 0.005))
    assert judge(compared(truth, champion, poor, days), policy)[CHAMPION].passed
    assert judge(compared(truth, poor, champion, days), policy)[CHAMPION].outcome == "failed"


def test_given_a_difference_within_the_noise_of_few_rows_then_it_is_too_close_to_say():
    verdict = against_champion(seed=3, margin=0.0)
    assert verdict.outcome == "inconclusive"
    assert verdict.evidence["low"] < 0 < verdict.evidence["high"]
    assert verdict.reason.endswith("too close to say, test on more days")


def test_the_verdict_gives_both_values_the_difference_its_interval_the_days_and_the_margin():
    truth, probability, champion, days = world = simulate(4, per_day=400)
    verdict = judge(compared(*world), GatePolicy(champion=ChampionGate("brier", 0.005)))[CHAMPION]
    value, other = (measure_metrics(truth, p)["brier"] for p in (probability, champion))
    interval = compare_models(truth, probability, champion, days, "brier", seed=1)
    side = "worse" if value > other else "better"
    assert verdict.reason == (
        f"brier {value:.4f} against the champion's {other:.4f} on the same 5600 rows: {side} by "
        f"{abs(value - other):.4f} (95% interval {interval.low:.4f} to {interval.high:.4f} worse, "
        "over 14 days), at most 0.005 worse is allowed"
    )
    assert verdict.evidence["worse_by"] == pytest.approx(value - other)
    assert verdict.evidence["champion"] == pytest.approx(other)
    assert (verdict.evidence["low"], verdict.evidence["high"]) == (interval.low, interval.high)
    assert (verdict.evidence["days"], verdict.evidence["margin"]) == (14, 0.005)
    json.dumps(verdict.evidence, allow_nan=False)


def test_the_first_version_has_no_champion_to_beat_however_few_its_rows(report):
    for rows in (10, 1000):
        evidence = Evidence(report=report(rows=rows), leaks=LEAKS)
        verdict = judge(evidence, GatePolicy(champion=ChampionGate()))[CHAMPION]
        assert verdict.passed
        assert verdict.reason == "there is no other champion to compare with"


def test_a_champion_that_cannot_be_compared_with_leaves_it_inconclusive_and_says_why(report):
    evidence = Evidence(report=report(), leaks=LEAKS, incomparable="v3 was trained later")
    policy = GatePolicy(champion=ChampionGate(), slices=SliceGate())
    for name in (CHAMPION, SLICES):
        verdict = judge(evidence, policy)[name]
        assert (verdict.outcome, verdict.reason) == ("inconclusive", "v3 was trained later")


@pytest.mark.parametrize(("rows", "outcome"), [(1401, "inconclusive"), (1400, "passed")])
def test_too_few_rows_cannot_be_compared(rows, outcome):
    assert against_champion(seed=0, margin=0.1, minimum_rows=rows).outcome == outcome


@pytest.mark.parametrize(
    ("days", "outcome"), [(1, "inconclusive"), (5, "inconclusive"), (6, "passed")]
)
def test_a_handful_of_days_says_nothing_of_others(days, outcome):
    verdict = against_champion(margin=0.1, days=days, per_day=500)
    assert verdict.outcome == outcome
    if outcome == "inconclusive":
        assert verdict.reason.endswith(f"over {days} day(s), at least 6 are needed to judge")
    json.dumps(verdict.evidence, allow_nan=False)


def test_predictions_that_are_no_number_never_pass():
    truth, probability, champion, days = simulate(0)
    evidence = Evidence(
        report=measured(truth, champion),
        champion=measured(truth, champion),
        truth=truth,
        probability=np.full_like(probability, math.nan),
        champion_probability=champion,
        days=days,
        leaks=LEAKS,
    )
    assert judge(evidence, GatePolicy(champion=ChampionGate()))[CHAMPION].outcome == "inconclusive"


@settings(max_examples=40)
@given(
    seed=st.integers(0, 20),
    metric=st.sampled_from(METRICS),
    noise=st.sampled_from([0.2, 0.35, 0.8, 2.0]),
    margins=st.tuples(st.floats(0, 0.1), st.floats(0, 0.1)),
)
def test_a_wider_margin_never_judges_worse(seed, metric, noise, margins):
    outcomes = [
        ORDER[against_champion(seed, margin, metric, noise=noise).outcome]
        for margin in sorted(margins)
    ]
    assert outcomes == sorted(outcomes)


@settings(max_examples=40)
@given(seed=st.integers(0, 20), noise=st.sampled_from([0.2, 0.35, 2.0]))
def test_two_models_are_not_both_surely_worse_than_the_other(seed, noise):
    truth, one, two, days = simulate(seed, noise=noise)
    policy = GatePolicy(champion=ChampionGate())
    forth = judge(compared(truth, one, two, days), policy)[CHAMPION]
    back = judge(compared(truth, two, one, days), policy)[CHAMPION]
    assert forth.evidence["worse_by"] == -back.evidence["worse_by"]
    assert [forth.outcome, back.outcome] != ["failed", "failed"]


def shares(count: int, **world) -> dict[str, float]:
    """How often each outcome comes at a margin of 0.005, over as many worlds."""

    def outcome(seed: int) -> str:
        truth, probability, champion, days = simulate(seed, **world)
        said = EvaluationReport(len(truth), 0.3, {"brier": 0.2})  # only told, the rows decide
        evidence = Evidence(
            report=said,
            champion=said,
            truth=truth,
            probability=probability,
            champion_probability=champion,
            days=days,
            leaks=LEAKS,
        )
        return judge(evidence, GatePolicy(champion=ChampionGate("brier", 0.005)))[CHAMPION].outcome

    outcomes = [outcome(seed) for seed in range(count)]
    return {outcome: outcomes.count(outcome) / count for outcome in ORDER}


def test_an_equally_good_challenger_passes_once_there_are_enough_rows_and_never_fails():
    few, many = shares(60, per_day=100), shares(60, per_day=600)
    assert few["failed"] == many["failed"] == 0
    assert 0.3 < few["passed"] < 0.85
    assert many["passed"] > 0.9


def test_a_challenger_worse_by_twice_the_margin_is_not_passed_and_mostly_caught():
    few, many = (shares(60, per_day=rows, noise=NOISE_AT_TWICE) for rows in (100, 600))
    assert few["passed"] == many["passed"] == 0
    assert many["failed"] > 0.7


def test_a_challenger_worse_by_just_the_margin_seldom_passes_and_seldom_fails():
    """At most 2.5 % each; 6 % is 3 standard errors of 200 worlds above."""
    judged = shares(200, per_day=300, noise=NOISE_AT_MARGIN)
    assert judged["passed"] <= 0.06
    assert judged["failed"] <= 0.06


def test_intervals_of_fewer_days_than_a_gate_takes_would_pass_what_is_worse_by_the_margin():
    def passed(days: int) -> float:
        ends = [
            compare_models(*simulate(seed, days=days, noise=NOISE_AT_MARGIN), "brier", seed=1).high
            for seed in range(300)
        ]
        return sum(high <= 0.005 for high in ends) / 300

    assert passed(2) > 0.12
    assert passed(FEWEST_DAYS) < 0.06


# --- slices and what is judged elsewhere ---------------------------------------------------------


def test_without_a_champion_and_without_a_limit_slices_pass_and_say_so(report):
    evidence = Evidence(report=report(rows=10), leaks=LEAKS)
    verdict = judge(evidence, GatePolicy(slices=SliceGate()))[SLICES]
    assert verdict.passed
    assert verdict.reason == "there is no other champion to compare with, and no limit is set"


@pytest.mark.parametrize(("limit", "outcome"), [(0.3, "passed"), (0.05, "failed")])
def test_the_first_version_is_held_to_the_limit_of_its_slices(limit, outcome):
    truth, probability, _, days = simulate(0)
    evidence = Evidence(
        report=measured(truth, probability),
        truth=truth,
        probability=probability,
        days=days,
        slices={"carrier": np.repeat("UA", len(truth))},
        leaks=LEAKS,
    )
    assert judge(evidence, GatePolicy(slices=SliceGate(limit=limit)))[SLICES].outcome == outcome


@pytest.mark.parametrize(("limit", "outcome"), [(0.3, "inconclusive"), (0.05, "failed")])
def test_a_champion_that_cannot_be_compared_with_hides_no_slice_beyond_the_limit(limit, outcome):
    truth, probability, _, days = simulate(0)
    evidence = Evidence(
        report=measured(truth, probability),
        truth=truth,
        probability=probability,
        days=days,
        slices={"carrier": np.repeat("UA", len(truth))},
        leaks=LEAKS,
        incomparable="v3 was trained later",
    )
    assert judge(evidence, GatePolicy(slices=SliceGate(limit=limit)))[SLICES].outcome == outcome


def test_too_few_rows_in_all_leave_slices_inconclusive():
    evidence = compared(*simulate(0), slices={"origin": np.repeat("EWR", 1400)})
    policy = GatePolicy(slices=SliceGate(minimum_rows=10), minimum_rows=1401)
    assert judge(evidence, policy)[SLICES].outcome == "inconclusive"


@pytest.mark.parametrize("outcome", ["passed", "failed", "inconclusive"])
def test_verdicts_from_elsewhere_are_taken_as_they_are(report, outcome):
    stated = {name: Verdict(name, outcome, "why") for name in ("serves_what_was_tested", "a_rule")}
    leaks = Verdict("nothing_leaks", outcome, "why not")
    evidence = Evidence(
        report=report(),
        leaks=leaks,
        staged=[stated["serves_what_was_tested"]],
        behaviours=[stated["a_rule"]],
    )
    policy = GatePolicy(serving=ServingPolicy(), behaviour=("a_rule",))
    assert judge_gates(evidence, policy, seed=1) == [leaks, *stated.values()]


@pytest.mark.parametrize("missing", ["nothing_leaks", "serves_what_was_tested", "a_rule", "b_rule"])
@pytest.mark.parametrize("times", [0, 2])
def test_a_gate_without_a_verdict_or_with_two_is_never_skipped(report, missing, times):
    names = ["serves_what_was_tested", "a_rule", "b_rule"]
    passed = {name: [Verdict(name, "passed", "why")] for name in names}
    if missing in passed:
        passed[missing] *= times
    elif times:
        passed["a_rule"].append(LEAKS)
    evidence = Evidence(
        report=report(),
        leaks=LEAKS if times or missing != "nothing_leaks" else Verdict("leaks", "passed", "why"),
        staged=passed["serves_what_was_tested"],
        behaviours=passed["a_rule"] + passed["b_rule"],
    )
    policy = GatePolicy(serving=ServingPolicy(), behaviour=("a_rule", "b_rule"))
    with pytest.raises(ValueError, match=f"judged once, judged were {missing} {times} times"):
        judge_gates(evidence, policy, seed=1)


def test_a_budget_for_the_server_is_a_gate_only_where_it_is_stated():
    assert GatePolicy(serving=ServingPolicy()).names[1:] == ["serves_what_was_tested"]
    both = ServingPolicy(p95_milliseconds=50, megabytes=20)
    assert GatePolicy(serving=both).names[1:] == [
        "serves_what_was_tested",
        "answers_in_time",
        "is_small_enough",
    ]


@pytest.mark.parametrize("lost", ["truth", "probability", "days", "champion_probability"])
def test_a_champion_without_the_rows_to_compare_on_is_refused(lost):
    truth, probability, champion, days = simulate(0)
    arrays = {
        "truth": truth,
        "probability": probability,
        "champion_probability": champion,
        "days": days,
    }
    evidence = Evidence(
        report=measured(truth, probability),
        champion=measured(truth, champion),
        leaks=LEAKS,
        **{**arrays, lost: None},
    )
    with pytest.raises(ValueError, match="pass what is missing"):
        judge_gates(evidence, GatePolicy(champion=ChampionGate()), seed=1)


# --- names ---------------------------------------------------------------------------------------


@settings(max_examples=60)
@given(
    minimum=st.dictionaries(st.sampled_from(METRICS), VALUES),
    maximum=st.dictionaries(st.sampled_from(METRICS), VALUES),
    champion=st.none() | st.builds(ChampionGate, st.sampled_from(METRICS)),
    slices=st.none() | st.builds(SliceGate, st.sampled_from(METRICS), limit=st.none() | VALUES),
    serving=st.none() | st.builds(ServingPolicy, megabytes=st.none() | st.floats(1, 9)),
    behaviour=st.lists(st.from_regex(r"[a-z]{1,3}_rule", fullmatch=True), unique=True, max_size=3),
    rows=st.integers(1, 2000),
)
def test_the_names_known_beforehand_are_those_judged_in_their_order(
    minimum, maximum, champion, slices, serving, behaviour, rows
):
    policy = GatePolicy(
        minimum, maximum, champion, rows, slices, serving=serving, behaviour=tuple(behaviour)
    )
    staged = [
        name for name in ("is_small_enough", "serves_what_was_tested") if name in policy.names
    ]
    evidence = compared(
        *simulate(1),
        slices={"all": np.repeat("yes", 1400)},
        staged=[Verdict(name, "passed", "why") for name in staged],
        behaviours=[Verdict(name, "passed", "why") for name in reversed(behaviour)],
    )
    judged = judge_gates(evidence, policy, seed=1)
    assert [verdict.name for verdict in judged] == policy.names
    assert len(set(policy.names)) == len(policy.names)
    measured_on = evidence.report.metrics
    for verdict, (metric, limit) in zip(judged, minimum.items(), strict=False):
        assert verdict.passed == (measured_on[metric] >= limit and rows <= 1400)


def test_a_policy_without_gates_still_asks_that_nothing_leaks(report):
    assert GatePolicy().names == ["nothing_leaks"]
    assert judge_gates(Evidence(report=report(), leaks=LEAKS), GatePolicy(), seed=1) == [LEAKS]
    assert GatePolicy().leakage == LeakagePolicy(0.95)


# --- policies ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "make",
    [
        lambda: GatePolicy(minimum={"acu": 0.5}),
        lambda: GatePolicy(maximum={"acu": 0.5}),
        lambda: ChampionGate("acu"),
        lambda: SliceGate("acu"),
    ],
)
def test_an_unknown_metric_is_refused_with_those_allowed_and_the_one_meant(make):
    with pytest.raises(ValueError, match="unknown metric 'acu'") as refused:
        make()
    assert "allowed are auc, brier, log_loss, calibration_error" in str(refused.value)
    assert str(refused.value).endswith("; did you mean 'auc'?")


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: ChampionGate(margin=-0.1), "margin must not be negative, got -0.1"),
        (lambda: ChampionGate(margin=math.nan), "margin must not be negative, got nan"),
        (lambda: ChampionGate(confidence=1), "confidence must lie between 0 and 1, got 1"),
        (lambda: SliceGate(margin=-1), "margin must not be negative, got -1"),
        (lambda: SliceGate(confidence=0), "confidence must lie between 0 and 1, got 0"),
        (lambda: SliceGate(limit=-0.1), "limit must not be negative, got -0.1"),
        (lambda: SliceGate(minimum_rows=0), "minimum_rows must be at least 1, got 0"),
        (lambda: GatePolicy(minimum_rows=0), "minimum_rows must be at least 1, got 0"),
        (
            lambda: GatePolicy(behaviour=("a", "b", "a")),
            "behaviour must name each function once and none like another gate, got 'a' again",
        ),
        (
            lambda: GatePolicy(behaviour=("nothing_leaks",)),
            "behaviour must name each function once and none like another gate, "
            "got 'nothing_leaks' again",
        ),
    ],
)
def test_an_impossible_policy_is_refused_with_what_came(make, said):
    with pytest.raises(ValueError, match=f"^{re.escape(said)}$"):
        make()
