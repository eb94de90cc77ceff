"""Methods, headers and connections."""

from __future__ import annotations

import json
import socket
from urllib.parse import urlsplit

import pytest

from mlops_assets_tests.conformance.endpoint import check_refusal


def exchange(endpoint, *requests: bytes) -> bytes:
    """What comes back on one connection until the server closes it."""
    address = urlsplit(str(endpoint.client.base_url))
    with socket.create_connection((address.hostname, address.port), timeout=30) as connection:
        for request in requests:
            connection.sendall(request)
        received = b""
        while part := connection.recv(65536):
            received += part
    return received


def written(endpoint, *headers: str, close: bool = False) -> bytes:
    body = json.dumps(endpoint.template.request()).encode()
    lines = [f"POST {endpoint.path}/infer HTTP/1.1", "Host: x", "Content-Type: application/json"]
    lines += [f"Content-Length: {len(body)}", *headers, *(["Connection: close"] if close else [])]
    return "\r\n".join([*lines, "", ""]).encode() + body


@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE"])
def test_predictions_are_asked_for_by_post_alone(endpoint, method):
    answer = endpoint.client.request(method, f"{endpoint.path}/infer")
    assert answer.status_code in (404, 405)


@pytest.mark.parametrize("path", ["/v2/health/live", "/v2/health/ready", "/v2"])
def test_what_is_read_cannot_be_posted(endpoint, path):
    assert endpoint.client.post(path).status_code in (404, 405)


def test_an_answer_is_json(endpoint):
    answer = endpoint.infer(endpoint.template.request())
    assert answer.headers["content-type"].startswith("application/json")


def test_an_error_is_json(endpoint):
    answer = endpoint.infer({"inputs": 7})
    assert answer.headers["content-type"].startswith("application/json")


def test_a_connection_serves_one_request_after_the_other(endpoint):
    received = exchange(endpoint, written(endpoint), written(endpoint, close=True))
    assert received.count(b"HTTP/1.1 200") == 2


def test_a_connection_goes_on_after_an_error(endpoint):
    lines = [f"POST {endpoint.path}/infer HTTP/1.1", "Host: x", "Content-Type: application/json"]
    bad = "\r\n".join([*lines, "Content-Length: 2", "", "{]"]).encode()
    received = exchange(endpoint, bad, written(endpoint, close=True))
    assert received.startswith(b"HTTP/1.1 4")
    assert received.count(b"HTTP/1.1 200") == 1


def test_a_body_may_come_in_chunks(endpoint):
    body = json.dumps(endpoint.template.request()).encode()
    chunks = iter([body[:10], body[10:]])
    assert endpoint.infer(content=chunks).status_code == 200


def test_a_caller_may_wait_for_the_server_to_go_on(endpoint):
    received = exchange(endpoint, written(endpoint, "Expect: 100-continue", close=True))
    assert b"HTTP/1.1 200" in received


def test_a_caller_who_leaves_early_harms_nobody(endpoint):
    address = urlsplit(str(endpoint.client.base_url))
    with socket.create_connection((address.hostname, address.port), timeout=30) as connection:
        connection.sendall(written(endpoint)[:-20])
    assert endpoint.get("/v2/health/live").status_code == 200


@pytest.mark.extension
@pytest.mark.parametrize("path", ["/v2/health/live", "/v2/health/ready", "/v2"])
def test_head_is_answered_like_get(endpoint, path):
    answer = endpoint.client.head(path)
    assert answer.status_code == 200
    assert answer.content == b""


@pytest.mark.extension
def test_a_wrong_method_is_told_the_right_one(endpoint):
    answer = endpoint.get(f"{endpoint.path}/infer")
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")


@pytest.mark.extension
def test_a_content_type_is_not_needed(endpoint):
    body = json.dumps(endpoint.template.request()).encode()
    assert endpoint.infer(content=body, headers={}).status_code == 200


@pytest.mark.extension
@pytest.mark.parametrize(
    "headers",
    [
        {"content-type": "text/plain"},
        {"content-type": "application/x-www-form-urlencoded"},
        {"content-type": "application/json", "content-encoding": "gzip"},
    ],
    ids=str,
)
def test_a_type_or_encoding_that_is_not_taken_is_a_415(endpoint, headers):
    body = json.dumps(endpoint.template.request()).encode()
    answer = endpoint.infer(content=body, headers=headers)
    check_refusal(answer)
    assert answer.status_code == 415


@pytest.mark.extension
@pytest.mark.parametrize("path", ["/", "/v2/nothing", "/v3"])
def test_other_paths_are_an_error_in_json(endpoint, path):
    check_refusal(endpoint.get(path))
