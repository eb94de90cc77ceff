"""The paths beside inference: health, metadata, routing, and what is not there."""

from __future__ import annotations

import os
from importlib.metadata import version

import pytest

from mlops_assets.serving.web.endpoints import EXTENSIONS


def test_the_server_describes_itself(server):
    assert server.client.get("/v2").json() == {
        "name": "mlops-assets",
        "version": version("mlops-assets"),
        "extensions": list(EXTENSIONS),
    }


def test_the_server_says_that_it_takes_binary_tensors():
    assert "binary_tensor_data" in EXTENSIONS


def test_live_tells_whose_server_this_is(server, world):
    assert server.client.get("/v2/health/live").json() == {
        "live": True,
        "pid": os.getpid(),
        "state": str(world.settings.state),
        "supervisor": None,
    }


def test_live_tells_by_whom_the_process_is_kept_alive(start):
    assert start(supervisor=77).client.get("/v2/health/live").json()["supervisor"] == 77


def test_a_server_without_models_is_ready(start):
    assert start().client.get("/v2/health/ready").json() == {"ready": True}


def test_a_server_is_live_but_not_ready_before_the_first_reading(start, world, request_body):
    world.train("v1")
    world.promote("v1")
    server = start(follow=False)
    assert server.client.get("/v2/health/live").status_code == 200
    for answer in (server.client.get("/v2/health/ready"), server.infer(request_body())):
        assert answer.status_code == 503
        assert answer.json() == {"error": "the routing is being read, try again"}
    server.follow()
    assert server.client.get("/v2/health/ready").status_code == 200
    assert server.infer(request_body()).status_code == 200


def test_a_server_whose_primary_cannot_be_loaded_is_not_ready(start, world, request_body):
    world.train("v1")
    world.promote("v1")
    (world.files.path(world.digests["v1"]) / "model.skops").write_bytes(b"changed")
    server = start()
    ready, answer = server.client.get("/v2/health/ready"), server.infer(request_body())
    assert (ready.status_code, answer.status_code) == (503, 503)
    assert "does not match its digest" in ready.json()["error"]


def test_a_model_that_is_not_promoted_yet_is_not_ready_but_keeps_nobody_else_from_it(start, world):
    world.train("v1")
    server = start()
    assert server.client.get("/v2/health/ready").status_code == 200
    answer = server.get("/ready")
    assert answer.status_code == 503
    assert answer.json() == {
        "error": "model 'delays' has no version that is ready: none was deployed yet"
    }


def test_the_metadata_of_a_model_says_what_to_send(server):
    described = server.get().json()
    assert described == {
        "name": "delays",
        "versions": ["v1"],
        "platform": "sklearn",
        "predictor": {"kind": "compiled", "reason": None},
        "inputs": [
            {"name": "distance", "datatype": "FP64", "shape": [-1]},
            {"name": "carrier", "datatype": "BYTES", "shape": [-1]},
            {"name": "flight", "datatype": "BYTES", "shape": [-1]},
            {"name": "departs_at", "datatype": "BYTES", "shape": [-1]},
        ],
        "outputs": [{"name": "probability", "datatype": "FP64", "shape": [-1]}],
    }
    assert server.get("/versions/v1").json() == described


def test_models_and_versions_are_ready_by_name(server):
    assert server.get("/ready").json() == {"name": "delays", "ready": True}
    assert server.get("/versions/v1/ready").json() == {
        "name": "delays",
        "version": "v1",
        "ready": True,
    }


def test_the_routing_is_there_for_people(server, world):
    world.train("v2")
    world.roll_out("v2", 30)
    world.files.path(world.digests["v2"]).rename(world.root / "away")
    server.follow()
    routing = server.get("/routing").json()
    first, second = routing["targets"]
    assert first == {
        "version": "v1",
        "digest": world.digests["v1"],
        "weight": 70,
        "arm": "primary",
        "mirror": 0,
        "loaded": True,
        "error": None,
        "predictor": {"kind": "compiled", "reason": None},
    }
    assert (second["version"], second["weight"], second["loaded"]) == ("v2", 30, False)
    assert "cannot be read" in second["error"]
    assert routing["served"] == [{"version": "v1", "weight": 100, "arm": "primary", "mirror": 0}]
    assert routing["warm"] == ["v1"]
    assert routing["ledger_error"] is None


@pytest.mark.parametrize("path", ["", "/ready", "/routing", "/versions/v1", "/versions/v1/ready"])
def test_an_unknown_model_is_a_404_with_the_one_that_was_meant(server, path):
    answer = server.client.get(f"/v2/models/delay{path}")
    assert answer.status_code == 404
    assert answer.json() == {"error": "model 'delay' does not exist; did you mean 'delays'?"}


