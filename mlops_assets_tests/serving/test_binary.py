"""Tensors as bytes: read as their JSON form is, answered to the last bit, never beyond the body."""

from __future__ import annotations

import json
import math
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_assets.lifecycle.errors import RequestError
from mlops_assets.serving.protocol import InferRequest, RequestedOutput
from mlops_assets.serving.web.binary import (
    DTYPES,
    decode_binary_request,
    read_elements,
    wants_binary,
    write_elements,
)

HEADER = "Inference-Header-Content-Length"
FORMATS = {"FP64": "d", "FP32": "f", "FP16": "e", "INT8": "b", "INT16": "h", "INT32": "i"}
FORMATS |= {"INT64": "q", "UINT8": "B", "UINT16": "H", "UINT32": "I", "UINT64": "Q", "BOOL": "?"}


def text(*values: str) -> bytes:
    return b"".join(struct.pack("<I", len(v.encode())) + v.encode() for v in values)


def body(tensors, **more) -> tuple[bytes, int]:
    """``tensors``: name, datatype, rows and bytes; the body and how long its JSON is."""
    inputs = [
        {"name": n, "datatype": d, "shape": [h], "parameters": {"binary_data_size": len(data)}}
        for n, d, h, data in tensors
    ]
    head = json.dumps({"inputs": inputs, **more}).encode()
    return b"".join([head, *(data for *_, data in tensors)]), len(head)


SOUND = [
    ("distance", "FP64", 2, struct.pack("<2d", 500, 700)),
    ("carrier", "BYTES", 2, text("UA", "DL")),
]


def decode(tensors, **more):
    content, length = body(tensors, **more)
    return decode_binary_request(content, str(length).encode())


@pytest.fixture
def ask(server):
    def post(content, length, path="/v2/models/delays/infer"):
        headers = {HEADER: str(length), "content-type": "application/octet-stream"}
        return server.client.post(path, content=content, headers=headers)

    return post


def test_the_same_values_as_bytes_and_as_json_get_the_same_answer(ask, server, request_body):
    as_bytes = ask(*body(SOUND)).json()["outputs"]
    assert as_bytes == server.infer(request_body()).json()["outputs"]


def test_some_inputs_may_be_bytes_and_others_json(ask, server, request_body):
    head = json.dumps(
        {
            "inputs": [
                {"name": "carrier", "datatype": "BYTES", "shape": [2], "data": ["UA", "DL"]},
                {
                    "name": "distance",
                    "datatype": "FP64",
                    "shape": [2],
                    "parameters": {"binary_data_size": 16},
                },
            ]
        }
    ).encode()
    answer = ask(head + SOUND[0][3], len(head))
    assert answer.json()["outputs"] == server.infer(request_body()).json()["outputs"]


@pytest.mark.parametrize(
    ("more", "binary"),
    [
        ({}, False),
        ({"parameters": {"binary_data_output": True}}, True),
        ({"parameters": {"binary_data_output": False}}, False),
        ({"outputs": [{"name": "probability", "parameters": {"binary_data": True}}]}, True),
        (
            {
                "parameters": {"binary_data_output": True},
                "outputs": [{"name": "probability", "parameters": {"binary_data": False}}],
            },
            False,
        ),
    ],
)
def test_outputs_are_bytes_when_they_are_asked_for(server, request_body, more, binary):
    plain = server.infer(request_body()).json()["outputs"][0]["data"]
    answer = server.infer(request_body(**more))
    assert answer.status_code == 200
    assert (HEADER in answer.headers) is binary
    if binary:
        assert answer.headers["content-type"] == "application/octet-stream"
        length = int(answer.headers[HEADER])
        head = json.loads(answer.content[:length])
        assert head["outputs"] == [
            {
                "name": "probability",
                "datatype": "FP64",
                "shape": [2],
                "parameters": {"binary_data_size": 16},
            }
        ]
        assert list(struct.unpack("<2d", answer.content[length:])) == plain
    else:
        assert answer.json()["outputs"][0]["data"] == plain


@pytest.mark.parametrize(
    "more",
    [
        {"parameters": {"binary_data_output": 1}},
        {"parameters": {"binary_data_output": None}},
        {"outputs": [{"name": "probability", "parameters": {"binary_data": "true"}}]},
    ],
)
def test_what_is_neither_true_nor_false_is_refused(server, request_body, more):
    answer = server.infer(request_body(**more))
    assert answer.status_code == 400
    assert "is true or false" in answer.json()["error"]


