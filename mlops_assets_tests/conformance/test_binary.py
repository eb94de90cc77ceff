"""The binary tensor extension, where a server says that it has it."""

from __future__ import annotations

import json
import struct

import pytest

HEADER = "Inference-Header-Content-Length"


@pytest.fixture(autouse=True)
def has_binary_tensors(endpoint):
    if "binary_tensor_data" not in endpoint.get("/v2").json().get("extensions", ()):
        pytest.skip("the server does not say that it takes binary tensors")


def packed(endpoint, rows=2, **more):
    """The request with all tensors as bytes: the body and its headers."""
    tensors, parts = [], []
    for given in endpoint.template.inputs:
        part = given.raw(rows)
        tensor = given.tensor(rows)
        del tensor["data"]
        tensors.append({**tensor, "parameters": {"binary_data_size": len(part)}})
        parts.append(part)
    head = json.dumps({"inputs": tensors, **more}).encode()
    headers = {HEADER: str(len(head)), "content-type": "application/octet-stream"}
    return b"".join([head, *parts]), headers


def ask(endpoint, body, headers):
    return endpoint.infer(content=body, headers=headers)


@pytest.mark.parametrize("rows", [1, 2, 50])
def test_tensors_as_bytes_get_the_answer_of_json(endpoint, rows):
    answer = ask(endpoint, *packed(endpoint, rows))
    assert answer.status_code == 200
    assert answer.json()["outputs"] == endpoint.outputs(endpoint.template.request(rows))


def read_output(answer):
    length = int(answer.headers[HEADER])
    head = json.loads(answer.content[:length])
    (output,) = head["outputs"]
    size = output["parameters"]["binary_data_size"]
    assert "data" not in output
    assert len(answer.content) == length + size
    kind = {"FP64": "d", "FP32": "f", "INT64": "q", "INT32": "i"}[output["datatype"]]
    return list(struct.unpack(f"<{size // struct.calcsize(kind)}{kind}", answer.content[length:]))


def test_all_outputs_may_come_as_bytes(endpoint):
    plain = endpoint.outputs(endpoint.template.request(2))[0]["data"]
    request = endpoint.template.request(2, parameters={"binary_data_output": True})
    assert read_output(endpoint.infer(request)) == plain


def test_one_output_may_come_as_bytes(endpoint):
    output = endpoint.outputs(endpoint.template.request(2))[0]
    asked = {"name": output["name"], "parameters": {"binary_data": True}}
    answer = endpoint.infer(endpoint.template.request(2, outputs=[asked]))
    assert read_output(answer) == output["data"]


def test_an_output_of_its_own_wish_is_json_among_bytes(endpoint):
    output = endpoint.outputs(endpoint.template.request(2))[0]
    asked = {"name": output["name"], "parameters": {"binary_data": False}}
    more = {"outputs": [asked], "parameters": {"binary_data_output": True}}
    answered = endpoint.outputs(endpoint.template.request(2, **more))
    assert answered[0]["data"] == output["data"]


def test_bytes_in_and_bytes_out(endpoint):
    plain = endpoint.outputs(endpoint.template.request(2))[0]["data"]
    answer = ask(endpoint, *packed(endpoint, parameters={"binary_data_output": True}))
    assert read_output(answer) == plain


@pytest.mark.parametrize("length", ["", "x", "-1", "0", "1", "99999999"])
def test_a_length_of_the_json_that_cannot_be(endpoint, length):
    body, headers = packed(endpoint)
    endpoint.refused(content=body, headers={**headers, HEADER: length})


@pytest.mark.parametrize("change", [-1, 1])
def test_fewer_or_more_bytes_than_announced(endpoint, change):
    body, headers = packed(endpoint)
    endpoint.refused(content=body[:-1] if change < 0 else body + b"x", headers=headers)


def test_a_text_longer_than_its_bytes(endpoint, text):
    given = next(given for given in endpoint.template.inputs if given.name == text)
    body, headers = packed(endpoint, rows=1)
    assert given.raw() in body
    endpoint.refused(
        content=body.replace(given.raw(), b"\xff\xff\xff\x7f" + given.raw()[4:]), headers=headers
    )
