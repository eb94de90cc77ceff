"""What the ledger has to tell: bugs in the data, drift that persists, rollouts that failed."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime, timedelta

import pytest

from mlops_assets.adapters.dagster_ui import DagsterUi
from mlops_assets.adapters.in_memory import InMemoryLedger
from mlops_assets.adapters.journal import (
    write_champion,
    write_cut_off,
    write_once,
    write_rollout,
)
from mlops_assets.components.stages.occurrences import Persistence, find_recorded_occurrences
from mlops_assets.lifecycle.retraining.decision import RetrainingDecision
from mlops_assets.lifecycle.rollout.state import Champion, CutOff, RolloutState
from mlops_assets.lifecycle.triage import Triage

NOW = datetime(2013, 6, 5, 12, tzinfo=UTC)
UI = DagsterUi("http://ui")
WEEKS = [f"2013-05-{day:02}" for day in (6, 13, 20, 27)]


class Books:
    """A ledger of one model whose clock goes on by an hour with each row."""

    def __init__(self) -> None:
        self.ledger, self.at = InMemoryLedger(), NOW
        self.crown("v1")

    def later(self) -> datetime:
        self.at += timedelta(hours=1)
        return self.at

    def crown(self, version: str) -> None:
        champion = Champion(version, version, "2013-03-04", "it was v2's fault")
        write_champion(self.ledger, "m", champion, self.later())

    def drift(self, partition, outcome="failed", version="v1", cause=None) -> datetime:
        body = {"version": version, "outcome": outcome, "reason": f"{outcome} in {partition}"}
        if cause:
            body["triage"] = asdict(Triage(cause, f"{cause} in {partition}"))
        write_once(self.ledger, "drift", "m", partition, body, self.later())
        return self.at

    def rollout(self, phase, version="v2", reason="too many errors") -> datetime:
        state = RolloutState(
            version=version,
            digest=version,
            train_as_of="2013-05-06",
            phase=phase,
            step=0,
            weight=0,
            since=self.later().isoformat(),
            reason=reason,
        )
        write_rollout(self.ledger, "m", state, self.at)
        return self.at

    def found(self, kind, since=NOW, **persistence):
        told = find_recorded_occurrences(
            self.ledger,
            "m",
            UI,
            since,
            Persistence(**persistence) if persistence else Persistence(),
        )
        return [one for one in told if one.kind == kind]


@pytest.fixture
def books() -> Books:
    return Books()


def test_an_empty_ledger_has_nothing_to_tell():
    assert find_recorded_occurrences(InMemoryLedger(), "m", UI, NOW, Persistence()) == []


@pytest.mark.parametrize(
    ("outcomes", "told"),
    [
        ("f", False),
        ("ff", True),
        ("fpf", True),
        ("ffp", False),
        ("fppf", False),
        ("pff", True),
        ("ppp", False),
        ("if", False),
        ("fif", True),
        ("ffi", True),
    ],
)
def test_a_drift_is_told_once_two_of_three_windows_have_it_the_newest_among_them(
    books, outcomes, told
):
    words = {"f": "failed", "p": "passed", "i": "inconclusive"}
    for partition, letter in zip(WEEKS, outcomes, strict=False):
        books.drift(partition, words[letter])
    assert bool(books.found("drift")) is told


def test_a_drift_names_version_window_and_reason_and_leads_to_the_newest_report(books):
    first = books.drift(WEEKS[0])
    books.drift(WEEKS[1])
    (found,) = books.found("drift")
    assert found.title == "m v1: its reference no longer holds"
    assert found.detail == f"since {WEEKS[0]}; {WEEKS[1]}: failed in {WEEKS[1]}"
    assert found.link == f"http://ui/assets/m/drift_report?view=partitions&partition={WEEKS[1]}"
    assert found.at == first


def test_a_drift_that_goes_on_stays_the_same_and_one_that_comes_back_is_another(books):
    for partition in WEEKS[:2]:
        books.drift(partition)
    (first,) = books.found("drift")
    books.drift(WEEKS[2])
    (later,) = books.found("drift")
    assert later.identity == first.identity
    books.drift(WEEKS[3], "passed")
    assert books.found("drift") == []
    for partition in ("2013-06-03", "2013-06-10"):
        books.drift(partition)
    (again,) = books.found("drift")
    assert (again.key, again.identity != first.identity) == (first.key, True)


@pytest.mark.parametrize("order", [(2, 3, 1, 0), (3, 2, 1, 0), (1, 3, 0, 2)])
def test_windows_that_are_reported_in_another_order_are_one_drift(books, order):
    told = set()
    for week in order:
        books.drift(WEEKS[week])
        told |= {(found.key, found.identity) for found in books.found("drift")}
    assert len(told) == 1


def test_a_window_that_could_not_be_judged_does_not_make_a_drift_another(books):
    for partition in WEEKS[:2]:
        books.drift(partition)
    (first,) = books.found("drift")
    books.drift(WEEKS[2], "inconclusive")
    books.drift(WEEKS[3])
    assert [found.identity for found in books.found("drift")] == [first.identity]


def test_a_drift_that_ended_and_came_back_as_its_window_was_measured_again_is_another(books):
    for partition in WEEKS[:2]:
        books.drift(partition)
    (first,) = books.found("drift")
    for outcome in ("passed", "failed"):
        for partition in WEEKS[:2]:
            books.drift(partition, outcome)
    (again,) = books.found("drift")
    assert again.identity != first.identity


def test_windows_of_another_version_do_not_count(books):
    for partition in WEEKS[:2]:
        books.drift(partition)
    books.crown("v2")
    assert books.found("drift") == []
    books.drift(WEEKS[2], version="v2")
    assert books.found("drift") == []


def test_a_window_whose_data_is_broken_is_a_bug_and_no_drift(books):
    books.drift(WEEKS[0])
    books.drift(WEEKS[1], cause="data_bug")
    assert books.found("drift") == []
    (bug,) = books.found("data_bug")
    assert bug.subject == WEEKS[1]
    assert bug.title == f"m {WEEKS[1]}: the data is broken"
    assert bug.detail == f"data_bug in {WEEKS[1]}"
    assert bug.link.endswith(f"/assets/m/drift_report?view=partitions&partition={WEEKS[1]}")


def test_a_bug_that_was_repaired_is_over_and_one_that_is_back_is_another(books):
    books.drift(WEEKS[0], cause="data_bug")
    (first,) = books.found("data_bug")
    books.drift(WEEKS[0], "passed", cause="nothing")
    assert books.found("data_bug") == []
    books.drift(WEEKS[0], cause="data_bug")
    (again,) = books.found("data_bug")
    assert again.identity != first.identity


def test_a_bug_that_is_measured_again_is_the_same(books):
    books.drift(WEEKS[0], cause="data_bug")
    books.drift(WEEKS[0], "passed", cause="data_bug")
    (bug,) = books.found("data_bug")
    assert bug.at == NOW + timedelta(hours=2)


@pytest.mark.parametrize("cause", ["covariate_drift", "concept_drift", "nothing", None])
def test_no_other_cause_is_a_bug(books, cause):
    books.drift(WEEKS[0], cause=cause)
    assert books.found("data_bug") == []


def test_a_rollout_that_failed_is_told_once_with_its_reason(books):
    books.rollout("progressing")
    at = books.rollout("failed")
    books.rollout("failed", reason="said again")
    (found,) = books.found("rollback")
    assert (found.title, found.detail, found.at) == (
        "m: the rollout of v2 failed",
        "too many errors",
        at,
    )
    assert found.link == "http://ui/assets/m/deployment?view=partitions&partition=v2"


def test_every_rollout_that_failed_is_told(books):
    for version in ("v2", "v3"):
        books.rollout("progressing", version)
        books.rollout("failed", version)
    assert [found.key.name for found in books.found("rollback")] == ["m v2", "m v3"]


@pytest.mark.parametrize("phase", ["initializing", "progressing", "succeeded"])
def test_a_rollout_that_goes_on_or_ended_well_is_not_told(books, phase):
    books.rollout(phase)
    assert books.found("rollback") == []


def test_a_version_that_was_cut_off_is_told_together_with_its_rollout(books):
    write_cut_off(books.ledger, "m", CutOff("v2", "v2", "5 of 5 failed"), books.later())
    books.rollout("failed")
    cut, failed = sorted(books.found("rollback"), key=lambda one: one.at)
    assert (cut.title, cut.detail) == ("m: v2 was cut off", "5 of 5 failed")
    assert cut.key == failed.key


def test_a_champion_in_whose_place_an_earlier_one_serves_again_is_told(books):
    books.crown("v2")
    assert books.found("rollback") == []
    books.crown("v1")
    at = books.at
    books.crown("v3")
    (found,) = books.found("rollback")
    assert (found.title, found.detail) == ("m: v1 serves again instead of v2", "it was v2's fault")
    assert (found.key.name, found.at) == ("m v2", at)
    assert found.link == "http://ui/assets/m/deployment?view=partitions&partition=v2"
    assert books.found("rollback", since=at + timedelta(minutes=1)) == []


def test_a_training_that_is_asked_for_is_told_and_a_skip_is_not(books):
    for window, action in zip(WEEKS, ("skip", "retrain"), strict=False):
        decision = RetrainingDecision(action, f"{action} it", window, "2013-05-20")
        write_once(books.ledger, "retraining", "m", window, asdict(decision), books.later())
    (found,) = books.found("retraining")
    assert found.subject == WEEKS[1]
    assert found.title == "m: a training as of 2013-05-20 is asked for"
    assert found.detail == "retrain it"
    assert found.link.endswith(
        f"/assets/m/retraining_decision?view=partitions&partition={WEEKS[1]}"
    )


@pytest.mark.parametrize("kind", ["data_bug", "drift", "rollback", "retraining"])
def test_what_is_long_past_is_not_told(books, kind):
    books.drift(WEEKS[0])
    books.drift(WEEKS[1])
    books.drift(WEEKS[2], cause="data_bug")
    books.rollout("failed")
    write_cut_off(books.ledger, "m", CutOff("v2", "v2", "5 of 5 failed"), books.later())
    asked = asdict(RetrainingDecision("retrain", "it", WEEKS[0], "2013-05-20"))
    write_once(books.ledger, "retraining", "m", WEEKS[0], asked, books.later())
    assert books.found(kind)
    assert books.found(kind, since=books.later()) == []


@pytest.mark.parametrize(("windows", "violated"), [(3, 4), (3, 0), (0, 0)])
def test_an_impossible_persistence_is_refused(windows, violated):
    with pytest.raises(ValueError, match="violated must lie between 1 and windows"):
        Persistence(windows, violated)


def test_with_one_window_needed_the_first_drift_is_told(books):
    books.drift(WEEKS[0])
    assert books.found("drift", windows=1, violated=1)