@pytest.mark.parametrize("datatype", FORMATS)
@given(data=st.data())
def test_elements_are_read_as_the_standard_library_packs_them(datatype, data):
    kind, size = FORMATS[datatype], struct.calcsize(FORMATS[datatype])
    raw = data.draw(st.binary(max_size=6 * size).map(lambda b: b[: len(b) // size * size]))
    if datatype == "BOOL":
        raw = bytes(byte & 1 for byte in raw)
    values = struct.unpack(f"<{len(raw) // size}{kind}", raw)
    if any(isinstance(v, float) and math.isinf(v) for v in values):
        with pytest.raises(RequestError, match="infinite"):
            read_elements("x", datatype, raw)
        return
    read = read_elements("x", datatype, raw)
    assert read == [None if isinstance(v, float) and math.isnan(v) else v for v in values]
    assert [type(v) for v in read if v is not None] == [type(v) for v in values if v == v]


@given(st.lists(st.text(max_size=5)))
def test_texts_are_read_with_their_lengths(values):
    assert read_elements("x", "BYTES", text(*values)) == values


@given(st.lists(st.floats(0, 1)))
def test_what_is_written_is_read_again(values):
    assert read_elements("x", "FP64", write_elements(values)) == values


@pytest.mark.parametrize(
    ("datatype", "data", "reason"),
    [
        ("FP64", b"1234567", "7 bytes, no multiple of the 8 of one FP64"),
        ("INT16", b"1", "1 bytes, no multiple of the 2"),
        ("BOOL", b"\x00\x02", "holds 2, expected 0 or 1"),
        ("BF16", b"12", "datatype 'BF16', not known here"),
        ("FP32", struct.pack("<f", math.inf), "infinite number"),
        ("BYTES", b"\x01", "element 0 is longer than its data"),
        ("BYTES", b"\x00\x00\x00\x00\x05\x00\x00\x00abc", "element 1 is longer than its data"),
        ("BYTES", b"\xff\xff\xff\xffabc", "element 0 is longer than its data"),
        ("BYTES", b"\x01\x00\x00\x00\xff", "element 0 is not UTF-8"),
    ],
)
def test_bytes_that_are_no_elements_are_refused(datatype, data, reason):
    with pytest.raises(RequestError, match="input 'x'") as error:
        read_elements("x", datatype, data)
    assert reason in str(error.value)


@pytest.mark.parametrize("header", ["", "-1", "x", "1e3", "9" * 30, "99999", "\xb2"])
def test_a_length_of_the_json_that_cannot_be_is_refused(server, header):
    answer = server.client.post(
        "/v2/models/delays/infer",
        content=body(SOUND)[0],
        headers={HEADER.encode(): header.encode("latin-1")},
    )
    assert answer.status_code == 400
    assert HEADER in answer.json()["error"]


@pytest.mark.parametrize("off", [-1, 1])
def test_a_length_beside_the_end_of_the_json_is_refused(ask, off):
    content, length = body(SOUND)
    assert ask(content, length + off).status_code == 400


@pytest.mark.parametrize(
    ("size", "reason"),
    [
        (15, "belong to no tensor|no multiple"),
        (17, "17', 16 bytes of the body are left"),
        (-1, "left for it"),
        (True, "left for it"),
        (8.0, "left for it"),
        ("16", "left for it"),
        (10**30, "left for it"),
    ],
)
def test_a_size_that_cannot_be_is_refused(size, reason):
    tensor = {"name": "x", "datatype": "FP64", "shape": [2]}
    head = json.dumps({"inputs": [{**tensor, "parameters": {"binary_data_size": size}}]}).encode()
    with pytest.raises(RequestError, match=reason):
        decode_binary_request(head + bytes(16), str(len(head)).encode())


@pytest.mark.parametrize("extra", [{}, {"data": [1.0], "parameters": {"binary_data_size": 0}}])
def test_an_input_has_its_data_in_one_place(extra):
    head = json.dumps({"inputs": [{"name": "x", "datatype": "FP64", "shape": [0], **extra}]})
    with pytest.raises(RequestError, match="either data or the parameter binary_data_size"):
        decode_binary_request(head.encode(), str(len(head)).encode())


def test_bytes_left_over_are_refused():
    content, length = body(SOUND)
    with pytest.raises(RequestError, match="3 bytes of the body belong to no tensor"):
        decode_binary_request(content + b"abc", str(length).encode())


def test_nan_is_a_missing_number(ask, server, request_body):
    data = struct.pack("<2d", math.nan, 700)
    answer = ask(*body([("distance", "FP64", 2, data), SOUND[1]])).json()
    assert answer["outputs"] == server.infer(request_body([None, 700.0])).json()["outputs"]


def test_a_request_keeps_its_id_and_outputs():
    request = decode(SOUND, id="7", outputs=[{"name": "probability"}])
    assert request.id == "7"
    assert request.outputs == [RequestedOutput("probability")]
    assert [tensor.name for tensor in request.inputs] == ["distance", "carrier"]


def test_without_being_asked_nothing_is_binary():
    assert wants_binary(InferRequest([])) is False


def test_every_datatype_lies_little_endian():
    assert all(dtype == dtype.newbyteorder("<") for dtype in DTYPES.values())
    assert {name: dtype.itemsize for name, dtype in DTYPES.items()} == {
        name: struct.calcsize(kind) for name, kind in FORMATS.items()
    }
    assert np.frombuffer(b"\x01\x00", DTYPES["UINT16"])[0] == 1
