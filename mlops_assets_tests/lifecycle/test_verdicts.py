"""Verdicts: three outcomes, and inconclusive is never read as passed."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mlops_assets.lifecycle.verdicts import Verdict, combine

OUTCOMES = st.sampled_from(["passed", "failed", "inconclusive"])
VERDICTS = st.builds(
    Verdict, name=st.text("abc", min_size=1), outcome=OUTCOMES, reason=st.text("xyz")
)


@given(verdict=VERDICTS)
def test_only_the_outcome_passed_has_passed(verdict):
    assert verdict.passed == (verdict.outcome == "passed")


@given(verdicts=st.lists(VERDICTS))
def test_the_worst_outcome_decides_over_several(verdicts):
    outcomes = {verdict.outcome for verdict in verdicts}
    combined = combine("all_hold", verdicts)
    assert (combined.outcome == "failed") == ("failed" in outcomes)
    assert combined.passed == (outcomes == {"passed"})
    assert combined.name == "all_hold"


@given(verdicts=st.lists(VERDICTS, min_size=1))
def test_the_order_verdicts_come_in_does_not_change_the_outcome(verdicts):
    assert combine("x", verdicts).outcome == combine("x", reversed(verdicts)).outcome


def test_nothing_judged_is_inconclusive():
    assert combine("all_hold", []).outcome == "inconclusive"
    assert combine("all_hold", iter([])).reason == "nothing was judged"


def test_a_failure_names_each_verdict_to_blame_and_no_other():
    combined = combine(
        "all_hold",
        [
            Verdict("a_holds", "failed", "1 of 2"),
            Verdict("b_holds", "passed", "2 of 2"),
            Verdict("c_holds", "inconclusive", "too few"),
            Verdict("d_holds", "failed", "0 of 2"),
        ],
    )
    assert combined.reason == "a_holds: 1 of 2; d_holds: 0 of 2"
    assert combined.evidence == {"blamed": ["a_holds", "d_holds"]}


def test_without_a_failure_the_inconclusive_ones_are_named():
    combined = combine(
        "all_hold", [Verdict("b_holds", "passed", ""), Verdict("c_holds", "inconclusive", "few")]
    )
    assert (combined.outcome, combined.reason) == ("inconclusive", "c_holds: few")


def test_passed_says_how_many_were_judged():
    judged = [Verdict("a", "passed", ""), Verdict("b", "passed", "")]
    assert combine("x", judged).reason == "2 of 2 passed"


@given(verdicts=st.lists(VERDICTS, max_size=6), split=st.integers(0, 6))
def test_combining_in_two_stages_blocks_exactly_when_combining_at_once_does(verdicts, split):
    parts = [part for part in (verdicts[:split], verdicts[split:]) if part]
    staged = combine("x", [combine("part", part) for part in parts])
    assert staged.outcome == combine("x", verdicts).outcome