def test_an_unknown_version_is_a_404(server, request_body):
    for answer in (
        server.get("/versions/v9"),
        server.get("/versions/v9/ready"),
        server.infer(request_body(), version="v9"),
    ):
        assert answer.status_code == 404
        assert answer.json() == {"error": "model 'delays' has no version 'v9' here, only v1"}


def test_an_unknown_model_is_a_404_for_inference_whatever_the_body(server):
    assert server.client.post("/v2/models/nix/infer", content=b"{").status_code == 404


@pytest.mark.parametrize(
    "path", ["/", "/v2/", "/v1", "/v1/models/", "/v2/models/", "/v2/models/delays/"]
)
def test_other_paths_are_a_404(server, path):
    answer = server.client.get(path)
    assert answer.status_code == 404
    assert answer.json() == {"error": f"GET {path}: not found"}


def test_head_answers_like_get(server):
    assert server.client.head("/v2/health/ready").status_code == 200
    assert server.client.head("/v2/models/nix").status_code == 404


def test_a_wrong_method_names_the_right_one(server):
    get = server.get("/infer")
    post = server.client.post("/v2/health/live")
    assert (get.status_code, get.headers["allow"]) == (405, "POST")
    assert (post.status_code, set(post.headers["allow"].split(", "))) == (405, {"GET", "HEAD"})
    assert "method not allowed" in get.json()["error"]


def test_an_error_of_the_server_shows_no_internals(server, monkeypatch):
    monkeypatch.setattr("mlops_assets.serving.routing.catalog.Catalog.check_ready", lambda _: 1 / 0)
    answer = server.client.get("/v2/health/ready")
    assert answer.status_code == 500
    assert answer.json() == {"error": "the server failed; its own log has the reason"}


def test_the_models_are_listed(start, world):
    server = start()
    assert server.client.get("/v2/models").json() == {"models": []}
    world.train("v1")
    world.promote("v1")
    server.follow()
    assert server.client.get("/v2/models").json() == {"models": ["delays"]}


@pytest.mark.parametrize(
    "path",
    ["/v2/models/delays/infer", "/v2/models/delays/versions/v1/infer", "/v1/models/delays:predict"],
)
@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "OPTIONS"])
def test_predictions_are_asked_for_by_post(server, path, method):
    answer = server.client.request(method, path)
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")
    assert method == "HEAD" or answer.json() == {"error": f"{method} {path}: method not allowed"}


def test_given_a_predictor_that_fails_unexpectedly_then_the_answer_shows_no_internals(
    server, request_body, monkeypatch, caplog
):
    monkeypatch.setattr(
        "mlops_assets.serving.answering.answering.Answering.infer", lambda *_: 1 / 0
    )
    answer = server.infer(request_body())
    assert answer.status_code == 500
    assert answer.json() == {"error": "the server failed; its own log has the reason"}
    assert "ZeroDivisionError" in caplog.text


class TestDraining:
    @pytest.fixture
    def draining(self, server):
        server.client.app.state.draining = True
        return server

    def test_the_server_is_not_ready_any_more_but_alive(self, draining):
        ready = draining.client.get("/v2/health/ready")
        assert ready.status_code == 503
        assert "leaving" in ready.json()["error"]
        assert draining.client.get("/v2/health/live").status_code == 200

    def test_predictions_are_still_answered(self, draining, request_body):
        assert draining.infer(request_body()).status_code == 200

    @pytest.mark.parametrize("path", ["/v2/health/live", "/v2/health/ready", "/nowhere", "/docs"])
    def test_every_answer_ends_its_connection(self, draining, path):
        assert draining.client.get(path).headers["connection"] == "close"

    def test_answers_to_predictions_do_too(self, draining, request_body):
        assert draining.infer(request_body()).headers["connection"] == "close"
        assert draining.infer({}).headers["connection"] == "close"

    def test_before_that_no_answer_does(self, server, request_body):
        assert "connection" not in server.infer(request_body()).headers
        assert "connection" not in server.client.get("/v2").headers


def test_when_the_log_fails_a_server_told_so_answers_all_the_same(world, start, request_body):
    world.train("v1")
    world.promote("v1")
    world.settings.log.write_text("a file where the folder should be")
    refusing, answering = start(), start(when_log_fails="answer")
    assert refusing.infer(request_body()).status_code == 503
    assert answering.infer(request_body()).status_code == 200
    assert "lost_log_lines_total 1.0" in answering.client.get("/metrics").text
