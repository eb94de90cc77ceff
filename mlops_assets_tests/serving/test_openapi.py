"""The description of the server: a valid document whose examples are answered when sent."""

from __future__ import annotations

import jsonschema
import pytest

from mlops_assets.serving.web.openapi import (
    DescribedModel,
    build_openapi,
    example_request,
    lower_to_3_0,
)

ROW = {"distance": 500.0, "carrier": "UA", "flight": "f1", "departs_at": "2013-06-01T12:00:00"}
PREDICTING = ("/v2/models/delays/infer", "/v1/models/delays:predict")


def asked(document, path):
    return document["paths"][path]["post"]["requestBody"]["content"]["application/json"]


def answered(document, path):
    answer = document["paths"][path]["post"]["responses"]["200"]
    return answer["content"]["application/json"]["schema"]


@pytest.fixture
def model(signature):
    return DescribedModel("delays", signature(), ROW)


@pytest.fixture
def document(model):
    return build_openapi([model])


@pytest.mark.parametrize("path", PREDICTING)
def test_the_example_of_a_served_model_is_answered_when_sent_as_it_is(server, path):
    document = server.client.get("/openapi.json").json()
    example = asked(document, path)["example"]
    jsonschema.validate(example, asked(document, path)["schema"])
    answer = server.client.post(path, json=example)
    assert answer.status_code == 200
    jsonschema.validate(answer.json(), answered(document, path))


def test_the_example_of_a_model_with_looked_up_features_says_what_may_be_left_out(signature):
    model = DescribedModel("delays", signature(), ROW, frozenset({"distance"}))
    schema = asked(build_openapi([model]), PREDICTING[1])["schema"]
    assert schema["properties"]["instances"]["items"]["required"] == ["carrier"]
    jsonschema.validate({"instances": [{"carrier": "UA"}]}, schema)


@pytest.mark.parametrize(("datatype", "value"), [("BYTES", "N1"), ("INT32", 7), ("FP64", None)])
def test_what_features_are_looked_up_by_may_be_a_text_or_a_number(signature, datatype, value):
    keys = frozenset({"tailnum", "carrier"})
    model = DescribedModel("delays", signature(), ROW, frozenset({"distance"}), keys)
    schema = asked(build_openapi([model]), PREDICTING[0])["schema"]
    request = example_request(model)
    tail = {"name": "tailnum", "shape": [1], "datatype": datatype, "data": [value]}
    request["inputs"] = [request["inputs"][1], tail]
    jsonschema.validate(request, schema)
    request["inputs"][0]["data"] = [7]
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(request, schema)


@pytest.mark.parametrize(
    "change",
    [
        {"name": "distanse"},
        {"datatype": "BYTES"},
        {"data": ["far"]},
        {"shape": ["1"]},
        {"data": 1.0},
    ],
)
def test_the_schema_refuses_what_the_server_refuses(document, model, server, change):
    request = example_request(model)
    schema = asked(document, PREDICTING[0])["schema"]
    jsonschema.validate(request, schema)
    request["inputs"][0] |= change
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(request, schema)
    assert server.infer(request).status_code == 400


def test_missing_values_are_in_the_schema(document, model):
    request = example_request(model)
    for tensor in request["inputs"]:
        tensor["data"] = [None]
    jsonschema.validate(request, asked(document, PREDICTING[0])["schema"])


def test_a_server_without_models_is_described_too(start):
    document = start().client.get("/openapi.json").json()
    assert document["openapi"] == "3.1.0"
    assert "/v2/health/ready" in document["paths"]
    assert not [path for path in document["paths"] if path.endswith(("/infer", ":predict"))]


def test_a_model_that_cannot_answer_yet_is_left_out(start, world):
    world.train("v1")
    world.roll_out("v1", 0, "initializing")
    assert PREDICTING[0] not in start().client.get("/openapi.json").json()["paths"]


def test_every_path_that_is_described_exists(server):
    document = server.client.get("/openapi.json").json()
    assert len(document["paths"]) >= 12
    for path, methods in document["paths"].items():
        real = path.format(model="delays", version="v1")
        for method in methods:
            assert server.client.request(method, real).status_code not in (404, 405, 500)


def test_changing_the_routing_is_described_with_its_token(document):
    operation = document["paths"]["/v2/models/{model}/versions/{version}/cut_off"]["post"]
    assert operation["security"] == [{"token": []}]
    assert {"401", "403"} <= set(operation["responses"])
    assert document["components"]["securitySchemes"]["token"]["scheme"] == "bearer"


def test_lowered_to_3_0_a_type_that_may_be_null_says_so_in_the_old_way():
    schema = {"openapi": "3.1.0", "a": [{"type": ["number", "null"]}, {"type": "string"}]}
    assert lower_to_3_0(schema) == {
        "openapi": "3.0.3",
        "a": [{"type": "number", "nullable": True}, {"type": "string"}],
    }


def test_lowered_to_3_0_nothing_but_types_changes(document):
    lowered = lower_to_3_0(document)
    assert lowered["paths"].keys() == document["paths"].keys()
    example = asked(document, PREDICTING[0])["example"]
    assert asked(lowered, PREDICTING[0])["example"] == example
    assert "null" not in str(lowered).replace("'nullable'", "")
