"""Requests that leave out what the endpoint can look up."""

from __future__ import annotations

import pytest

from mlops_assets.adapters.online_tables import FolderOnlineTables
from mlops_assets.lifecycle.online import OnlineGroup, OnlineTable

AS_OF = "2013-06-01T00:00:00+00:00"


@pytest.fixture
def publish(world):
    """Makes ``gusts`` something that is looked up by ``tail``."""

    def table(rows, as_of=AS_OF):
        group = OnlineGroup(("tail",), ("gusts",), {(key,): (value,) for key, value in rows})
        FolderOnlineTables(world.root / "online").publish(
            OnlineTable("delays", as_of, "code", (group,))
        )

    return table


@pytest.fixture
def wide_server(world, start, publish):
    """Champion v1, which takes gusts."""
    publish([("N1", 3.0), ("N2", None)])
    world.train_wider("v1")
    world.promote("v1")
    return start(online=world.root / "online")


@pytest.fixture
def body(request_body, tensor):
    """A sound request for two rows, with tail or gusts if told so."""

    def make(tail=None, gusts=None):
        request = request_body()
        if tail:
            request["inputs"].append(tensor("tail", tail))
        if gusts:
            request["inputs"].append(tensor("gusts", gusts, "FP64"))
        return request

    return make


def test_what_is_left_out_is_looked_up_and_logged_as_used(wide_server, body):
    answer = wide_server.infer(body(tail=["N1", "unheard"])).json()
    sent = wide_server.infer(body(gusts=[3.0, None])).json()
    assert answer["parameters"] == {"arm": "primary", "features_as_of": AS_OF}
    assert answer["outputs"] == sent["outputs"]
    looked_up, given = wide_server.log()
    assert looked_up["features"] == given["features"]
    assert looked_up["features"]["gusts"] == [3.0, None]
    assert "tail" not in looked_up["features"]


def test_what_the_caller_sends_wins(wide_server, body):
    answer = wide_server.infer(body(tail=["N1", "N1"], gusts=[9.0, 8.0])).json()
    assert answer["parameters"] == {"arm": "primary"}
    assert wide_server.log()[0]["features"]["gusts"] == [9.0, 8.0]


def test_without_what_it_is_looked_up_by_nothing_is_guessed(wide_server, body):
    answer = wide_server.infer(body())
    assert answer.status_code == 400
    assert "missing input tail" in answer.json()["error"]
    assert wide_server.log() == []


def test_a_new_table_is_used_from_then_on(wide_server, body, publish, monkeypatch):
    from mlops_assets.serving.answering import online

    monkeypatch.setattr(online, "FOLLOW_SECONDS", 0)
    wide_server.infer(body(tail=["N1", "N1"]))
    publish([("N1", 7.0)], as_of="2013-06-02T00:00:00+00:00")
    wide_server.follow()
    answer = wide_server.infer(body(tail=["N1", "N1"])).json()
    assert answer["parameters"]["features_as_of"] == "2013-06-02T00:00:00+00:00"
    assert wide_server.log()[-1]["features"]["gusts"] == [7.0, 7.0]


def test_the_metadata_says_what_may_be_left_out(wide_server):
    described = wide_server.get().json()
    assert (described["looked_up"], described["looked_up_by"]) == (["gusts"], ["tail"])


def test_a_request_that_is_whole_for_the_primary_is_answered_whatever_a_canary_looks_up(
    world, start, body, publish
):
    # given a champion without gusts, and a canary that would look them up by a key nobody sends
    publish([("N1", 3.0)])
    world.train("v1")
    world.train_wider("v2")
    world.promote("v1")
    world.roll_out("v2", 100)
    server = start(online=world.root / "online")

    # when it is left out the primary answers, and when it comes the canary does
    left_out = server.infer(body()).json()
    sent = server.infer(body(tail=["N1", "N1"])).json()
    assert left_out["parameters"] == {"arm": "primary", "fallback": True}
    assert sent["parameters"] == {"arm": "canary", "features_as_of": AS_OF}
    failed, answered, canary = server.log()
    assert "v2 needs gusts" in failed["reason"]
    assert answered["features"].keys() == {"distance", "carrier"}
    assert canary["features"]["gusts"] == [3.0, 3.0]
