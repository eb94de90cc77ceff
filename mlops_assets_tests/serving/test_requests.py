"""What the server says to requests it cannot answer as asked."""

from __future__ import annotations

import json

import pytest


def sound(tensor):
    return {"distance": tensor("distance", [1.0, 2.0]), "carrier": tensor("carrier", ["UA", "DL"])}


@pytest.fixture
def ask(server, tensor):
    """Asks with some inputs replaced; returns status and reason."""

    def replaced(*extra, **changes):
        inputs = {**sound(tensor)}
        for name, change in changes.items():
            inputs[name] = {**inputs[name], **change}
        answer = server.infer({"inputs": [*inputs.values(), *extra]})
        assert answer.headers["content-type"] == "application/json"
        return answer.status_code, answer.json().get("error", "")

    return replaced


@pytest.mark.parametrize(
    ("data", "shape"),
    [([1.0, 2.0], [2]), ([1, 2], [2, 1]), ([[1.0], [2.0]], [2, 1]), ([None, 2], [2])],
)
def test_data_may_be_flat_or_rows_of_one_value(ask, data, shape):
    assert ask(distance={"data": data, "shape": shape})[0] == 200


@pytest.mark.parametrize(
    ("datatype", "data"),
    [
        ("FP64", [1.5, -2e300]),
        ("FP32", [1, None]),
        ("FP16", [0.5, 1]),
        ("INT8", [-128, 127]),
        ("INT64", [-(2**63), 2**63 - 1]),
        ("UINT64", [0, 2**64 - 1]),
        ("BOOL", [True, None]),
    ],
)
def test_a_numeric_feature_takes_every_numeric_datatype(ask, datatype, data):
    assert ask(distance={"datatype": datatype, "data": data}) == (200, "")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"datatype": "BYTES"}, "'distance' has datatype 'BYTES', expected FP64 as it is numeric"),
        ({"datatype": "fp64"}, "'distance' has datatype 'fp64', expected FP64"),
        ({"data": [True, 1.0]}, "'distance' (numeric, FP64) holds a wrong value: Expected `float"),
        ({"data": ["1", 2]}, "got `str` - at `$[0]`"),
        ({"data": [1, [2]]}, "got `array` - at `$[1]`"),
        ({"data": [10**400, 1]}, "out of range - at `$[0]`"),
        ({"datatype": "INT8", "data": [1, 128]}, "an integer outside -128 to 127"),
        ({"datatype": "UINT8", "data": [-1, 1]}, "an integer outside 0 to 255"),
        ({"datatype": "INT32", "data": [1.5, 1]}, "got `float` - at `$[0]`"),
        ({"datatype": "BOOL", "data": [1, 0]}, "got `int` - at `$[0]`"),
        ({"data": [1.0]}, "'distance' has 1 values for shape [2], expected 2"),
        ({"data": [1.0, 2.0, 3.0]}, "'distance' has 3 values for shape [2], expected 2"),
        ({"data": [[1.0, 2.0]], "shape": [2, 1]}, "has 1 values for shape [2, 1], expected 2"),
        ({"shape": [2, 2]}, "has shape [2, 2], expected [n] or [n, 1]"),
        ({"shape": []}, "has shape [], expected [n] or [n, 1]"),
        ({"shape": [1] * 9}, "has shape of 9 dimensions, expected [n] or [n, 1]"),
        ({"shape": [3], "data": [1, 2, 3]}, "inputs differ in their number of rows"),
        ({"shape": [-1]}, "inputs differ in their number of rows: 'distance' has -1"),
        ({"shape": ["2"]}, "Expected `int`, got `str` - at `$.inputs[0].shape[0]`"),
        ({"data": {"0": 1}}, "Expected `array`, got `object` - at `$.inputs[0].data`"),
        ({"name": 7}, "Expected `str`, got `int` - at `$.inputs[0].name`"),
        ({"dtype": "FP64"}, "unknown field `dtype` - at `$.inputs[0]`"),
    ],
)
def test_a_wrong_numeric_input_is_named_with_what_is_expected(ask, change, reason):
    status, error = ask(distance=change)
    assert status == 400
    assert reason in error


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"data": ["UA", 1]}, "'carrier' (categorical, BYTES) holds a wrong value"),
        ({"data": ["UA", True]}, "Expected `str | null`, got `bool` - at `$[1]`"),
        (
            {"datatype": "FP64"},
            "'carrier' has datatype 'FP64', expected BYTES as it is categorical",
        ),
    ],
)
def test_a_wrong_categorical_input_is_named_with_what_is_expected(ask, change, reason):
    status, error = ask(carrier=change)
    assert status == 400
    assert reason in error


def test_an_unknown_input_is_named_with_the_one_that_was_meant(ask, tensor):
    status, error = ask(tensor("distanse", [1.0, 2.0]))
    assert status == 400
    assert error == (
        "input 'distanse' is not known, expected are distance, carrier; did you mean 'distance'?"
    )


