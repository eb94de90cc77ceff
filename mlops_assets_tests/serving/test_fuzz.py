"""Whatever a client sends, the answer is JSON, and never the server's fault."""

from __future__ import annotations

import json
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

FUZZ = settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)

NAMES = st.sampled_from(["distance", "carrier", "flight", "departs_at", "probability"])
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(10**25), 10**25)
    | st.floats(allow_nan=True, allow_infinity=True)
    | st.text(max_size=8)
)
JSON = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)
DATATYPES = st.sampled_from(["FP64", "FP32", "INT8", "UINT64", "BOOL", "BYTES", "fp64", ""])
TENSORS = st.fixed_dictionaries(
    {
        "name": NAMES | st.text(max_size=5),
        "shape": st.sampled_from([[1], [2], [1, 1], [2, 1], [0], [-1], []]) | JSON,
        "datatype": DATATYPES,
        "data": st.lists(SCALARS, min_size=1, max_size=2) | JSON,
    }
)
REQUESTS = st.fixed_dictionaries(
    {"inputs": st.lists(TENSORS, max_size=4)},
    optional={"id": JSON, "outputs": JSON, "parameters": JSON},
)
VALUES = {
    "numeric": st.none() | st.floats(allow_nan=False, allow_infinity=False) | st.integers(),
    "text": st.none() | st.text(max_size=10),
}


def post(server, content: bytes):
    answer = server.client.post("/v2/models/delays/infer", content=content)
    assert answer.status_code < 500, answer.text
    body = answer.json()
    if answer.status_code != 200:
        assert isinstance(body["error"], str)
    return answer


@FUZZ
@given(content=st.binary(max_size=200))
def test_any_bytes(server, content):
    assert post(server, content).status_code == 400


@FUZZ
@given(content=JSON)
def test_any_json(server, content):
    post(server, json.dumps(content).encode())


@FUZZ
@given(content=REQUESTS)
def test_anything_like_a_request(server, content):
    post(server, json.dumps(content).encode())


@FUZZ
@given(data=st.data(), change=st.sampled_from(["cut", "insert", "flip"]))
def test_a_sound_request_that_was_damaged(server, request_body, data, change):
    body = json.dumps(request_body(flight=["f1", "f2"], departs_at=["2013-06-01", None])).encode()
    at = data.draw(st.integers(0, len(body) - 1))
    if change == "cut":
        body = body[:at]
    elif change == "insert":
        body = body[:at] + data.draw(st.binary(min_size=1, max_size=3)) + body[at:]
    else:
        body = body[:at] + bytes([body[at] ^ data.draw(st.integers(1, 255))]) + body[at + 1 :]
    post(server, body)


@FUZZ
@given(rows=st.lists(st.tuples(*VALUES.values()), min_size=1, max_size=4))
def test_every_sound_row_gets_a_probability(server, request_body, rows):
    distance, carrier = (list(column) for column in zip(*rows, strict=True))
    answer = post(server, json.dumps(request_body(distance, carrier)).encode())
    assert answer.status_code == 200
    probability = answer.json()["outputs"][0]["data"]
    assert len(probability) == len(rows)
    assert all(0 <= value <= 1 for value in probability)


@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE", "OPTIONS", "HEAD"])
def test_other_methods(server, method):
    answer = server.client.request(method, "/v2/models/delays/infer")
    assert answer.status_code == 405
    assert method == "HEAD" or "not allowed" in answer.json()["error"]


@FUZZ
@given(path=st.text(max_size=30))
def test_any_path(server, path):
    answer = server.client.get(f"/v2/models/{quote(path)}")
    assert answer.status_code < 500
    assert isinstance(answer.json(), dict)
