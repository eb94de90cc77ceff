"""A person sees each guardrail with its counts, its evidence and its limit."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from mlops_assets.components.assets.release import describe_strategy
from mlops_assets.components.metadata import markdown_table
from mlops_assets.components.rollout_metadata import (
    describe_guardrails,
    describe_interventions,
    describe_shadow,
    describe_steps,
    measure_nearness,
)
from mlops_assets.lifecycle.rollout.decision import RolloutEvidence, ShadowComparison
from mlops_assets.lifecycle.rollout.intervention import Intervention
from mlops_assets.lifecycle.rollout.policy import AnalysisPolicy, RolloutPolicy
from mlops_assets.lifecycle.rollout.state import Champion
from mlops_assets.lifecycle.rollout.strategy import begin_rollout, decide_next, pause
from mlops_assets.lifecycle.rollout.window import Arm, Window

AT = datetime(2013, 6, 1, tzinfo=UTC)


def verdicts(policy: RolloutPolicy, weight: int, canary: Arm, baseline: Arm, shadow=None):
    """What a strategy says of such windows at its last step."""
    state = begin_rollout("v2", "b" * 64, "2013-05-06", Champion("v1", "a" * 64, "2013-03-04"), AT)
    moved = dict(vars(state), phase="progressing", step=0, weight=weight, mirror=100)
    evidence = RolloutEvidence((Window(weight, canary, baseline),), shadow=shadow)
    return decide_next(type(state)(**moved), evidence, policy).verdicts


@pytest.fixture
def judged():
    policy = RolloutPolicy("canary", (10,), AnalysisPolicy(error_margin=0.02))
    canary = Arm("v2", 300, 300, failed=3, errors=3)
    return verdicts(policy, 10, canary, Arm("v1", 2700, 2700, failed=9, errors=9))


def test_each_guardrail_shows_the_counts_of_both_arms_and_its_limits(judged):
    errors, proof = describe_guardrails(judged)
    assert errors["guardrail"] == "canary errors are not higher"
    assert (errors["canary"], errors["baseline"]) == ("3 of 300", "9 of 2700")
    assert errors["harm"].endswith(" of 2.00")
    assert errors["proof"] == ""
    assert (proof["guardrail"], proof["margin"]) == ("canary is within the margin", "0.02")
    assert proof["proof"].endswith(" of 2.00")


def test_a_guardrail_without_a_baseline_shows_its_events_and_its_limit():
    policy = RolloutPolicy("blue_green")
    (row,) = describe_guardrails(verdicts(policy, 100, Arm("v2", 50, 50, failed=1), Arm("v1")))
    assert (row["canary"], row["baseline"], row["margin"]) == ("1 of 50", "", "0.01")
    assert row["harm"]
    assert row["proof"]


def test_nearness_is_one_where_a_guardrail_decides(judged):
    harm, proof = (measure_nearness(judged, kind) for kind in ("log10_e", "log10_proof"))
    assert set(harm) == {"canary_errors_are_not_higher"}
    assert set(proof) == {"canary_is_within_the_margin"}
    policy = RolloutPolicy("canary", (10,))
    broken = verdicts(policy, 10, Arm("v2", 30, 30, failed=30, errors=30), Arm("v1", 270, 270))
    assert measure_nearness(broken, "log10_e")["canary_errors_are_not_higher"] > 1


def test_a_table_of_them_has_a_line_each(judged):
    assert markdown_table(describe_guardrails(judged)).value.count("\n") == 1 + len(judged)


def test_a_shadow_says_who_would_have_been_decided_otherwise():
    part = {"rows": 9, "agreement": 0.8, "shift": 0.01, "raised": 2, "lowered": 1}
    seen = ShadowComparison(9, 0, 0.8, 0.01, [{"slice": "all", "value": "", **part}])
    (row,) = describe_shadow(seen)
    assert (row["newly high"], row["no longer high"]) == (2, 1)


def test_steps_show_when_a_rollout_was_held():
    state = begin_rollout("v2", "b" * 64, "2013-05-06", Champion("v1", "a" * 64, "2013-03-04"), AT)
    held = pause(state, "the desk", "odd answers", AT)
    assert [row["phase"] for row in describe_steps([state, held])] == ["initializing", "paused"]


def test_only_what_was_done_to_the_version_is_shown():
    done = [
        (AT, Intervention(f"launch {n}", "pause", version, "the desk", "odd answers", "held"))
        for n, version in enumerate(("v1", "v2"))
    ]
    (row,) = describe_interventions(done, "v2")
    assert row == {
        "at": "2013-06-01T00:00:00",
        "action": "pause",
        "by": "the desk",
        "reason": "odd answers",
    }


@pytest.mark.parametrize(
    ("policy", "said"),
    [
        (RolloutPolicy(), "recreate, all at once"),
        (RolloutPolicy("canary", (10, 50)), "canary at 10, 50 and then 100 %"),
        (RolloutPolicy("shadow"), "shadow, copies of 100 % of the requests, then 100 %"),
        (
            RolloutPolicy("shadow", (10,)),
            "shadow, copies of 100 % of the requests, then 10 and 100 %",
        ),
        (RolloutPolicy("ab_test", split=30), "A/B test at 30 %"),
        (RolloutPolicy("blue_green"), "blue/green, all at once, the version before kept warm"),
    ],
)
def test_a_strategy_is_said_in_a_few_words(policy, said):
    assert describe_strategy(policy) == said
