"""Telling people: at least once whatever fails, and not again once it is recorded."""

from __future__ import annotations

import signal
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from mlops_assets.adapters.alerts import FileAlerts
from mlops_assets.adapters.in_memory import FixedClock, InMemoryAlerts, InMemoryLedger
from mlops_assets.adapters.ports import Record
from mlops_assets.adapters.sql_ledger import SqlLedger
from mlops_assets.components.stages.alerts import read_told, tell
from mlops_assets.lifecycle.alerting import AlertPolicy, Occurrence
from mlops_assets.lifecycle.errors import EndpointError

NOW = datetime(2013, 6, 5, 12, tzinfo=UTC)
POLICY = AlertPolicy()


def occurrence(subject="one", kind="run_failed", group="", model="m") -> Occurrence:
    return Occurrence(kind, model, subject, f"{subject} failed", "why", "http://ui", NOW, group)


class Service(InMemoryAlerts):
    """A service that refuses the titles it is told to, and misses the addresses it is told to."""

    def __init__(self, refused=(), missed=()) -> None:
        super().__init__()
        self.refused, self.missed = refused, missed

    def send(self, title, body):
        if self.refused == "all" or title in self.refused:
            raise EndpointError(f"alerts: '{title}' could not be delivered to any address")
        super().send(title, body)
        return [f"alerts: '{title}' did not reach address {number}" for number in self.missed]

    @property
    def titles(self):
        return [title for title, _ in self.sent]


@pytest.fixture
def ledger():
    return InMemoryLedger()


def tick(ledger, alerts, *occurrences, minutes=0, explain=lambda one: one):
    clock = FixedClock(NOW + timedelta(minutes=minutes))
    return tell(occurrences, explain, ledger, alerts, clock, POLICY)


def test_what_is_told_is_recorded_and_not_told_again(ledger):
    alerts = Service()
    assert tick(ledger, alerts, occurrence()) == ["one failed"]
    assert tick(ledger, alerts, occurrence(), minutes=30) == []
    (row,) = ledger.history("alert", "m")
    assert row.subject == "run_failed/one"
    assert row.body["title"] == "one failed"
    assert row.at == NOW


def test_another_process_knows_what_was_told(tmp_path):
    url, alerts = f"sqlite:///{tmp_path / 'ledger.db'}", Service()
    tick(SqlLedger(url), alerts, occurrence())
    assert tick(SqlLedger(url), alerts, occurrence(), minutes=1) == []
    assert alerts.titles == ["one failed"]


def test_only_what_is_shown_is_explained(ledger):
    asked = []

    def explain(one):
        asked.append(one.subject)
        return replace(one, detail=f"explained {one.subject}")

    alerts = Service()
    found = [occurrence(f"r{n}", group="job") for n in range(50)]
    tick(ledger, alerts, *found, explain=explain)
    tick(ledger, alerts, *found, minutes=60, explain=explain)
    assert asked == ["r0", "r1", "r10"]
    assert "explained" in alerts.sent[0][1]


def test_when_nobody_can_be_reached_then_the_tick_fails_and_the_next_tells_all_of_it(ledger):
    away, back = Service(refused="all"), Service()
    found = [occurrence(str(n)) for n in range(4)]
    with pytest.raises(
        EndpointError, match=r"0 alert\(s\) sent; .*'0 failed' could not be delivered"
    ):
        tick(ledger, away, *found)
    assert ledger.history("alert", "m") == []
    tick(ledger, back, *found, minutes=1)
    assert sorted(back.titles) == [f"{n} failed" for n in range(4)]


def test_a_message_nobody_takes_does_not_keep_the_others_back(ledger):
    alerts = Service(refused=("one failed",))
    with pytest.raises(EndpointError, match=r"1 alert\(s\) sent; .*'one failed'"):
        tick(ledger, alerts, occurrence("one"), occurrence("two"))
    assert alerts.titles == ["two failed"]
    with pytest.raises(EndpointError, match=r"0 alert\(s\) sent"):
        tick(ledger, alerts, occurrence("one"), occurrence("two"), minutes=1)
    assert alerts.titles == ["two failed"]


def test_a_service_that_hangs_leaves_the_rest_to_the_next_tick(ledger):
    clock = FixedClock(NOW)

    class Slow(Service):
        def send(self, title, body):
            clock.at += timedelta(seconds=16)
            return super().send(title, body)

    alerts, found = Slow(), [occurrence(str(n)) for n in range(5)]
    with pytest.raises(EndpointError, match=r"2 alert.*the others have to wait for the next tick"):
        tell(found, lambda one: one, ledger, alerts, clock, POLICY)
    assert tick(ledger, Service(), *found, minutes=2) == ["2 failed", "3 failed", "4 failed"]


def test_an_address_that_misses_what_others_got_is_reported_and_nobody_gets_it_again(ledger):
    alerts = Service(missed=(2,))
    with pytest.raises(EndpointError, match=r"1 alert\(s\) sent; .* did not reach address 2"):
        tick(ledger, alerts, occurrence())
    assert tick(ledger, alerts, occurrence(), minutes=1) == []
    assert alerts.titles == ["one failed"]


