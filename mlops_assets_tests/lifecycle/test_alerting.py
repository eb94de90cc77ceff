"""The alerting rule: never twice for what lasts, nothing lost, all of a kind in one message."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_assets.lifecycle.alerting import (
    KINDS,
    MANY,
    OVER,
    SHOWN,
    AlertPolicy,
    Group,
    Occurrence,
    Told,
    hide_secrets,
    plan_alerts,
    write_message,
)

NOW = datetime(2013, 6, 5, 12, tzinfo=UTC)
POLICY = AlertPolicy(remind_after=24, pause=10)
LASTING = [kind for kind in KINDS if kind not in OVER]


def occurrence(subject="one", kind="run_failed", **values) -> Occurrence:
    said = {
        "model": "m",
        "group": "m__train",
        "title": f"{subject} failed",
        "detail": f"cause of {subject}",
        "link": f"http://ui/{subject}",
        "at": NOW,
    }
    return Occurrence(kind=kind, subject=subject, **{**said, **values})


class World:
    """Ticks one after the other: what is told is known to the next."""

    def __init__(self, policy=POLICY) -> None:
        self.policy, self.told, self.messages = policy, {}, []

    def tick(self, occurrences, minutes=0.0):
        now = NOW + timedelta(minutes=minutes)
        due = plan_alerts(occurrences, self.told, now, self.policy)
        for alert in due:
            self.told[alert.group] = alert.told
            self.messages.append(alert)
        return due


def subjects(alert):
    return [one.subject for one in alert.occurrences]


def test_fifty_failed_runs_of_a_job_are_one_message_with_their_count_and_the_first_causes():
    runs = [occurrence(f"r{n:02}", at=NOW + timedelta(seconds=n)) for n in range(50)]
    (alert,) = World().tick(list(reversed(runs)), 1)
    title, body = write_message(alert, POLICY)
    assert title == "50 runs of m__train failed"
    for shown in ("r00", "r01", "r02"):
        assert f"{shown} failed: cause of {shown}\nhttp://ui/{shown}" in body
    assert "r03" not in body
    assert body.endswith(f"and {50 - SHOWN} more")


def test_one_failed_run_is_told_by_its_own_title_cause_and_link():
    (alert,) = World().tick([occurrence()])
    assert write_message(alert, POLICY) == ("one failed", "cause of one\nhttp://ui/one")


def test_runs_of_two_jobs_are_two_messages():
    told = World().tick([occurrence(), occurrence("two", group="m__release")])
    assert [alert.group.name for alert in told] == ["m__release", "m__train"]


@pytest.mark.parametrize("kind", KINDS)
def test_what_was_told_is_not_told_again_while_it_lasts(kind):
    world = World()
    assert len(world.tick([occurrence(kind=kind)])) == 1
    for minutes in range(1, 24 * 60, 30):
        assert world.tick([occurrence(kind=kind)], minutes) == []


@pytest.mark.parametrize("kind", LASTING)
def test_after_a_day_what_still_lasts_is_told_again_and_says_so(kind):
    world = World()
    world.tick([occurrence(kind=kind)])
    (reminder,) = world.tick([occurrence(kind=kind)], 24 * 60)
    assert reminder.reminder
    assert "still: one failed" in write_message(reminder, POLICY)[0]
    assert world.tick([occurrence(kind=kind)], 24 * 60 + 30) == []


@pytest.mark.parametrize("kind", sorted(OVER))
def test_what_is_over_has_no_reminder(kind):
    world = World()
    world.tick([occurrence(kind=kind)])
    assert world.tick([occurrence(kind=kind)], 30 * 24 * 60) == []


@pytest.mark.parametrize("kind", LASTING)
def test_what_ended_and_came_back_is_told_again(kind):
    world = World()
    world.tick([occurrence(kind=kind)])
    assert world.tick([], 60) == []
    again = occurrence(kind=kind, at=NOW + timedelta(minutes=90))
    (alert,) = world.tick([again], 90)
    assert not alert.reminder


def test_more_of_a_group_waits_for_the_pause_and_comes_in_one_message():
    world, runs = World(), []
    for number in range(10):
        runs.append(occurrence(f"r{number}", at=NOW + timedelta(minutes=number)))
        world.tick(runs, number)
    assert [subjects(alert) for alert in world.messages] == [["r0"]]
    (rest,) = world.tick(runs, 10)
    assert subjects(rest) == [f"r{n}" for n in range(1, 10)]
    assert not rest.reminder


def test_a_new_one_comes_at_once_when_the_pause_is_over():
    world = World()
    world.tick([occurrence("one")])
    (alert,) = world.tick([occurrence("one"), occurrence("two")], 11)
    assert subjects(alert) == ["two"]


def test_the_most_urgent_comes_first_and_of_equals_the_oldest():
    found = [occurrence(kind, kind=kind) for kind in reversed(KINDS)]
    early = occurrence("early", group="a job", at=NOW - timedelta(hours=1))
    told = World().tick([*found, early])
    expected = list(KINDS)
    expected.insert(expected.index("run_failed"), "run_failed")
    assert [alert.group.kind for alert in told] == expected
    runs = [alert for alert in told if alert.group.kind == "run_failed"]
    assert [subjects(alert) for alert in runs] == [["early"], ["run_failed"]]


def test_kinds_that_are_not_asked_for_are_not_told():
    quiet = AlertPolicy(kinds=("data_bug",))
    told = World(quiet).tick([occurrence(kind=kind) for kind in KINDS])
    assert [alert.group.kind for alert in told] == ["data_bug"]


def test_a_bug_in_the_data_pages_and_nothing_else_does():
    titles = {
        kind: write_message(World().tick([occurrence(kind=kind)])[0], POLICY)[0] for kind in KINDS
    }
    assert [kind for kind, title in titles.items() if title.startswith("page: ")] == ["data_bug"]


def test_a_clock_that_was_ahead_holds_nothing_back():
    ahead = NOW + timedelta(days=300)
    lasts = occurrence(kind="stale")
    known = {lasts.key: Told(ahead, {lasts.identity: ahead})}
    assert plan_alerts([lasts], known, NOW, POLICY)
    new = occurrence("two", kind="stale")
    assert plan_alerts([new], known, NOW, POLICY)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_has_words_for_many_of_it(kind):
    (alert,) = World().tick([occurrence(str(n), kind=kind) for n in range(4)])
    title, _ = write_message(alert, POLICY)
    assert "4" in title
    assert "m__train" in title
    assert set(MANY) == set(KINDS)


def test_a_long_cause_is_cut_and_its_link_is_not():
    (alert,) = World().tick([occurrence(detail="x" * 5000)])
    body = write_message(alert, POLICY)[1]
    assert len(body) < 600
    assert body.endswith(" ...\nhttp://ui/one")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("postgresql://me:hunter2@host/db is away", "postgresql://***@host/db is away"),
        ("json://hunter2@host", "json://***@host"),
        ("AWS_SECRET=hunter2 is wrong", "AWS_SECRET=*** is wrong"),
        ("password: hunter2, user: me", "password: ***, user: me"),
        ("http://host/?api_key=hunter2&page=1", "http://host/?api_key=***&page=1"),
        ("{'api_key': 'hunter2', 'n': 3}", "{'api_key': ***, 'n': 3}"),
        ('{"password": "a hunter2"}', '{"password": ***}'),
        ("AWS_SECRET_ACCESS_KEY=hunter2", "AWS_SECRET_ACCESS_KEY=***"),
        ("SECRET_HASH_SEED: hunter2", "SECRET_HASH_SEED: ***"),
        ("Protocol=https;AccountKey=hunter2==", "Protocol=https;AccountKey=***"),
        ("x-api-key: hunter2", "x-api-key: ***"),
        ("Authorization: Bearer hunter2", "Authorization: Bearer ***"),
        ("Authorization: Basic hunter2==", "Authorization: Basic ***"),
        ("{'Authorization': 'Basic hunter2=='}", "{'Authorization': 'Basic ***'}"),
        ("authorization: hunter2", "authorization: ***"),
        (
            "https://me.blob.core.windows.net/x?sv=1&sig=hunter2%3D",
            "https://me.blob.core.windows.net/x?sv=1&sig=***",
        ),
        ("https://s3/x?X-Amz-Signature=hunter2&n=3", "https://s3/x?X-Amz-Signature=***&n=3"),
        ("passphrase: hunter2", "passphrase: ***"),
        ("credentials=hunter2", "credentials=***"),
        (r"{'password': 'it\'s hunter2', 'n': 3}", "{'password': ***, 'n': 3}"),
        (
            "-----BEGIN RSA PRIVATE KEY-----\nhunter2\n-----END RSA PRIVATE KEY-----",
            "-----BEGIN RSA PRIVATE KEY-----***-----END RSA PRIVATE KEY-----",
        ),
        ("basic features, authorization failed", "basic features, authorization failed"),
        ("signature: 3 of 4, design=2", "signature: 3 of 4, design=2"),
        ("train --db-password hunter2 --now", "train --db-password *** --now"),
        ("postgresql://me:x@hunter2@host/db", "postgresql://***@host/db"),
        ("postgresql://me:x/hunter2@host/db", "postgresql://***@host/db"),
        ("no secret here: 3 of 4", "no secret here: 3 of 4"),
        ("http://ui:3000/runs/me@home", "http://ui:3000/runs/me@home"),
        ("{'rows': 3, 'key': 'day'}", "{'rows': 3, 'key': 'day'}"),
        ("http://ui/runs/abc and me@example.org", "http://ui/runs/abc and me@example.org"),
    ],
)
def test_what_looks_like_a_secret_is_left_out(text, shown):
    assert hide_secrets(text) == shown
    (alert,) = World().tick([occurrence(detail=text, title=text)])
    assert "hunter2" not in " ".join(write_message(alert, POLICY))


def test_a_secret_that_is_cut_in_the_middle_is_left_out_too():
    (alert,) = World().tick([occurrence(detail="x" * 470 + " http://" + "hunter2" * 5 + "@host")])
    assert "hunter2" not in write_message(alert, POLICY)[1]


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"kinds": ("run_fail",)}, "kinds: unknown kind 'run_fail', allowed are data_bug, "),
        ({"pages": ("nobody",)}, "pages: unknown kind 'nobody'"),
        ({"remind_after": 0}, "remind_after must be above 0 hours, at most 1000000, got 0"),
        ({"remind_after": float("inf")}, "remind_after must be above 0 hours, at most 1000000"),
        ({"remind_after": float("nan")}, "at most 1000000, got nan"),
        ({"pause": -1}, "pause must not be negative, at most 1000000 minutes, got -1"),
        ({"pause": float("inf")}, "pause must not be negative, at most 1000000 minutes, got inf"),
        ({"pause": float("nan")}, "at most 1000000 minutes, got nan"),
    ],
)
def test_an_impossible_policy_is_refused(values, said):
    with pytest.raises(ValueError, match=said):
        AlertPolicy(**values)


STREAMS = st.lists(
    st.lists(
        st.tuples(
            st.sampled_from(["stale", "run_failed", "sensor_failed"]),
            st.sampled_from(["g1", "g2"]),
            st.integers(0, 5),
        ),
        max_size=8,
        unique=True,
    ),
    min_size=1,
    max_size=12,
)


def played(stream, minutes):
    """Ticks of a stream; each subject lasts from its first tick to its last."""
    world = World()
    last = {one: n for n, found in enumerate(stream) for one in found}
    first = {one: n for n, found in reversed(list(enumerate(stream))) for one in found}
    for number in range(len(stream)):
        going = [
            occurrence(str(subject), kind, group=group, at=NOW + timedelta(seconds=subject))
            for kind, group, subject in last
            if first[kind, group, subject] <= number <= last[kind, group, subject]
        ]
        world.tick(going, number * minutes)
    return world, last


@given(stream=STREAMS)
def test_whatever_lasts_is_told_at_most_once_within_a_day(stream):
    world, _ = played(stream, minutes=1)
    told = [(a.group, one.identity) for a in world.messages for one in a.occurrences]
    assert len(told) == len(set(told))


@given(stream=STREAMS)
def test_whatever_lasts_as_long_as_the_pause_is_told(stream):
    # given a last tick at which all that ever happened is still there, after every pause
    everything = list(dict.fromkeys(one for found in stream for one in found))
    world, known = played([*stream, *[everything] * 2], minutes=POLICY.pause + 1)
    told = {(a.group.kind, a.group.name, int(s)) for a in world.messages for s in subjects(a)}
    assert told == set(known)


@given(stream=STREAMS)
def test_the_counts_of_the_messages_add_up_to_what_happened(stream):
    everything = list(dict.fromkeys(one for found in stream for one in found))
    world, known = played([*stream, *[everything] * 2], minutes=POLICY.pause + 1)
    assert sum(len(alert.occurrences) for alert in world.messages) == len(known)
    assert all(len({one.key for one in alert.occurrences}) == 1 for alert in world.messages)


@given(order=st.permutations(range(6)), copies=st.integers(1, 3))
def test_neither_order_nor_repetition_of_what_was_gathered_changes_a_message(order, copies):
    found = [
        occurrence(str(n), group=f"g{n % 2}", at=NOW + timedelta(seconds=n % 3)) for n in range(6)
    ]
    plain = plan_alerts(found, {}, NOW, POLICY)
    assert plan_alerts([found[n] for n in order] * copies, {}, NOW, POLICY) == plain


def test_an_occurrence_without_a_group_is_its_own():
    alone = replace(occurrence("v3", kind="rollback"), group="")
    assert alone.key == Group("rollback", "m", "v3")
