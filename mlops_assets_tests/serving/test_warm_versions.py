"""What stays loaded, and what the routing says of it: going back has to read no files."""

from __future__ import annotations

import pytest

from mlops_assets.adapters.journal import write_champion, write_once
from mlops_assets.lifecycle.rollout.state import Champion


@pytest.fixture
def answers(request_body):
    """Which versions answer for a handful of entities."""

    def ask(server):
        replies = [server.infer(request_body([1.0], ["UA"], flight=[f"f{n}"])) for n in range(16)]
        return {
            r.json()["model_version"] if r.status_code == 200 else r.status_code for r in replies
        }

    return ask


def count_loads(world, monkeypatch):
    """The digests whose files are read from here on."""
    loads, load = [], type(world.files).load

    def counted(files, digest):
        loads.append(digest)
        return load(files, digest)

    monkeypatch.setattr(type(world.files), "load", counted)
    return loads


def test_going_back_reads_no_files(server, world, answers, monkeypatch):
    world.train("v2")
    world.promote("v2")
    server.follow()
    loads = count_loads(world, monkeypatch)
    for version in ("v1", "v2", "v1"):
        world.promote(version)
        server.follow()
        assert answers(server) == {version}
    assert loads == []


def test_the_last_primary_stays_warm_through_any_number_of_failed_rollouts(
    server, world, answers, monkeypatch
):
    world.train("v2")
    world.promote("v2")
    server.follow()
    loads = count_loads(world, monkeypatch)
    for version in ("v3", "v4", "v5", "v6"):
        world.train(version)
        world.roll_out(version, 50)
        server.follow()
        world.roll_out(version, 0, "failed")
        server.follow()
    assert set(server.get().json()["versions"]) == {"v1", "v2", "v6"}
    world.promote("v1")
    server.follow()
    assert answers(server) == {"v1"}
    assert loads == [world.digests[version] for version in ("v3", "v4", "v5", "v6")]


def test_after_a_restart_the_last_primary_is_warm_again(server, world, start, answers, monkeypatch):
    world.train("v2")
    world.promote("v2")
    again = start(state=world.root / "another_state")
    assert again.get("/routing").json()["warm"] == ["v2", "v1"]
    loads = count_loads(world, monkeypatch)
    world.promote("v1")
    again.follow()
    assert (answers(again), loads) == ({"v1"}, [])


def test_the_last_primary_answers_nobody_once_its_verdict_is_taken_back(
    server, world, request_body
):
    world.train("v2")
    world.promote("v2")
    world.judge("v1", "failed")
    server.follow()
    assert server.infer(request_body(), version="v1").status_code == 503


def test_what_was_wrong_with_a_version_is_forgotten_while_it_is_tried_again(
    server, world, monkeypatch
):
    # given a canary that was refused for want of a verdict
    world.train("v2", passed=False)
    world.roll_out("v2", 50)
    server.follow()
    assert server.get("/versions/v2/ready").json()["failed"]

    # when it got one, then it is being loaded and not failed, whatever is loaded first
    world.judge("v2", "passed")
    seen, load = [], server.watch.versions.load

    def looked_at(model, target):
        seen.append(server.get("/versions/v2/ready").json())
        return load(model, target)

    monkeypatch.setattr(server.watch.versions, "load", looked_at)
    server.follow()
    assert seen
    assert not [answer for answer in seen if "failed" in answer]
    assert server.get("/versions/v2/ready").status_code == 200


def test_a_model_does_not_wait_for_the_files_of_another(server, world, answers, monkeypatch):
    # given two promotions, one of a version that is warm
    world.train("v2")
    world.promote("v2")
    server.follow()
    other = Champion("v1", "d" * 64, "2013-06-01")
    write_once(world.ledger, "verdict", "arrivals", other.digest, {"outcome": "passed"}, world.at)
    write_champion(world.ledger, "arrivals", other, world.at)
    world.promote("v1")

    # when the other one is being loaded, then the first is served already
    seen, load = [], type(world.files).load

    def slow(files, digest):
        seen.append(answers(server))
        return load(files, digest)

    monkeypatch.setattr(type(world.files), "load", slow)
    server.follow()
    assert seen == [{"v1"}]
    assert server.client.get("/v2/models/arrivals/ready").status_code == 503


def test_the_routing_says_how_each_version_predicts(server, world):
    world.train("v2")
    world.roll_out("v2", 0, mirror=25)
    server.follow()
    routing = server.get("/routing").json()
    assert [target["predictor"]["kind"] for target in routing["targets"]] == ["compiled"] * 2
    assert [target["mirror"] for target in routing["served"]] == [0, 25]
    assert server.get("/versions/v2").json()["predictor"] == {"kind": "compiled", "reason": None}


def test_a_version_that_is_not_compiled_says_why(world, start, predict_by):
    predict_by("v1", lambda _, height: [0.5] * height, reason="a forest is not compiled")
    world.train("v1")
    world.promote("v1")
    server = start()
    said = {"kind": "scikit-learn", "reason": "a forest is not compiled"}
    assert server.get().json()["predictor"] == said
    assert server.get("/routing").json()["targets"][0]["predictor"] == said


def test_what_is_looked_up_is_followed_with_the_routing(server):
    seen = []
    server.watch.also_follow(lambda models: seen.append(list(models)))
    server.follow()
    assert seen == [["delays"]]
