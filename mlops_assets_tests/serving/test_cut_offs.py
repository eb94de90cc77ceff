"""Cut-offs: at once here, in the ledger as soon as it takes them, and after a restart."""

from __future__ import annotations

import logging
import threading

import pytest
from sqlalchemy.exc import OperationalError

from mlops_assets.adapters.journal import read_cut_off, write_cut_off
from mlops_assets.lifecycle.errors import LedgerConflict, RequestError
from mlops_assets.lifecycle.rollout.state import CutOff
from mlops_assets.serving.routing import routing
from mlops_assets.serving.routing.cut_offs import CutOffs, read_pending
from mlops_assets.serving.routing.routing import RoutingWatch
from mlops_assets.serving.routing.versions import Versions

CUT_OFF = CutOff("v2", "d2", "it failed")
LOCKED = OperationalError("INSERT", {}, Exception("database is locked"))


@pytest.fixture
def canary_server(world, start):
    world.train("v1")
    world.train("v2")
    world.promote("v1")
    world.roll_out("v2", 100)
    return start()


@pytest.fixture
def answers(request_body):
    def ask(server):
        replies = [server.infer(request_body([1.0], ["UA"])) for _ in range(5)]
        return {reply.json()["model_version"] for reply in replies}

    return ask


@pytest.fixture
def locked(monkeypatch):
    """The ledger takes no rows until the test says so; returns how often it was asked to."""
    tries = []

    def refuse(*_):
        tries.append(1)
        raise LOCKED

    monkeypatch.setattr(routing, "RETRY_SECONDS", 0)
    patch = pytest.MonkeyPatch()
    patch.setattr(routing, "write_cut_off", refuse)
    yield tries, patch
    patch.undo()


def cut(server, reason="it failed", by="the flight desk"):
    return server.answering.cut_off("delays", "v2", reason, by)


def in_ledger(world):
    return read_cut_off(world.ledger, "delays", world.digests["v2"])


def test_an_operator_cuts_a_canary_off_at_once(canary_server, world, answers):
    assert answers(canary_server) == {"v2"}
    said = cut(canary_server)
    assert answers(canary_server) == {"v1"}
    assert said == CutOff("v2", world.digests["v2"], "it failed", "the flight desk")
    assert canary_server.answering.cut_offs == 1
    canary_server.follow()
    assert in_ledger(world) == said


def test_cutting_off_twice_keeps_the_first_reason_and_one_row(canary_server, world):
    first = cut(canary_server)
    canary_server.follow()
    assert cut(canary_server, "another reason") == first
    canary_server.follow()
    assert len(world.ledger.history("cut_off", "delays")) == 1
    assert canary_server.answering.cut_offs == 1


def test_a_primary_is_not_cut_off(canary_server, answers):
    with pytest.raises(RequestError, match="answers by default") as refused:
        canary_server.answering.cut_off("delays", "v1", "no", "somebody")
    assert refused.value.status == 409
    assert "cut_off" not in canary_server.get("/routing").json()["targets"][0]


@pytest.mark.parametrize(("model", "version"), [("nix", "v2"), ("delays", "v9")])
def test_what_does_not_exist_is_not_cut_off(canary_server, model, version):
    with pytest.raises(RequestError) as refused:
        canary_server.answering.cut_off(model, version, "no", "somebody")
    assert refused.value.status == 404


def test_a_ledger_that_is_locked_hears_of_it_later(canary_server, world, answers, locked):
    tries, patch = locked
    cut(canary_server)
    for _ in range(3):
        canary_server.follow()
    assert len(tries) == 3
    assert "database is locked" in canary_server.get("/routing").json()["ledger_error"]
    assert answers(canary_server) == {"v1"}
    patch.undo()
    canary_server.follow()
    assert in_ledger(world).by == "the flight desk"
    assert canary_server.get("/routing").json()["ledger_error"] is None


def test_routing_is_followed_while_the_ledger_takes_no_cut_off(
    canary_server, world, answers, locked
):
    cut(canary_server)
    canary_server.follow()
    world.train("v3")
    world.promote("v3")
    canary_server.follow()
    assert answers(canary_server) == {"v3"}


def test_a_refused_cut_off_is_reported_once_and_not_offered_all_the_time(
    canary_server, locked, monkeypatch, caplog
):
    tries, _ = locked
    monkeypatch.setattr(routing, "RETRY_SECONDS", 3600)
    caplog.set_level(logging.WARNING)
    cut(canary_server)
    for _ in range(5):
        canary_server.follow()
    assert len(tries) == 1
    assert sum("database is locked" in record.getMessage() for record in caplog.records) == 1


