"""KServe's v1 protocol, where a server has it."""

from __future__ import annotations

import pytest

from mlops_assets_tests.conformance.endpoint import check_refusal


@pytest.fixture(autouse=True)
def has_v1(endpoint):
    if endpoint.get(f"/v1/models/{endpoint.model}").status_code == 404:
        pytest.skip("the server has no v1 protocol")


def objects(endpoint, rows=2):
    return [{given.name: given.row[0] for given in endpoint.template.inputs}] * rows


def predict(endpoint, body, **options):
    path = f"/v1/models/{endpoint.model}:predict"
    if body is None:
        return endpoint.client.post(path, **options)
    return endpoint.client.post(path, json=body)


def test_the_models_are_listed(endpoint):
    assert endpoint.model in endpoint.get("/v1/models").json()["models"]


def test_the_model_is_ready(endpoint):
    content = endpoint.get(f"/v1/models/{endpoint.model}").json()
    assert content["name"] == endpoint.model
    assert str(content["ready"]) == "True"


@pytest.mark.parametrize("rows", [1, 2, 50])
def test_each_instance_is_predicted(endpoint, rows):
    answer = predict(endpoint, {"instances": objects(endpoint, rows)})
    assert answer.status_code == 200
    assert len(answer.json()["predictions"]) == rows


def test_predictions_are_those_of_v2(endpoint):
    answer = predict(endpoint, {"instances": objects(endpoint)})
    expected = endpoint.outputs(endpoint.template.request(2))[0]["data"]
    assert answer.json()["predictions"] == expected


@pytest.mark.parametrize(
    "body",
    [
        {},
        [],
        {"instances": None},
        {"instances": 7},
        {"instances": {}},
        {"instances": "x"},
        {"instances": [7, {}]},
        {"instances": [{}]},
    ],
    ids=str,
)
def test_a_body_that_is_no_request(endpoint, body):
    check_refusal(predict(endpoint, body))


@pytest.mark.parametrize("content", [b"", b"{", b"\xff", b"[" * 100_000], ids=lambda c: repr(c)[:8])
def test_a_body_that_is_no_json(endpoint, content):
    headers = {"content-type": "application/json"}
    check_refusal(predict(endpoint, None, content=content, headers=headers))


def test_an_instance_that_lacks_a_feature(endpoint):
    row = objects(endpoint, 1)[0]
    del row[endpoint.template.first.name]
    check_refusal(predict(endpoint, {"instances": [row]}))


def test_a_number_that_is_none(endpoint, numeric):
    row = {**objects(endpoint, 1)[0], numeric: "far"}
    check_refusal(predict(endpoint, {"instances": [row]}))


def test_an_unknown_model(endpoint):
    check_refusal(endpoint.get("/v1/models/no-such-model"))
    body = {"instances": objects(endpoint)}
    check_refusal(endpoint.client.post("/v1/models/no-such-model:predict", json=body))


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_predictions_are_asked_for_by_post_alone(endpoint, method):
    path = f"/v1/models/{endpoint.model}:predict"
    assert endpoint.client.request(method, path).status_code in (404, 405)


@pytest.mark.extension
def test_instances_may_be_lists_in_the_order_of_the_inputs(endpoint):
    rows = [list(row.values()) for row in objects(endpoint)]
    expected = predict(endpoint, {"instances": objects(endpoint)}).json()
    assert predict(endpoint, {"instances": rows}).json() == expected


@pytest.mark.extension
def test_columns_may_be_sent_instead(endpoint):
    columns = {given.name: [given.row[0]] * 2 for given in endpoint.template.inputs}
    expected = predict(endpoint, {"instances": objects(endpoint)}).json()
    assert predict(endpoint, {"inputs": columns}).json() == expected
