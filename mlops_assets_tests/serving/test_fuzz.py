"""Whatever a client sends, the answer is JSON, and never the server's fault."""

from __future__ import annotations

import asyncio
import json
import random
import struct
from urllib.parse import quote

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

FUZZ = settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])

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


@FUZZ
@given(path=st.text(max_size=30))
def test_any_path(server, path):
    answer = server.client.get(f"/v2/models/{quote(path)}")
    assert answer.status_code < 500
    assert isinstance(answer.json(), dict)


@FUZZ
@given(instances=st.lists(st.lists(SCALARS, max_size=4), max_size=3) | JSON, columns=JSON)
def test_anything_like_a_v1_request(server, instances, columns):
    for body in ({"instances": instances}, {"inputs": columns}):
        answer = server.client.post("/v1/models/delays:predict", content=json.dumps(body).encode())
        assert answer.status_code < 500, answer.text
        assert "predictions" in answer.json() or isinstance(answer.json()["error"], str)


@FUZZ
@given(data=st.binary(max_size=40), size=SCALARS, datatype=DATATYPES, off=st.integers(-5, 5))
def test_anything_like_binary_tensors(server, data, size, datatype, off):
    tensor = {"name": "distance", "shape": [1], "datatype": datatype}
    head = json.dumps({"inputs": [{**tensor, "parameters": {"binary_data_size": size}}]}).encode()
    headers = {"Inference-Header-Content-Length": str(len(head) + off)}
    answer = server.client.post("/v2/models/delays/infer", content=head + data, headers=headers)
    assert answer.status_code == 400
    assert isinstance(answer.json()["error"], str)


BODIES = 10_000
WORDS = [
    b'"',
    b"{",
    b"}",
    b"[",
    b"]",
    b",",
    b":",
    b"null",
    b"NaN",
    b"1e999",
    b"-0",
    b"true",
    b"\\u",
]
WORDS += [b"\xff", b"\x00", b"inputs", b"binary_data_size", b"data", b"99999999999999999999", b"{}"]


VALUES_SENT = [b"1.5", b"null", b"UA", b"DL", b"2", b"1.0", b'"x"', b"2013-06-01"]
ODD_VALUES = [b"1e308", b"-0.0", b"5e-324", b"1e30", b"nan", b"\xf0\x9f\x98\x80", b"true", b"[]"]
ODD_VALUES += [b"null", b'""', b"-1", b"0", b"9" * 30, b"a" * 500, b"0001-01-01T00:00+23:59"]


def damage(chance: random.Random, body: bytes) -> bytes:
    """``body`` with odd values in it, or with bytes changed, put in or taken out."""
    if chance.random() < 0.4:
        return body.replace(chance.choice(VALUES_SENT), chance.choice(ODD_VALUES))
    for _ in range(chance.randint(1, 3)):
        at = chance.randint(0, len(body))
        piece = chance.choice([*WORDS, chance.randbytes(3), b""])
        body = body[:at] + piece + body[at + chance.choice([0, 1, 3, 20, 900]) :]
    return body


def sound_bodies() -> list[tuple[str, bytes, int | None]]:
    """A path, a request that is answered there, and how long its JSON is when bytes follow."""
    v2 = {
        "id": "7",
        "inputs": [
            {"name": "distance", "shape": [2], "datatype": "FP64", "data": [1.5, None]},
            {"name": "carrier", "shape": [2, 1], "datatype": "BYTES", "data": [["UA"], ["DL"]]},
            {"name": "departs_at", "shape": [2], "datatype": "BYTES", "data": ["2013-06-01", None]},
        ],
        "outputs": [{"name": "probability", "parameters": {"binary_data": False}}],
    }
    rows = {"instances": [{"distance": 1.0, "carrier": "UA"}, {"distance": None, "carrier": "x"}]}
    head = json.dumps(
        {
            "inputs": [
                {**v2["inputs"][0], "data": None, "parameters": {"binary_data_size": 16}},
                {"name": "carrier", "shape": [2], "datatype": "BYTES", "data": None}
                | {"parameters": {"binary_data_size": 12}},
            ],
            "parameters": {"binary_data_output": True},
        }
    ).encode()
    texts = b"".join(struct.pack("<I", 2) + text for text in (b"UA", b"DL"))
    infer, predict = "/v2/models/delays/infer", "/v1/models/delays:predict"
    return [
        (infer, json.dumps(v2).encode(), None),
        (predict, json.dumps(rows).encode(), None),
        (predict, b'{"inputs": {"distance": [1, 2], "carrier": ["UA", null]}}', None),
        (infer, head + struct.pack("<2d", 1.0, 2.0) + texts, len(head)),
    ]


async def ask(app, path: str, body: bytes, length: int | None) -> tuple[int, bytes]:
    """Status and body of the answer, without a client in between."""
    headers = [] if length is None else [(b"inference-header-content-length", b"%d" % length)]
    scope = {"type": "http", "method": "POST", "path": path, "headers": headers}
    sent = []

    async def receive():
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message):
        sent.append(message)

    await app(scope, receive, send)
    return sent[0]["status"], sent[1]["body"]


def test_ten_thousand_damaged_bodies_get_no_5xx(server):
    app, chance, sound = server.client.app, random.Random(20130601), sound_bodies()

    async def ask_all():
        seen: dict[int, int] = {}
        for path, body, length in sound:
            assert (await ask(app, path, body, length))[0] == 200
        for _ in range(BODIES):
            path, body, length = chance.choice(sound)
            if length is not None and chance.random() < 0.3:
                length += chance.randint(-3, 3)
            status, answer = await ask(app, path, damage(chance, body), length)
            seen[status] = seen.get(status, 0) + 1
            assert status < 500, answer
            assert status == 200 or isinstance(json.loads(answer)["error"], str)
        return seen

    seen = asyncio.run(ask_all())
    assert sum(seen.values()) == BODIES
    assert seen[400] > BODIES / 2
    assert seen[200] > BODIES / 100