def test_a_full_disk_is_a_service_that_is_away(ledger):
    class Full(InMemoryAlerts):
        def send(self, *_):
            raise OSError(28, "No space left on device")

    with pytest.raises(EndpointError, match="No space left on device"):
        tick(ledger, Full(), occurrence())
    assert read_told(ledger, [occurrence()]) == {}


def test_the_most_urgent_is_sent_first(ledger):
    alerts = Service()
    found = [occurrence(kind, kind) for kind in ("drift", "run_failed", "data_bug")]
    assert tick(ledger, alerts, *found) == [
        "page: data_bug failed",
        "run_failed failed",
        "drift failed",
    ]


def test_groups_of_two_models_are_known_apart(ledger):
    alerts = Service()
    tick(ledger, alerts, occurrence(model="m"))
    assert tick(ledger, alerts, occurrence(model="n"), minutes=1) == ["one failed"]
    assert len(read_told(ledger, [occurrence(model="m"), occurrence(model="n")])) == 2


def test_a_name_that_is_longer_than_a_column_is_known_all_the_same(ledger):
    long = occurrence("r", group="a" * 500)
    alerts = Service()
    tick(ledger, alerts, long)
    assert tick(ledger, alerts, long, minutes=60) == []


def test_what_was_known_of_others_in_the_group_stays_known(ledger):
    alerts = Service()
    one, two = (occurrence(name, "stale", "m") for name in ("one", "two"))
    tick(ledger, alerts, one)
    tick(ledger, alerts, one, two, minutes=60)
    assert alerts.titles == ["one failed", "two failed"]
    assert tick(ledger, alerts, one, two, minutes=120) == []


class Killed(BaseException):
    """The process ends here."""


class Interrupted(InMemoryLedger):
    """A ledger whose writer is killed before or after its next row is there."""

    def __init__(self, when: str) -> None:
        super().__init__()
        self.when: str | None = when

    def append(self, *records: Record):
        when, self.when = self.when, None
        if when == "before":
            raise Killed
        written = super().append(*records)
        if when == "after":
            raise Killed
        return written


@pytest.mark.parametrize(("when", "times"), [("before", 2), ("after", 1)])
def test_killed_between_sending_and_recording_it_is_told_twice_at_most_and_never_not(when, times):
    ledger, alerts = Interrupted(when), Service()
    with pytest.raises(Killed):
        tick(ledger, alerts, occurrence())
    for minutes in (1, 2, 3):
        tick(ledger, alerts, occurrence(), minutes=minutes)
    assert alerts.titles == ["one failed"] * times


def test_killed_while_sending_it_is_told_by_the_next_tick(ledger):
    class Stopped(InMemoryAlerts):
        def send(self, *_):
            raise Killed

    with pytest.raises(Killed):
        tick(ledger, Stopped(), occurrence())
    assert tick(ledger, Service(), occurrence(), minutes=1) == ["one failed"]


KILLED = """
import os, signal, sys
from datetime import datetime, UTC
from pathlib import Path
from mlops_assets.adapters.alerts import FileAlerts
from mlops_assets.adapters.in_memory import FixedClock
from mlops_assets.adapters.sql_ledger import SqlLedger
from mlops_assets.components.stages.alerts import tell
from mlops_assets.lifecycle.alerting import AlertPolicy, Occurrence

root, at = Path(sys.argv[1]), int(sys.argv[2])
now = datetime(2013, 6, 5, 12, tzinfo=UTC)
found = [Occurrence("run_failed", "m", str(n), f"{n} failed", "why", "", now) for n in range(6)]
sent = 0

class Alerts(FileAlerts):
    def send(self, title, body):
        global sent
        missed = super().send(title, body)
        sent += 1
        if sent == at:
            os.kill(os.getpid(), signal.SIGKILL)
        return missed

ledger = SqlLedger(f"sqlite:///{root / 'ledger.db'}")
tell(found, lambda one: one, ledger, Alerts(root / "alerts.jsonl"), FixedClock(now), AlertPolicy())
"""


def test_a_process_killed_after_sending_leaves_one_message_to_be_sent_again(tmp_path):
    for _ in range(2):
        done = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path), "2"], check=False)
        assert done.returncode == -signal.SIGKILL
    ledger = SqlLedger(f"sqlite:///{tmp_path / 'ledger.db'}")
    alerts = FileAlerts(tmp_path / "alerts.jsonl")
    tell(
        [occurrence(str(n)) for n in range(6)],
        lambda one: one,
        ledger,
        alerts,
        FixedClock(NOW),
        POLICY,
    )
    said = [line.split('"title": "')[1][0] for line in alerts.path.read_text().splitlines()]
    assert sorted(set(said)) == [str(n) for n in range(6)]
    assert len(said) == 6 + 2
