"""Clearance: a verdict counts for what it was about, and a person answers only for so long."""

from __future__ import annotations

from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlops_assets.lifecycle.clearance import (
    SHORTEST_REASON,
    Bound,
    Clearance,
    Override,
    build_override,
    decide_clearance,
    require_person,
)
from mlops_assets.lifecycle.errors import RefusedError

NOW = datetime(2013, 6, 5, 12, 30, tzinfo=UTC)
BOUND = Bound("m" * 64, "t" * 64, "c" * 64, "p" * 64)
PASSED = {**asdict(BOUND), "outcome": "passed", "reason": "3 of 3 passed"}
FAILED = {**asdict(BOUND), "outcome": "failed", "reason": "auc 0.5"}
ANSWERED = Override(
    by="the flight desk",
    reason="the drop is known and accepted",
    expires=(NOW + timedelta(days=1)).isoformat(),
    policy=BOUND.policy,
    verdict=3,
)


def decide(verdict, override=None, *, bound=BOUND, sequence=3, now=NOW) -> Clearance:
    return decide_clearance("flights", bound, verdict, sequence, override, now)


def refusal(*arguments, **named) -> str:
    with pytest.raises(RefusedError) as refused:
        decide(*arguments, **named)
    return str(refused.value)


# --- the rule -----------------------------------------------------------------------------------

DIGESTS = st.sampled_from(["one", "two"])
BOUNDS = st.builds(Bound, DIGESTS, DIGESTS, DIGESTS, DIGESTS)
VERDICTS = st.none() | st.builds(
    lambda about, outcome: {**asdict(about), "outcome": outcome, "reason": "because"},
    BOUNDS,
    st.sampled_from(["passed", "failed", "inconclusive"]),
)
OVERRIDES = st.none() | st.builds(
    lambda hours, policy, verdict: replace(
        ANSWERED,
        expires=(NOW + timedelta(hours=hours)).isoformat(),
        policy=policy,
        verdict=verdict,
    ),
    st.integers(-3, 3),
    DIGESTS,
    st.integers(1, 3),
)


@settings(max_examples=400)
@given(bound=BOUNDS, verdict=VERDICTS, sequence=st.integers(1, 3), override=OVERRIDES)
def test_cleared_exactly_when_all_is_bound_and_it_passed_or_an_override_holds(
    bound, verdict, sequence, override
):
    holds = (
        override is not None
        and override.verdict == sequence
        and override.policy == bound.policy
        and datetime.fromisoformat(override.expires) > NOW
    )
    about = verdict is not None and all(verdict[key] == asdict(bound)[key] for key in asdict(bound))
    if about and verdict["outcome"] == "passed":
        cleared = decide(verdict, override, bound=bound, sequence=sequence)
        assert cleared == Clearance(bound, None)
    elif about and holds:
        cleared = decide(verdict, override, bound=bound, sequence=sequence)
        assert cleared == Clearance(bound, override)
    else:
        said = refusal(verdict, override, bound=bound, sequence=sequence)
        assert said.startswith(f"flights: model {bound.model[:12]} ")


@given(
    lasts=st.integers(1, 10_000),
    waited=st.integers(0, 20_000),
    offset=st.integers(-14 * 60, 14 * 60),
)
def test_an_override_never_outlives_its_end(lasts, waited, offset):
    zone = timezone(timedelta(minutes=offset))
    expires = (NOW + timedelta(minutes=lasts)).astimezone(zone).isoformat()
    made = build_override(
        "the flight desk", "known and accepted", expires, policy=BOUND.policy, verdict=3, now=NOW
    )
    later = NOW + timedelta(minutes=waited)
    if waited < lasts:
        assert decide(FAILED, made, now=later).override == made
    else:
        assert "its override by the flight desk expired" in refusal(FAILED, made, now=later)


@given(seen=st.integers(1, 20), later=st.integers(1, 20))
def test_an_override_never_outlives_a_newer_verdict(seen, later):
    made = replace(ANSWERED, verdict=seen)
    assert decide(FAILED, made, sequence=seen).override == made
    assert refusal(FAILED, made, sequence=seen + later).endswith("was judged failed: auc 0.5")


# --- what is said -------------------------------------------------------------------------------


def test_without_a_verdict_the_next_thing_to_do_is_said():
    assert refusal(None) == (
        f"flights: model {'m' * 12} has no verdict; materialize its evaluation first"
    )
    assert refusal(None, ANSWERED, sequence=0) == refusal(None)


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ("model", "on another model; materialize its evaluation again"),
        ("training_set", "on another training set; materialize its evaluation again"),
        ("code", "with another model.py than it was trained with; train and evaluate it again"),
        (
            "policy",
            "by other gates than defs.yaml states now; materialize its evaluation again",
        ),
    ],
)
def test_a_verdict_about_something_else_is_none_and_no_override_makes_it_one(key, said):
    for verdict in (PASSED, FAILED):
        for override in (None, ANSWERED):
            other = {**verdict, key: "f" * 64}
            assert refusal(other, override) == f"flights: model {'m' * 12} was judged {said}"
            del other[key]  # a row of an older version of the project
            assert refusal(other, override) == f"flights: model {'m' * 12} was judged {said}"


