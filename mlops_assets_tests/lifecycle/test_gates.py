"""Gates: bounds, the champion, and too few rows to judge."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlops_assets.lifecycle.evaluation import HIGHER_IS_BETTER, METRICS
from mlops_assets.lifecycle.gates import ChampionGate, GatePolicy, judge_gates

VALUES = st.floats(0, 1)


def outcomes(report, champion, policy) -> dict[str, str]:
    return {verdict.name: verdict.outcome for verdict in judge_gates(report, champion, policy)}


@pytest.mark.parametrize(
    ("value", "outcome"), [(0.65, "passed"), (0.62, "passed"), (0.6199, "failed"), (0.0, "failed")]
)
def test_a_minimum_is_reached_or_not(report, value, outcome):
    policy = GatePolicy(minimum={"auc": 0.62})
    assert outcomes(report(auc=value), None, policy) == {"auc_is_high_enough": outcome}


@pytest.mark.parametrize(
    ("value", "outcome"), [(0.1, "passed"), (0.22, "passed"), (0.2201, "failed"), (9.0, "failed")]
)
def test_a_maximum_is_kept_or_not(report, value, outcome):
    policy = GatePolicy(maximum={"brier": 0.22})
    assert outcomes(report(brier=value), None, policy) == {"brier_is_low_enough": outcome}


@pytest.mark.parametrize(
    ("metric", "value", "margin", "outcome"),
    [
        ("brier", 0.20, 0.0, "passed"),
        ("brier", 0.19, 0.0, "passed"),
        ("brier", 0.201, 0.0, "failed"),
        ("brier", 0.201, 0.005, "passed"),
        ("brier", 0.21, 0.005, "failed"),
        ("auc", 0.70, 0.0, "passed"),
        ("auc", 0.71, 0.0, "passed"),
        ("auc", 0.699, 0.0, "failed"),
        ("auc", 0.699, 0.005, "passed"),
        ("auc", 0.69, 0.005, "failed"),
    ],
)
def test_a_challenger_may_be_worse_than_the_champion_by_the_margin_at_most(
    report, metric, value, margin, outcome
):
    policy = GatePolicy(champion=ChampionGate(metric, margin))
    judged = outcomes(report(**{metric: value}), report(), policy)
    assert judged == {"is_no_worse_than_champion": outcome}


@settings(deadline=None)
@given(
    metric=st.sampled_from(METRICS), one=VALUES, two=VALUES, margin=st.sampled_from([0.0, 0.01, 1])
)
def test_of_two_models_at_least_one_is_no_worse_than_the_other(report, metric, one, two, margin):
    policy = GatePolicy(champion=ChampionGate(metric, margin))
    first, second = report(**{metric: one}), report(**{metric: two})
    (forth,), (back,) = judge_gates(first, second, policy), judge_gates(second, first, policy)
    assert forth.passed or back.passed
    better = one >= two if metric in HIGHER_IS_BETTER else one <= two
    assert forth.passed or not better
    assert forth.evidence["worse_by"] == -back.evidence["worse_by"]


def test_the_verdict_on_the_champion_gives_both_values_and_the_margin(report):
    policy = GatePolicy(champion=ChampionGate("auc", 0.01))
    (worse,) = judge_gates(report(auc=0.65), report(auc=0.7), policy)
    assert worse.reason == (
        "auc 0.6500 against the champion's 0.7000 on the same 1000 rows: worse by 0.0500, "
        "at most 0.01 worse is allowed"
    )
    assert worse.evidence["worse_by"] == pytest.approx(0.05)
    (better,) = judge_gates(report(auc=0.75), report(auc=0.7), policy)
    assert "better by 0.0500" in better.reason


def test_the_first_version_has_no_champion_to_beat(report):
    (verdict,) = judge_gates(report(), None, GatePolicy(champion=ChampionGate()))
    assert verdict.passed
    assert verdict.reason == "there is no other champion to compare with"


@pytest.mark.parametrize("champion", [True, False])
def test_too_few_rows_leave_every_bound_inconclusive_however_good_the_model(report, champion):
    policy = GatePolicy({"auc": 0.6}, {"brier": 0.3}, ChampionGate(), minimum_rows=500)
    few = report(rows=499, auc=0.99, brier=0.01)
    judged = judge_gates(few, report(rows=499) if champion else None, policy)
    assert not any(verdict.passed for verdict in judged[:2])
    assert [verdict.outcome for verdict in judged[:2]] == ["inconclusive"] * 2
    assert judged[0].reason == "499 test rows, at least 500 are needed to judge"
    assert judged[2].outcome == ("inconclusive" if champion else "passed")


def test_as_many_rows_as_asked_are_enough(report):
    policy = GatePolicy({"auc": 0.6}, minimum_rows=500)
    assert outcomes(report(rows=500), None, policy) == {"auc_is_high_enough": "passed"}


def test_a_metric_that_is_no_number_never_passes(report):
    policy = GatePolicy({"auc": 0.6}, {"brier": 0.3}, ChampionGate("auc"))
    broken = report(auc=math.nan, brier=math.nan)
    assert set(outcomes(broken, report(), policy).values()) == {"failed"}
    assert outcomes(report(), broken, policy)["is_no_worse_than_champion"] == "failed"


@settings(deadline=None)
@given(
    minimum=st.dictionaries(st.sampled_from(METRICS), VALUES),
    maximum=st.dictionaries(st.sampled_from(METRICS), VALUES),
    champion=st.none() | st.builds(ChampionGate, st.sampled_from(METRICS)),
    metrics=st.fixed_dictionaries(dict.fromkeys(METRICS, VALUES)),
    rows=st.integers(0, 1000),
)
def test_the_names_known_beforehand_are_those_judged(
    report, minimum, maximum, champion, metrics, rows
):
    policy = GatePolicy(minimum, maximum, champion)
    judged = judge_gates(report(rows, **metrics), report(**metrics), policy)
    assert [verdict.name for verdict in judged] == policy.names
    assert len(set(policy.names)) == len(policy.names)
    if rows >= 500:
        for verdict, (metric, limit) in zip(judged, minimum.items(), strict=False):
            assert verdict.passed == (metrics[metric] >= limit)
    else:
        assert not any(verdict.passed for verdict in judged)


def test_a_policy_without_gates_judges_nothing(report):
    assert judge_gates(report(), report(), GatePolicy()) == []
    assert GatePolicy().names == []


@pytest.mark.parametrize(
    "make",
    [
        lambda: GatePolicy(minimum={"acu": 0.5}),
        lambda: GatePolicy(maximum={"acu": 0.5}),
        lambda: ChampionGate("acu"),
    ],
)
def test_an_unknown_metric_is_refused_with_those_allowed_and_the_one_meant(make):
    with pytest.raises(ValueError, match="unknown metric 'acu'") as refused:
        make()
    assert "allowed are auc, brier, log_loss, calibration_error" in str(refused.value)
    assert str(refused.value).endswith("; did you mean 'auc'?")


def test_a_negative_margin_and_no_rows_are_refused():
    with pytest.raises(ValueError, match=r"margin must not be negative, got -0\.1"):
        ChampionGate(margin=-0.1)
    with pytest.raises(ValueError, match="minimum_rows must be at least 1, got 0"):
        GatePolicy(minimum_rows=0)