def test_a_restart_without_the_ledger_keeps_the_version_out_and_tells_it_later(
    canary_server, world, start, answers, locked
):
    _, patch = locked
    cut(canary_server)
    canary_server.follow()
    again = start()
    assert answers(again) == {"v1"}
    assert in_ledger(world) is None
    assert again.get("/routing").json()["targets"][1]["cut_off"]["by"] == "the flight desk"
    patch.undo()
    again.follow()
    assert in_ledger(world).reason == "it failed"
    assert not (world.settings.state / "cut_offs.json").exists()


def test_a_restart_keeps_the_version_out_by_the_row_in_the_ledger(
    canary_server, world, start, answers
):
    cut(canary_server)
    canary_server.follow()
    again = start()
    assert answers(again) == {"v1"}
    target = again.get("/routing").json()["targets"][1]
    assert (target["weight"], target["cut_off"]["reason"]) == (0, "it failed")


def test_what_another_endpoint_cut_off_is_not_asked_here(canary_server, world, answers):
    said = CutOff("v2", world.digests["v2"], "it failed there")
    write_cut_off(world.ledger, "delays", said, world.at)
    canary_server.follow()
    assert answers(canary_server) == {"v1"}
    assert cut(canary_server) == said


@pytest.mark.parametrize("error", [None, LedgerConflict("somebody was first")])
def test_another_endpoint_that_is_first_makes_one_row(canary_server, world, monkeypatch, error):
    # given another endpoint that says the same between our reading and our writing
    said, deliver = CutOff("v2", world.digests["v2"], "it failed there"), CutOffs.deliver

    def beaten(cut_offs, write):
        write_cut_off(world.ledger, "delays", said, world.at)
        if error:
            raise error
        deliver(cut_offs, write)

    monkeypatch.setattr(CutOffs, "deliver", beaten)
    cut(canary_server)
    canary_server.follow()

    # when it is looked at again, then there is one row, and that is what is shown
    canary_server.follow()
    assert len(world.ledger.history("cut_off", "delays")) == 1
    assert canary_server.get("/routing").json()["ledger_error"] is None
    shown = canary_server.get("/routing").json()["targets"][1]["cut_off"]
    assert shown["reason"] == "it failed there"


def test_once_it_is_promoted_a_version_answers_whatever_was_cut_off(canary_server, world, answers):
    cut(canary_server)
    canary_server.follow()
    world.promote("v2")
    canary_server.follow()
    assert answers(canary_server) == {"v2"}
    assert "cut_off" not in canary_server.get("/routing").json()["targets"][0]


def test_what_is_pending_is_read_back_from_disk(tmp_path):
    file = tmp_path / "cut_offs.json"
    one = CutOffs(file)
    assert one.add("delays", CUT_OFF)
    assert not one.add("delays", CutOff("v2", "d2", "again"))
    one.save()
    assert read_pending(file) == {("delays", "d2"): CUT_OFF}
    other = CutOffs(file)
    assert other.pending
    assert other.digests("delays") == {"d2"}
    assert other.digests("fraud") == frozenset()
    other.learn("delays", CUT_OFF)
    other.save()
    assert not file.exists()
    assert other.find("delays", "d2") == CUT_OFF


def test_what_was_not_taken_is_offered_again(tmp_path):
    cut_offs, taken = CutOffs(tmp_path / "cut_offs.json"), []
    for number in range(3):
        cut_offs.add("delays", CutOff(f"v{number}", f"d{number}", "failed"))

    def take(_, cut_off):
        if cut_off.version == "v1" and not taken[1:]:
            taken.append("refused")
            raise LOCKED
        taken.append(cut_off.version)

    with pytest.raises(OperationalError):
        cut_offs.deliver(take)
    assert cut_offs.pending
    cut_offs.deliver(take)
    assert taken == ["v0", "refused", "v1", "v2"]
    assert not cut_offs.pending


@pytest.mark.parametrize(
    "content", [b"", b"{", b"{}", b"[[]]", b'[{"model": "delays"}]', b"[{}]", b"\xff"]
)
def test_a_damaged_file_is_not_used(tmp_path, content, caplog):
    (tmp_path / "cut_offs.json").write_bytes(content)
    assert not CutOffs(tmp_path / "cut_offs.json").pending
    assert "cut_offs.json is not used" in caplog.text


def test_the_watch_tells_the_ledger_from_its_own_thread(world):
    world.train("v1")
    world.train("v2")
    world.promote("v1")
    world.roll_out("v2", 50)
    watch = RoutingWatch(world.ledger, Versions(world.files), world.root / "routing.json")
    watch.start()
    pause = threading.Event()
    while not watch.routes:
        pause.wait(0.005)
    watch.cut_off("delays", CutOff("v2", world.digests["v2"], "it failed"))
    assert watch.routes["delays"].served.canary.weight == 0
    while not in_ledger(world):
        pause.wait(0.005)
    watch.stop()
    assert watch.routes["delays"].served.primary.weight == 100
