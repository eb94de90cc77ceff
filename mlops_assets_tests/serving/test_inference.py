"""Which paths ask for predictions, and what is left in an answer."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_assets.serving.web.inference import Call, find_call


@pytest.mark.parametrize(
    ("path", "call"),
    [
        ("/v2/models/m/infer", Call(2, "m", None)),
        ("/v2/models/m/versions/v3/infer", Call(2, "m", "v3")),
        ("/v1/models/m:predict", Call(1, "m", None)),
        ("/v1/models/a:b:predict", Call(1, "a:b", None)),
        ("/v2/models/infer/infer", Call(2, "infer", None)),
    ],
)
def test_a_path_that_asks_for_predictions_is_found(path, call):
    assert find_call(path) == call


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/",
        "/v2/models/infer",
        "/v2/models//infer",
        "/v2/models/m/infer/",
        "/v2/models/m/versions//infer",
        "/v2/models/m/versions/v1",
        "/v2/models/m/version/v1/infer",
        "/v2/models/m/versions/v1/x/infer",
        "/v2/model/m/infer",
        "/v1/models/m/infer",
        "/v1/models/:predict",
        "/v1/models/m:explain",
        "/v1/models/m/versions/v1:predict",
        "/v2/models/m:predict",
        "x/v2/models/m/infer",
    ],
)
def test_no_other_path_is(path):
    assert find_call(path) is None


NAMES = st.text(min_size=1).filter(lambda text: "/" not in text)


@given(model=NAMES, version=NAMES)
def test_every_name_without_a_slash_is_found_again(model, version):
    assert find_call(f"/v2/models/{model}/infer") == Call(2, model, None)
    assert find_call(f"/v2/models/{model}/versions/{version}/infer") == Call(2, model, version)
    assert find_call(f"/v1/models/{model}:predict") == Call(1, model, None)


def test_an_id_comes_back_as_it_was_sent(server, request_body):
    for identity in ("a", "", "x" * 200, "ümlaut \U0001f600", "\u0000"):
        assert server.infer(request_body(id=identity)).json()["id"] == identity


def test_without_an_id_each_answer_gets_one_of_its_own(server, request_body):
    first, second = (server.infer(request_body()).json()["id"] for _ in range(2))
    assert first
    assert first != second


def test_an_answer_names_model_version_and_arm(server, request_body):
    answer = server.infer(request_body()).json()
    assert set(answer) == {"model_name", "model_version", "id", "parameters", "outputs"}
    assert (answer["model_name"], answer["model_version"]) == ("delays", "v1")
    assert answer["parameters"] == {"arm": "primary"}
    (output,) = answer["outputs"]
    assert (output["name"], output["datatype"], output["shape"]) == ("probability", "FP64", [2])


def test_what_is_refused_is_counted_by_status(server, request_body):
    server.infer({})
    server.infer({})
    server.infer(request_body(), version="v9")
    page = server.client.get("/metrics").text
    assert 'mlops_assets_refused_total{status="400"} 2.0' in page
    assert 'mlops_assets_refused_total{status="404"} 1.0' in page
