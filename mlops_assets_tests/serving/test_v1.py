"""KServe's v1 protocol: rows or columns, the same answers, errors, limits and log as v2."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_assets.lifecycle.errors import RequestError
from mlops_assets.serving.web.v1 import decode_instances

TYPES = {"distance": "FP64", "carrier": "BYTES", "flight": "BYTES", "departs_at": "BYTES"}
OBJECTS = [{"distance": 500.0, "carrier": "UA"}, {"distance": 700.0, "carrier": "DL"}]
LISTS = [[500.0, "UA"], [700.0, "DL"]]
COLUMNS = {"distance": [500.0, 700.0], "carrier": ["UA", "DL"]}


@pytest.fixture
def predict(server):
    return lambda body: server.client.post("/v1/models/delays:predict", json=body)


def decode(body, max_rows=10):
    request = decode_instances(json.dumps(body).encode(), TYPES, max_rows)
    return {tensor.name: (tensor.datatype, tensor.shape, tensor.data) for tensor in request.inputs}


@pytest.mark.parametrize(
    "body", [{"instances": OBJECTS}, {"instances": LISTS}, {"inputs": COLUMNS}]
)
def test_rows_and_columns_get_the_answer_that_v2_gives(predict, server, request_body, body):
    answer = predict(body)
    assert answer.status_code == 200
    expected = server.infer(request_body()).json()["outputs"][0]["data"]
    assert answer.json() == {"predictions": expected}


def test_predictions_are_logged_like_others(predict, server):
    answer = predict({"instances": [[1.0, "UA", "f1", "2013-06-01T12:00:00"]]})
    (line,) = server.log()
    assert line["request_id"] == answer.headers["x-request-id"]
    assert (line["arm"], line["routed"], line["entity"]) == ("primary", True, ["f1"])
    assert line["probability"] == answer.json()["predictions"]


@given(
    st.lists(st.tuples(st.none() | st.floats(-9, 9), st.none() | st.text(max_size=3)), min_size=1)
)
def test_rows_as_objects_lists_or_columns_are_the_same_request(rows):
    objects = [{"distance": d, "carrier": c} for d, c in rows]
    columns = {"distance": [d for d, _ in rows], "carrier": [c for _, c in rows]}
    expected = decode({"inputs": columns}, max_rows=len(rows))
    assert decode({"instances": objects}, max_rows=len(rows)) == expected
    assert decode({"instances": [list(row) for row in rows]}, max_rows=len(rows)) == expected
    assert expected["distance"] == ("FP64", [len(rows)], columns["distance"])


@pytest.mark.parametrize(
    ("name", "values", "datatype"),
    [
        ("distance", [1, 2.5, None], "FP64"),
        ("distance", [True, None], "BOOL"),
        ("carrier", ["UA", None], "BYTES"),
        ("carrier", [None], "BYTES"),
        ("tailnum", ["N1", None], "BYTES"),
        ("tailnum", [7, None], "FP64"),
        ("tailnum", [None], "FP64"),
    ],
)
def test_a_column_has_the_datatype_of_its_feature_or_of_its_values(name, values, datatype):
    assert decode({"inputs": {name: values}})[name][0] == datatype


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ({}, "send either 'instances' (rows) or 'inputs' (columns)"),
        ({"instances": OBJECTS, "inputs": COLUMNS}, "send either"),
        ({"instances": []}, "'instances' is empty"),
        ({"instances": {}}, "Expected `array | null`, got `object` - at `$.instances`"),
        ({"instances": [1.0]}, "got `float` - at `$.instances[0]`"),
        ({"instances": [OBJECTS[0], LISTS[0]]}, "instance 1 is a list"),
        ({"instances": [LISTS[0], OBJECTS[0]]}, "instance 1 is an object"),
        ({"instances": [OBJECTS[0], {"distance": 1.0}]}, "instance 1 differs from the first one"),
        ({"instances": [LISTS[0], [1.0]]}, "instance 1 has 1 values, the first one has 2"),
        ({"instances": [[]]}, "instance 0 has 0 values, expected at most 4"),
        ({"instances": [[1] * 5]}, "in the order distance, carrier, flight, departs_at"),
        ({"instances": LISTS * 6}, "12 rows in one request, at most 10 allowed"),
        ({"instances": LISTS, "signature_name": "x"}, "unknown field `signature_name`"),
    ],
)
def test_a_body_that_is_no_request_says_why(body, reason):
    with pytest.raises(RequestError) as error:
        decode(body)
    assert reason in str(error.value)
    assert error.value.status == (413 if "rows in one" in reason else 400)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ({"instances": [{"distance": 1.0}]}, "missing input carrier"),
        ({"instances": [{**OBJECTS[0], "carier": "x"}]}, "did you mean 'carrier'?"),
        ({"instances": [{"distance": "far", "carrier": "UA"}]}, "'distance' (numeric, FP64)"),
        ({"instances": [{"distance": 1.0, "carrier": 7}]}, "'carrier' (categorical, BYTES)"),
        ({"inputs": {"distance": [1.0], "carrier": []}}, "inputs differ in their number of rows"),
        ({"inputs": {}}, "missing input distance, carrier"),
    ],
)
def test_wrong_values_are_refused_as_in_v2(predict, body, reason):
    answer = predict(body)
    assert answer.status_code == 400
    assert reason in answer.json()["error"]


@pytest.mark.parametrize("content", [b"", b"[", b"null", b'{"instances": [[NaN, "x"]]}', b"\xff"])
def test_what_is_no_json_is_refused(server, content):
    answer = server.client.post("/v1/models/delays:predict", content=content)
    assert answer.status_code == 400
    assert "v1 prediction request" in answer.json()["error"]


def test_the_models_and_whether_they_are_ready(server, start, world):
    assert server.client.get("/v1/models").json() == {"models": ["delays"]}
    assert server.client.get("/v1/models/delays").json() == {"name": "delays", "ready": True}
    assert server.client.get("/v1/models/delay").status_code == 404


def test_a_model_without_a_version_is_not_ready_and_answers_503(start, world):
    world.train("v1")
    world.roll_out("v1", 0, "initializing")
    server = start()
    assert server.client.get("/v1/models/delays").status_code == 503
    body = {"instances": OBJECTS}
    assert server.client.post("/v1/models/delays:predict", json=body).status_code == 503


def test_the_limits_of_v2_hold(world, start):
    world.train("v1")
    world.promote("v1")
    server = start(max_rows=1, max_body_bytes=200)
    path = "/v1/models/delays:predict"
    assert server.client.post(path, json={"instances": OBJECTS}).status_code == 413
    assert server.client.post(path, json={"inputs": COLUMNS}).status_code == 413
    assert server.client.post(path, content=b" " * 201).status_code == 413
