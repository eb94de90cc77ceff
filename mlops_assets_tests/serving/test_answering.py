"""Predictions through the application: who answers, what is logged, what a failure shows."""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import polars as pl
import pytest

from mlops_assets.lifecycle.training import predict_probability


def arm(answer):
    return answer.json()["parameters"]["arm"]


@pytest.fixture
def canary_server(world, start):
    """Champion v1 with canary v2 at 50 percent."""
    world.train("v1")
    world.train("v2")
    world.promote("v1")
    world.roll_out("v2", 50)
    return start()


@pytest.fixture
def fragile_server(world, start):
    """Champion v1 with a canary v2 that takes all requests and raises on a missing distance."""
    world.train("v1")
    world.train("v2", fragile=True)
    world.promote("v1")
    world.roll_out("v2", 100)
    return start()


def test_the_champion_answers_with_what_the_model_predicts(server, world, request_body):
    answer = server.infer(request_body([500.0, None], ["UA", None], id="r-1"))
    model, signature = world.files.load(world.digests["v1"])
    rows = pl.DataFrame({"distance": [500.0, None], "carrier": ["UA", None]})
    expected = predict_probability(model, rows, signature.features)
    assert answer.status_code == 200
    assert answer.json() == {
        "model_name": "delays",
        "model_version": "v1",
        "id": "r-1",
        "parameters": {"arm": "primary"},
        "outputs": [
            {"name": "probability", "datatype": "FP64", "shape": [2], "data": expected.tolist()}
        ],
    }


def test_an_id_is_made_when_none_came(server, request_body):
    ids = {server.infer(request_body()).json()["id"] for _ in range(3)}
    assert len(ids) == 3
    assert all(len(identity) == 32 for identity in ids)


def test_an_answered_prediction_is_in_the_log(server, world, request_body):
    server.infer(
        request_body(
            [500, None],
            [None, "DL"],
            flight=["f1", None],
            departs_at=["2013-06-01T10:00:00+02:00", None],
            id="r-1",
        )
    )
    (line,) = server.log()
    assert line.pop("milliseconds") > 0
    assert len(line.pop("probability")) == 2
    assert datetime.fromisoformat(line.pop("received_at")).utcoffset() is not None
    assert line == {
        "request_id": "r-1",
        "model": "delays",
        "version": "v1",
        "digest": world.digests["v1"],
        "arm": "primary",
        "routed": True,
        "status": "ok",
        "reason": None,
        "entity": ["f1", None],
        "time": ["2013-06-01T08:00:00.000000+00:00", None],
        "features": {"distance": [500.0, None], "carrier": [None, "DL"]},
        "unit": "f1",
        "canary": None,
        "weight": 0,
    }


def test_what_was_logged_reads_back_as_a_table(server, world, request_body):
    answer = server.infer(request_body(flight=["f1", "f2"], departs_at=["2013-06-01", None]))
    table = world.telemetry.predictions("delays")
    assert table["probability"].to_list() == answer.json()["outputs"][0]["data"]
    assert table["entity"].to_list() == ["f1", "f2"]
    assert table["time"].to_list() == [datetime(2013, 6, 1, tzinfo=UTC), None]
    assert table["carrier"].to_list() == ["UA", "DL"]


def test_a_refused_request_is_not_in_the_log(server, request_body):
    assert server.infer(request_body(carrier=[1, 2])).status_code == 400
    assert server.log() == []


def test_both_arms_answer_and_an_entity_keeps_its_arm(canary_server, request_body):
    def arms():
        return [
            arm(canary_server.infer(request_body([1.0], ["UA"], flight=[f"f{n}"])))
            for n in range(30)
        ]

    first = arms()
    assert set(first) == {"primary", "canary"}
    assert arms() == first


def test_the_request_id_decides_the_arm_when_no_entity_came(canary_server, request_body):
    def arms(**more):
        return [arm(canary_server.infer(request_body(id=f"r{n}", **more))) for n in range(30)]

    assert set(arms()) == {"primary", "canary"}
    assert arms() == arms(flight=[None, "f2"])
    assert len(set(arms(flight=["f1", "f2"]))) == 1


def test_a_growing_weight_keeps_the_canary_units(canary_server, world, request_body):
    def canary_units():
        return {
            n
            for n in range(40)
            if arm(canary_server.infer(request_body([1.0], ["UA"], flight=[f"f{n}"]))) == "canary"
        }

    before = canary_units()
    world.roll_out("v2", 80)
    canary_server.follow()
    after = canary_units()
    assert before < after


def test_a_canary_at_weight_0_answers_only_when_it_is_named(canary_server, world, request_body):
    world.roll_out("v2", 0, "initializing")
    canary_server.follow()
    arms = {arm(canary_server.infer(request_body(flight=[f"f{n}", None]))) for n in range(20)}
    named = canary_server.infer(request_body(), version="v2").json()
    assert arms == {"primary"}
    assert (named["model_version"], named["parameters"]) == ("v2", {"arm": "canary"})