def test_a_very_long_name_is_not_repeated_in_full(ask, tensor):
    status, error = ask(tensor("x" * 100_000, [1.0, 2.0]))
    assert status == 400
    assert len(error) < 300


def test_missing_and_repeated_inputs_are_named(server, tensor):
    inputs = sound(tensor)
    missing = server.infer({"inputs": [inputs["carrier"]]})
    repeated = server.infer({"inputs": [*inputs.values(), inputs["carrier"]]})
    nothing = server.infer({"inputs": []})
    assert [answer.status_code for answer in (missing, repeated, nothing)] == [400] * 3
    assert "missing input distance" in missing.json()["error"]
    assert "input 'carrier' came 2 times" in repeated.json()["error"]
    assert "missing input distance, carrier" in nothing.json()["error"]


@pytest.mark.parametrize(
    ("name", "data", "datatype", "reason"),
    [
        ("flight", [1, 2], "INT64", "'flight' has datatype 'INT64', expected BYTES"),
        ("flight", [1, 2], "BYTES", "'flight' (categorical, BYTES) holds a wrong value"),
        ("departs_at", [1.5, 2], "FP64", "'departs_at' has datatype 'FP64', expected BYTES"),
        ("departs_at", ["noon", None], "BYTES", "'noon' is not an ISO 8601 time"),
        ("departs_at", ["0001-01-01T00:00+23:00", None], "BYTES", "is not an ISO 8601 time"),
        ("departs_at", ["2013-06-01"], "BYTES", "inputs differ in their number of rows"),
    ],
)
def test_a_wrong_entity_or_time_is_refused(ask, tensor, name, data, datatype, reason):
    status, error = ask(tensor(name, data, datatype))
    assert status == 400
    assert reason in error


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "truncated"),
        (b"{", "truncated"),
        (b"[]", "Expected `object`, got `array`"),
        (b"null", "Expected `object`, got `null`"),
        (b"{}", "missing required field `inputs`"),
        (b'{"inputs": 1}', "Expected `array`, got `int` - at `$.inputs`"),
        (b'{"inputs": [], "inpust": []}', "unknown field `inpust`"),
        (b'{"inputs": [], "id": 7}', "Expected `str | null`, got `int` - at `$.id`"),
        (b'{"inputs": [], "id": "%s"}' % (b"x" * 201), "length <= 200 - at `$.id`"),
        (b'{"inputs": [], "outputs": [{"name": "label"}]}', "output 'label' does not exist"),
        (b'{"inputs": [], "id": "\xff"}', "invalid start byte"),
        (b'{"inputs": [], "id": "\\ud800 alone"}', "surrogate"),
        (b'{"inputs": [], "parameters": {"x": NaN}}', "malformed"),
        (b'{"inputs": [], "parameters": {"x": Infinity}}', "malformed"),
        (b'{"inputs": [], "parameters": {"x": 1e999}}', "Number out of range"),
        (b'{"inputs": [], "parameters": {"x": %s}}' % (b"9" * 5000), "out of range"),
        (b'{"inputs": [], "parameters": {"x": %s' % (b"[" * 200_000), "nested too deeply"),
        (b'{"a":' * 50_000, "request"),
    ],
)
def test_a_body_that_is_no_request_says_why(server, body, reason):
    answer = server.client.post("/v2/models/delays/infer", content=body)
    assert answer.status_code == 400
    assert reason in answer.json()["error"]


def test_the_one_output_may_be_asked_for(server, request_body):
    assert server.infer(request_body(outputs=[{"name": "probability"}])).status_code == 200


def test_rows_are_limited(world, start, request_body):
    world.train("v1")
    world.promote("v1")
    server = start(max_rows=3)
    assert server.infer(request_body([1.0] * 3, ["UA"] * 3)).status_code == 200
    answer = server.infer(request_body([1.0] * 4, ["UA"] * 4))
    assert answer.status_code == 413
    assert answer.json() == {"error": "4 rows in one request, at most 3 allowed"}


class TestBodyLimit:
    @pytest.fixture
    def small(self, world, start):
        world.train("v1")
        world.promote("v1")
        return start(max_body_bytes=1000)

    def post(self, server, content, **headers):
        return server.client.post("/v2/models/delays/infer", content=content, headers=headers)

    def test_a_body_of_exactly_the_limit_is_read(self, small, request_body):
        body = json.dumps(request_body()).encode()
        assert self.post(small, body.ljust(1000)).status_code == 200

    def test_a_longer_body_is_refused(self, small, request_body):
        answer = self.post(small, json.dumps(request_body()).encode().ljust(1001))
        assert answer.status_code == 413
        assert answer.json() == {"error": "the body is longer than 1000 bytes, send fewer rows"}

    def test_a_longer_body_without_a_length_is_refused(self, small):
        assert self.post(small, iter([b" " * 400] * 3)).status_code == 413

    @pytest.mark.parametrize("length", ["10", "0", "-1", "no", "9" * 5000])
    def test_a_false_length_does_not_get_a_longer_body_in(self, small, length):
        headers = {"content-length": length}
        assert self.post(small, b" " * 1001, **headers).status_code == 413
