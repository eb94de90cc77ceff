"""Bodies as they come in pieces, too long, too late or not at all, and what their headers say."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_assets.lifecycle.errors import RequestError
from mlops_assets.serving.web import http
from mlops_assets.serving.web.http import Head, read_body, read_head, send, send_error

GONE = {"type": "http.disconnect"}


def part(body: bytes, more: bool) -> dict[str, object]:
    return {"type": "http.request", "body": body, "more_body": more}


def read(messages, *, length=None, limit=10):
    left = iter(messages)

    async def receive():
        return next(left)

    return asyncio.run(read_body(receive, length, limit))


@given(st.lists(st.binary(max_size=4), min_size=1, max_size=6))
def test_a_body_in_pieces_is_put_together_unless_it_is_too_long(pieces):
    messages = [part(piece, more=True) for piece in pieces[:-1]] + [part(pieces[-1], more=False)]
    whole = b"".join(pieces)
    if len(whole) <= 10:
        assert read(messages) == whole
    else:
        with pytest.raises(RequestError, match="longer than 10 bytes") as error:
            read(messages)
        assert error.value.status == 413


def test_no_more_than_the_limit_is_kept():
    messages = iter([part(b"x" * 6, more=True)] * 2)
    with pytest.raises(RequestError, match="longer"):
        read(messages)
    assert list(messages) == []


@pytest.mark.parametrize("length", [b"11", b"9" * 5000])
def test_a_declared_length_above_the_limit_is_refused_unread(length):
    with pytest.raises(RequestError) as error:
        read([], length=length)
    assert error.value.status == 413


@pytest.mark.parametrize("length", [b"10", b"0", b"-1", b"no", b"", b"\xb2"])
def test_any_other_declared_length_is_no_reason(length):
    assert read([part(b"x", more=False)], length=length) == b"x"


@pytest.mark.parametrize("before", [[], [part(b"x", more=True)]])
def test_a_caller_who_leaves_is_told_so(before):
    with pytest.raises(RequestError, match="the caller left") as error:
        read([*before, GONE])
    assert error.value.status == 400


def test_a_body_that_stops_coming_is_given_up(monkeypatch):
    monkeypatch.setattr(http, "BODY_SECONDS", 0.01)

    async def ask():
        messages = iter([part(b"x", more=True)])

        async def receive():
            for message in messages:
                return message
            return await asyncio.Event().wait()

        await read_body(receive, None, 10)

    with pytest.raises(RequestError, match="did not come") as error:
        asyncio.run(ask())
    assert error.value.status == 408


@pytest.mark.parametrize(
    "kind",
    [
        b"application/json",
        b"Application/JSON; charset=utf-8",
        b'application/json;charset="UTF-8"',
    ],
)
def test_json_is_taken(kind):
    assert read_head([(b"content-type", kind)]) == Head(None, None)


def test_without_headers_json_is_assumed():
    assert read_head([(b"host", b"x"), (b"content-length", b"3")]) == Head(b"3", None)


@pytest.mark.parametrize(
    "kind",
    [
        b"text/plain",
        b"application/x-www-form-urlencoded",
        b"application/json; charset=utf-16",
        b"application/octet-stream",
        b"",
        b"\xff\xfe",
    ],
)
def test_other_types_are_a_415(kind):
    with pytest.raises(RequestError, match="expected application/json") as error:
        read_head([(b"content-type", kind)])
    assert error.value.status == 415


def test_bytes_are_taken_behind_a_json_of_a_given_length():
    headers = [(b"content-type", b"application/octet-stream")]
    headers.append((b"inference-header-content-length", b"12"))
    assert read_head(headers) == Head(None, b"12")


@pytest.mark.parametrize("encoding", [b"gzip", b"br", b"deflate, gzip", b"\xff"])
def test_an_encoded_body_is_a_415(encoding):
    with pytest.raises(RequestError, match="send it as it is") as error:
        read_head([(b"content-encoding", encoding)])
    assert error.value.status == 415


def test_an_answer_is_two_messages_with_its_length():
    sent = []

    async def keep(message):
        sent.append(message)

    asyncio.run(send(keep, b"abc"))
    asyncio.run(send_error(keep, RequestError("no", status=405), (b"allow", b"POST")))
    start, body, error, reason = sent
    assert (start["status"], body["body"]) == (200, b"abc")
    assert start["headers"] == [(b"content-length", b"3"), (b"content-type", b"application/json")]
    assert (error["status"], reason["body"]) == (405, b'{"error":"no"}')
    assert (b"allow", b"POST") in error["headers"]


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"content-type": "text/plain"}, 415),
        ({"content-encoding": "gzip"}, 415),
        ({"content-type": "application/json; charset=utf-8"}, 200),
    ],
)
def test_the_server_goes_by_the_headers(server, request_body, headers, status):
    path = "/v2/models/delays/infer"
    assert server.client.post(path, json=request_body(), headers=headers).status_code == status
