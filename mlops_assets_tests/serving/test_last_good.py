"""What the ledger says, and what is kept of it for a start without it."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_assets.adapters.in_memory import InMemoryLedger
from mlops_assets.adapters.journal import (
    NO_MODEL,
    read_routing,
    write_champion,
    write_cut_off,
    write_once,
    write_rollout,
)
from mlops_assets.lifecycle.rollout.state import (
    Champion,
    CutOff,
    RolloutState,
    Routing,
    Target,
)
from mlops_assets.serving.routing.last_good import LedgerReading, read_last_good, write_last_good
from mlops_assets.serving.routing.ledger_reading import read_ledger, read_previous_champion

AT = datetime(2013, 6, 1, tzinfo=UTC)


@pytest.fixture
def ledger():
    return InMemoryLedger()


def promote(ledger, *versions):
    for version in versions:
        write_champion(ledger, "delays", Champion(version, f"d-{version}", "2013-06-01"), AT)


def judge(ledger, version, outcome="passed"):
    write_once(ledger, "verdict", "delays", f"d-{version}", {"outcome": outcome}, AT)


def roll_out(ledger, version):
    state = RolloutState(
        version, f"d-{version}", "2013-06-01", "progressing", 0, 20, "", "test", mirror=10
    )
    write_rollout(ledger, "delays", state, AT)


def previous(ledger):
    found = read_previous_champion(ledger, "delays", read_routing(ledger, "delays"))
    return found.version if found else None


@pytest.mark.parametrize(
    ("promoted", "expected"),
    [
        ([], None),
        (["v1"], None),
        (["v1", "v2"], "v1"),
        (["v1", "v2", "v1"], "v2"),
        (["v1", "v2", "v3"], "v2"),
    ],
)
def test_the_previous_champion_is_the_last_one_that_is_another(ledger, promoted, expected):
    promote(ledger, *promoted)
    assert previous(ledger) == expected


@given(st.lists(st.sampled_from(["v1", "v2", "v3"]), max_size=8))
def test_the_previous_champion_is_never_the_present_one(promoted):
    ledger = InMemoryLedger()
    promote(ledger, *promoted)
    found = previous(ledger)
    assert (found is None) == (len(set(promoted)) < 2)
    assert not promoted or found != promoted[-1]


def test_a_reading_holds_all_that_the_routing_rests_on(ledger):
    promote(ledger, "v1", "v2")
    roll_out(ledger, "v3")
    for version in ("v1", "v3"):
        judge(ledger, version)
    judge(ledger, "v2", "failed")
    reading = read_ledger(ledger, 7, {})
    assert reading.position == 7
    assert reading.passed == {"d-v1", "d-v3"}
    assert reading.previous == {"delays": Target("v1", "d-v1", 0, "primary")}
    assert reading.routings["delays"].canary == Target("v3", "d-v3", 20, "canary", 10)
    assert reading.cut_offs == {}


def test_what_was_recorded_about_no_model_is_none_to_serve(ledger):
    promote(ledger, "v1")
    write_once(ledger, "alert", NO_MODEL, "a sensor failed", {"title": "..."}, AT)
    assert list(read_ledger(ledger, 1, {}).routings) == ["delays"]


def test_a_cut_off_takes_everything_from_its_version_and_from_no_other(ledger):
    promote(ledger, "v1")
    said = CutOff("v3", "d-v3", "it failed")
    write_cut_off(ledger, "delays", said, AT)
    roll_out(ledger, "v4")
    assert read_ledger(ledger, 1, {}).routings["delays"].canary.weight == 20
    roll_out(ledger, "v3")
    reading = read_ledger(ledger, 2, {})
    assert reading.cut_offs == {"delays": said}
    assert reading.routings["delays"].canary == Target("v3", "d-v3", 0, "canary", 0)
    assert reading.routings["delays"].primary.weight == 100


def test_what_answered_so_far_is_asked_about_too(ledger):
    promote(ledger, "v2")
    judge(ledger, "v1")
    so_far = Routing("delays", (Target("v1", "d-v1", 100, "primary"),))
    assert read_ledger(ledger, 1, {"delays": so_far}).passed == {"d-v1"}


@given(st.integers(0, 100), st.integers(0, 100), st.integers(0, 9))
def test_the_last_good_routing_reads_back(tmp_path_factory, weight, mirror, position):
    file = tmp_path_factory.mktemp("state") / "routing.json"
    routing = Routing(
        "delays",
        (
            Target("v1", "d1", 100 - weight, "primary"),
            Target("v2", "d2", weight, "canary", mirror),
        ),
    )
    good = LedgerReading(position, {"delays": routing}, frozenset({"d1", "d2"}))
    write_last_good(file, good)
    assert read_last_good(file) == good


def test_a_file_of_before_there_were_copies_is_read(tmp_path):
    file = tmp_path / "routing.json"
    file.write_text(
        '{"position": 3, "models": {"delays": {"model": "delays", "targets": '
        '[{"version": "v1", "digest": "d1", "weight": 100, "arm": "primary"}]}}}'
    )
    assert read_last_good(file).routings["delays"].primary.mirror == 0
