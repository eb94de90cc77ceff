"""Following the ledger: swaps, refusals, and the last good routing."""

from __future__ import annotations

import json
import logging
import shutil
from dataclasses import asdict

import pytest

from mlops_assets.adapters.journal import write_once
from mlops_assets.lifecycle.clearance import Override
from mlops_assets.lifecycle.rollout.state import CutOff
from mlops_assets.serving.routing import routing
from mlops_assets.serving.routing.cut_offs import read_pending


@pytest.fixture
def answers(request_body):
    """Which versions answer for a handful of entities."""

    def ask(server):
        replies = [server.infer(request_body([1.0], ["UA"], flight=[f"f{n}"])) for n in range(16)]
        return {
            r.json()["model_version"] if r.status_code == 200 else r.status_code for r in replies
        }

    return ask


def kept(world):
    return json.loads((world.settings.state / "routing.json").read_text())


def test_a_promotion_moves_all_requests(server, world, answers):
    assert answers(server) == {"v1"}
    world.train("v2")
    world.promote("v2")
    assert answers(server) == {"v1"}
    server.follow()
    assert answers(server) == {"v2"}


def test_a_rollout_shares_the_requests_and_its_end_takes_them_back(server, world, answers):
    world.train("v2")
    world.roll_out("v2", 50)
    server.follow()
    assert answers(server) == {"v1", "v2"}
    world.roll_out("v2", 0, "failed")
    server.follow()
    assert answers(server) == {"v1"}


def test_a_version_before_the_first_champion_is_loaded_and_answers_nothing(
    world, start, answers, request_body
):
    world.train("v1")
    world.roll_out("v1", 100, "initializing")
    server = start()
    assert answers(server) == {503}
    assert server.get("/versions/v1/ready").status_code == 200
    assert server.infer(request_body(), version="v1").status_code == 200


@pytest.mark.parametrize("outcome", [None, "failed", "inconclusive"])
def test_a_canary_without_a_verdict_that_passes_gets_no_requests(server, world, answers, outcome):
    world.train("v2", passed=False)
    if outcome:
        world.judge("v2", outcome)
    world.roll_out("v2", 100)
    server.follow()
    assert answers(server) == {"v1"}
    ready = server.get("/versions/v2/ready")
    assert ready.status_code == 503
    assert ready.json() == {"error": "no verdict lets it pass", "failed": True}


def test_an_overridden_version_answers_and_says_who_let_it_out(server, world, answers):
    # given a version whose gates failed, let out by hand
    world.train("v2", passed=False)
    world.judge("v2", "failed")
    override = Override(
        "the flight desk", "known and accepted", "2013-06-06T00:00:00+00:00", "p", 1
    )
    write_once(world.ledger, "override", "delays", world.digests["v2"], asdict(override), world.at)
    world.roll_out("v2", 100)

    # when the server has read so, then it answers, and says so where the version is shown
    server.follow()
    assert answers(server) == {"v2"}
    champion, canary = server.get("/routing").json()["targets"]
    assert "override" not in champion
    assert canary["override"] == (
        "overridden by the flight desk until 2013-06-06T00:00: known and accepted"
    )

    # when it is judged again, then the override is void
    world.judge("v2", "inconclusive")
    server.follow()
    assert answers(server) == {"v1"}


def test_a_verdict_that_is_taken_back_ends_the_requests(server, world, answers):
    world.train("v2")
    world.roll_out("v2", 100)
    server.follow()
    assert answers(server) == {"v2"}
    world.judge("v2", "failed")
    server.follow()
    assert answers(server) == {"v1"}


def test_a_champion_whose_verdict_is_taken_back_answers_nothing(server, world, answers):
    world.judge("v1", "failed")
    server.follow()
    assert answers(server) == {503}
    assert kept(world)["models"]["delays"]["targets"] == []


def test_a_canary_that_cannot_be_loaded_gets_no_requests(server, world, answers):
    digest = world.train("v2")
    shutil.rmtree(world.files.path(digest))
    world.roll_out("v2", 100)
    server.follow()
    assert answers(server) == {"v1"}
    ready = server.get("/versions/v2/ready").json()
    assert ready["failed"] is True
    assert "ArtifactError" in ready["error"]


def test_files_of_another_model_are_not_served(server, world, answers, signature):
    model, _ = world.files.load(world.digests["v1"])
    world.digests["v2"] = world.files.save(model, signature(model="other"))
    world.judge("v2", "passed")
    world.roll_out("v2", 100)
    server.follow()
    assert answers(server) == {"v1"}
    assert "trained as 'other'" in server.get("/versions/v2/ready").json()["error"]


def test_a_primary_that_cannot_be_loaded_leaves_the_previous_one(server, world, answers):
    digest = world.train("v2")
    world.files.path(digest).rename(world.root / "away")
    world.promote("v2")
    server.follow()
    assert answers(server) == {"v1"}
    assert server.client.get("/v2/health/ready").status_code == 200