def test_the_failure_of_a_canary_is_answered_by_the_primary(fragile_server, world, request_body):
    answer = fragile_server.infer(request_body([None], ["UA"], id="r-1"))
    assert answer.status_code == 200
    assert answer.json()["model_version"] == "v1"
    assert answer.json()["parameters"] == {"arm": "primary", "fallback": True}
    failed, answered = fragile_server.log()
    assert (failed["version"], failed["arm"], failed["status"]) == ("v2", "canary", "error")
    assert "ValueError" in failed["reason"]
    assert failed["probability"] is None
    assert (answered["version"], answered["arm"], answered["status"]) == ("v1", "primary", "ok")
    assert failed["request_id"] == answered["request_id"] == "r-1"


def test_a_line_says_what_the_request_was_assigned_in(canary_server, request_body):
    for number in range(20):
        canary_server.infer(request_body([1.0], ["UA"], flight=[f"f{number}"]))
    canary_server.infer(request_body(id="named"), version="v2")
    *routed, named = canary_server.log()
    assert {line["arm"] for line in routed} == {"primary", "canary"}
    assert {(line["canary"], line["weight"], line["routed"]) for line in routed} == {
        ("v2", 50, True)
    }
    assert {line["unit"] for line in routed} == {f"f{number}" for number in range(20)}
    assert (named["canary"], named["weight"], named["routed"]) == (None, 0, False)
    assert named["unit"] == "named"


def test_only_the_attempt_that_the_routing_chose_is_routed(fragile_server, request_body):
    for distance in (1.0, None):
        fragile_server.infer(request_body([distance], ["UA"]))
    lines = [(li["version"], li["status"], li["routed"]) for li in fragile_server.log()]
    assert lines == [("v2", "ok", True), ("v2", "error", True), ("v1", "ok", False)]
    assert {(li["canary"], li["weight"]) for li in fragile_server.log()} == {("v2", 100)}


def test_the_failure_of_a_primary_is_a_500_without_internals(world, start, request_body):
    world.train("v1", fragile=True)
    world.promote("v1")
    server = start()
    answer = server.infer(request_body([None], ["UA"], id="r-1"))
    assert answer.status_code == 500
    assert answer.json() == {
        "error": "delays v1 could not predict these rows; the prediction log has the reason "
        "under request r-1"
    }
    (line,) = server.log()
    assert (line["version"], line["arm"], line["status"]) == ("v1", "primary", "error")
    assert server.infer(request_body()).status_code == 200


def test_a_canary_may_take_an_input_that_the_champion_does_not_know(
    world, start, request_body, tensor
):
    world.train("v1")
    world.train_wider("v2")
    world.promote("v1")
    world.roll_out("v2", 100)
    server = start()
    without = server.infer(request_body())
    body = request_body()
    body["inputs"].append(tensor("gusts", [1.0, 2.0], "FP64"))
    assert without.json()["parameters"] == {"arm": "primary", "fallback": True}
    assert server.infer(body).json()["parameters"] == {"arm": "canary"}
    assert [sorted(line["features"]) for line in server.log()] == [
        ["carrier", "distance"],
        ["carrier", "distance"],
        ["carrier", "distance", "gusts"],
    ]


def test_health_answers_while_predictions_go_on(world, start, request_body, predict_by):
    entered, released = threading.Barrier(3, timeout=60), threading.Event()

    def slow(_, height):
        entered.wait()
        assert released.wait(60)
        return [0.5] * height

    predict_by("v1", slow)
    world.train("v1")
    world.promote("v1")
    server = start()
    with ThreadPoolExecutor() as pool:
        answers = [pool.submit(server.infer, request_body()) for _ in range(2)]
        entered.wait()
        assert server.client.get("/v2/health/live").status_code == 200
        released.set()
        assert [answer.result().status_code for answer in answers] == [200, 200]


@pytest.mark.parametrize("kind", ["compiled", "scikit-learn"])
def test_rows_come_back_in_order_whichever_way_they_are_predicted(
    world, start, request_body, predict_by, kind
):
    predict_by("v1", lambda columns, _: [value / 1000 for value in columns["distance"]], kind=kind)
    world.train("v1")
    world.promote("v1")
    server = start()
    for height in (1, 2, 300):
        numbers = list(range(height))
        answer = server.infer(request_body(numbers, ["UA"] * height)).json()
        assert answer["outputs"][0]["data"] == [number / 1000 for number in numbers]


def test_a_prediction_that_cannot_be_logged_is_not_acknowledged(server, world, request_body):
    world.settings.log.mkdir()
    (world.settings.log / "delays").write_text("a file where the folder should be")
    answer = server.infer(request_body())
    assert answer.status_code == 503
    assert "not acknowledged" in answer.json()["error"]
    assert "outputs" not in answer.json()


def test_a_full_disk_is_a_503_until_there_is_room_again(server, request_body, monkeypatch):
    server.infer(request_body(id="before"))
    with monkeypatch.context() as full:
        full.setattr(os, "write", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left")))
        answer = server.infer(request_body(id="lost"))
    assert answer.status_code == 503
    assert "No space left" in answer.json()["error"]
    assert server.infer(request_body(id="after")).status_code == 200
    assert [line["request_id"] for line in server.log()] == ["before", "after"]