@pytest.mark.parametrize("outcome", ["failed", "inconclusive"])
def test_a_verdict_that_did_not_pass_is_said_with_its_reason(outcome):
    said = refusal({**FAILED, "outcome": outcome})
    assert said == f"flights: model {'m' * 12} was judged {outcome}: auc 0.5"


def test_an_override_that_has_ended_is_said_with_its_person_and_moment():
    assert refusal(FAILED, ANSWERED, now=NOW + timedelta(days=2)) == (
        f"flights: model {'m' * 12} was judged failed and its override by the flight desk expired "
        "2013-06-06T12:30: auc 0.5"
    )


def test_a_clearance_says_in_one_line_what_it_rests_on():
    assert decide(PASSED, ANSWERED).describe() == "passed its gates"
    assert decide(FAILED, ANSWERED).describe() == (
        "was overridden by the flight desk until 2013-06-06T12:30: the drop is known and accepted"
    )
    assert ANSWERED.describe() == decide(FAILED, ANSWERED).describe().removeprefix("was ")


# --- making an override -------------------------------------------------------------------------


def build(by="the flight desk", reason="known and accepted", expires="2013-06-06") -> Override:
    return build_override(by, reason, expires, policy="p", verdict=2, now=NOW)


@pytest.mark.parametrize(
    ("expires", "moment"),
    [
        ("2013-06-06", "2013-06-06T00:00:00+00:00"),
        ("2013-06-05T12:31", "2013-06-05T12:31:00+00:00"),
        ("2013-06-05 20:00:00", "2013-06-05T20:00:00+00:00"),
        ("2013-06-05T12:31Z", "2013-06-05T12:31:00+00:00"),
        ("2013-06-05T09:31-04:00", "2013-06-05T13:31:00+00:00"),
        ("9999-12-31", "9999-12-31T00:00:00+00:00"),
    ],
)
def test_the_end_of_an_override_is_kept_in_utc(expires, moment):
    assert build(expires=expires).expires == moment


@pytest.mark.parametrize("zone", ["America/New_York", "Asia/Kolkata"])
def test_an_end_without_an_offset_is_utc_whatever_zone_the_clock_is_in(zone):
    from zoneinfo import ZoneInfo

    made = build_override(
        "the flight desk",
        "known and accepted",
        "2013-06-06T00:00",
        policy="p",
        verdict=2,
        now=NOW.astimezone(ZoneInfo(zone)),
    )
    assert made.expires == "2013-06-06T00:00:00+00:00"


@pytest.mark.parametrize(
    "expires", ["", "soon", "tomorrow", "2013-13-01", "31.01.2026", "9999-12-31T23:59-05:00"]
)
def test_an_end_that_is_no_moment_is_refused_with_an_example(expires):
    with pytest.raises(RefusedError) as refused:
        build(expires=expires)
    assert str(refused.value) == (
        f"override: expires '{expires}' is no ISO 8601 moment, such as 2026-01-31T12:00"
    )


@pytest.mark.parametrize(
    "expires", ["2013-06-05", "2013-06-05T12:30", "2013-06-05T14:30+02:00", "1999-01-01"]
)
def test_an_end_that_is_not_ahead_is_refused(expires):
    with pytest.raises(RefusedError, match="has passed; name a later one"):
        build(expires=expires)


def test_an_override_keeps_what_was_seen_and_who_answers_for_it():
    made = build(by="  the flight desk ", reason=" known and accepted\n")
    assert asdict(made) == {
        "by": "the flight desk",
        "reason": "known and accepted",
        "expires": "2013-06-06T00:00:00+00:00",
        "policy": "p",
        "verdict": 2,
    }


def test_an_override_for_which_nobody_answers_is_refused():
    with pytest.raises(RefusedError, match="override: 'by' is empty; name the person"):
        build(by=" \t")
    with pytest.raises(RefusedError, match="override: reason 'because' is shorter than 10 char"):
        build(reason="because")


@given(by=st.text(max_size=4), reason=st.text(max_size=SHORTEST_REASON + 4))
def test_somebody_answers_for_it_when_there_is_a_name_and_a_reason_that_explains(by, reason):
    if by.strip() and len(reason.strip()) >= SHORTEST_REASON:
        assert require_person("approve", by, reason) == by.strip()
        return
    with pytest.raises(RefusedError, match=r"^approve: "):
        require_person("approve", by, reason)