def test_a_load_that_failed_is_tried_again_without_a_ledger_move(
    server, world, answers, monkeypatch
):
    digest = world.train("v2")
    world.files.path(digest).rename(world.root / "away")
    world.promote("v2")
    server.follow()
    (world.root / "away").rename(world.files.path(digest))
    server.follow()
    assert answers(server) == {"v1"}
    monkeypatch.setattr(routing, "REREAD_SECONDS", 0)
    server.follow()
    assert answers(server) == {"v2"}
    assert server.get("/versions/v2/ready").status_code == 200


def test_previous_versions_stay_warm_and_old_ones_go(server, world):
    for version in ("v2", "v3", "v4"):
        world.train(version)
        world.promote(version)
        server.follow()
    assert server.get().json()["versions"] == ["v2", "v3", "v4"]
    assert server.get("/versions/v3/ready").status_code == 200
    assert server.get("/versions/v1/ready").status_code == 404


def test_a_version_outside_of_the_routing_has_no_arm(server, world, request_body):
    world.train("v2")
    world.promote("v2")
    server.follow()
    assert server.infer(request_body(), version="v1").json()["parameters"] == {}
    (line,) = server.log()
    assert (line["version"], line["arm"], line["routed"]) == ("v1", None, False)


def test_what_is_served_is_kept_on_disk(server, world):
    world.train("v2")
    world.roll_out("v2", 30, mirror=40)
    server.follow()
    assert kept(world) == {
        "position": world.ledger.position(),
        "models": {
            "delays": {
                "model": "delays",
                "targets": [
                    {
                        "version": v,
                        "digest": world.digests[v],
                        "weight": weight,
                        "arm": arm,
                        "mirror": mirror,
                    }
                    for v, weight, arm, mirror in (
                        ("v1", 70, "primary", 0),
                        ("v2", 30, "canary", 40),
                    )
                ],
            }
        },
    }
    assert [path.name for path in world.settings.state.iterdir()] == ["routing.json"]


def test_a_start_without_the_ledger_serves_what_was_served(server, world, start, answers):
    world.train("v2")
    world.roll_out("v2", 50)
    server.follow()
    again = start(ledger=f"sqlite:///{world.settings.models}")
    assert answers(again) == {"v1", "v2"}
    assert "unable to open database" in again.get("/routing").json()["ledger_error"]
    assert again.client.get("/v2/health/ready").status_code == 200


def test_a_ledger_that_goes_away_changes_nothing_and_is_reported_once(
    server, world, answers, monkeypatch, caplog
):
    def away(_):
        raise ConnectionError("no route")

    caplog.set_level(logging.WARNING)
    with monkeypatch.context() as outage:
        outage.setattr(type(world.ledger), "position", away)
        for _ in range(3):
            server.follow()
        assert answers(server) == {"v1"}
        assert server.get("/routing").json()["ledger_error"] == "ConnectionError: no route"
    world.train("v2")
    world.promote("v2")
    server.follow()
    assert answers(server) == {"v2"}
    assert server.get("/routing").json()["ledger_error"] is None
    assert [record.getMessage() for record in caplog.records] == [
        "ledger: ConnectionError: no route",
        "ledger: can be read again",
    ]


def test_an_empty_ledger_in_place_of_a_lost_one_is_not_believed(server, world, start, answers):
    again = start(ledger=f"sqlite:///{world.root}/fresh.db")
    assert answers(again) == {"v1"}
    assert "rows never vanish" in again.get("/routing").json()["ledger_error"]


def test_the_ledger_has_the_last_word_over_what_is_on_disk(server, world, start, answers):
    world.train("v2")
    world.promote("v2")
    assert kept(world)["models"]["delays"]["targets"][0]["version"] == "v1"
    assert answers(start()) == {"v2"}


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"{}", b'{"position": 1, "models": {"delays": {}}}', b"\xff"]
)
def test_a_damaged_routing_file_is_replaced(world, start, answers, content):
    world.train("v1")
    world.promote("v1")
    world.settings.state.mkdir()
    (world.settings.state / "routing.json").write_bytes(content)
    assert answers(start()) == {"v1"}
    assert kept(world)["position"] == world.ledger.position()


def test_the_watch_goes_on_after_an_error_and_says_so_once(server, monkeypatch, caplog):
    calls = []

    def follow():
        calls.append(1)
        if len(calls) == 3:
            server.watch._stopped.set()
        raise RuntimeError("once in a while")

    monkeypatch.setattr(routing, "POLL_SECONDS", 0)
    monkeypatch.setattr(server.watch, "follow", follow)
    server.watch._run()
    assert len(calls) == 3
    assert [r.getMessage() for r in caplog.records] == [
        "the routing could not be brought up to date"
    ]


def test_a_watch_that_ends_keeps_the_cut_offs_it_could_not_deliver(server, world):
    server.watch._stopped.set()
    server.watch.cut_off("delays", CutOff("v2", "d2", "it failed"))
    server.watch._run()
    assert [*read_pending(world.settings.state / "cut_offs.json")] == [("delays", "d2")]
