"""What no caller should send, over real connections: never a 5xx, and the others do not notice."""

from __future__ import annotations

import json
import random
import socket
import time

import pytest

PATH = "/v2/models/delays/infer"


def exchange(port, data, *, close=True, pause=0.0, parts=1):
    """What comes back for raw bytes; empty when the server closed without a word."""
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        size = max(len(data) // parts, 1)
        try:
            for start in range(0, len(data), size):
                connection.sendall(data[start : start + size])
                time.sleep(pause)
            if close:
                connection.shutdown(socket.SHUT_WR)
            received = b""
            while chunk := connection.recv(65536):
                received += chunk
                if not close and b"\r\n\r\n" in received:
                    break
        except OSError:  # refused before the end, which is an answer too
            return b""
    return received


def head(length, *more):
    lines = [f"POST {PATH} HTTP/1.1", "Host: x", f"Content-Length: {length}", *more]
    return "\r\n".join(lines).encode() + b"\r\n\r\n"


def statuses(answer):
    return [int(part[:3]) for part in answer.split(b"HTTP/1.1 ")[1:]]


def tensors(distance, carrier):
    return {
        "inputs": [
            {"name": "distance", "datatype": "FP64", "shape": [1], "data": [distance]},
            {"name": "carrier", "datatype": "BYTES", "shape": [1], "data": [carrier]},
        ]
    }


POISON = [
    tensors(float("nan"), "UA"),
    tensors(float("inf"), "UA"),
    tensors(-1e308, "UA"),
    tensors(10**400, "UA"),
    tensors(5e-324, "\x00"),
    tensors(None, None),
    tensors("1", 1),
    tensors(1.0, "x" * 100_000),
    tensors(1.0, "\U0001f680\u202e\ufffe"),
    tensors(1.0, "\ud800"),
    tensors([[1.0]], {"a": 1}),
    {"inputs": []},
    [],
    None,
    "x" * 1000,
]

BROKEN = {
    "no bytes": b"",
    "half a line": b"POST /v2/mod",
    "no http": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200),
    "length too long": head(900) + b"{}",
    "length too short": head(1) + b'{"inputs": []}',
    "length negative": head(-5) + b"{}",
    "length no number": head("many") + b"{}",
    "length of 400 digits": head("9" * 400) + b"{}",
    "two lengths": head(2, "Content-Length: 5") + b"{}",
    "length and chunks": head(2, "Transfer-Encoding: chunked") + b"0\r\n\r\n",
    "broken chunk": head(2).replace(b"Content-Length: 2", b"Transfer-Encoding: chunked")
    + b"zz\r\n",
    "giant": head(1 << 30) + b" " * (1 << 22),
    "a header of a megabyte": head(2, "X: " + "y" * (1 << 20)) + b"{}",
    "many headers": head(2, *[f"X-{n}: y" for n in range(5000)]) + b"{}",
    "deep": head(400_000) + b"[" * 400_000,
    "deep objects": head(600_000) + b'{"a":' * 120_000,
    "bytes that are no text": head(4) + b"\xff\xfe\x00\x01",
    "wrong method": b"BREW / HTTP/1.1\r\nHost: x\r\n\r\n",
    "pipelined": (head(2) + b"{}") * 50,
}


def test_poison_values(running, seen):
    """A probability, or a 4xx that says what is wrong."""
    counts = {}
    for body in POISON:
        data = json.dumps(body).encode()
        (status,) = statuses(exchange(running.serving.port, head(len(data)) + data, close=False))
        assert status < 500, body
        counts[status] = counts.get(status, 0) + 1
    seen(f"answers by status: {counts}")


@pytest.mark.parametrize("name", BROKEN)
def test_malformed_and_giant_bodies(running, seen, name):
    """A 4xx or a closed connection; the server answers the next caller."""
    worker = running.worker
    answer = exchange(running.serving.port, BROKEN[name])
    assert all(status < 500 for status in statuses(answer)), answer[:300]
    assert running.get("/v2/health/live")[1]["pid"] == worker
    seen(f"{statuses(answer)[:3] or 'closed'}")


def test_slow_and_half_closed_connections(running, times, seen):
    """Callers who send a byte at a time, leave in the middle or never read hold up nobody."""
    port, worker = running.serving.port, running.worker
    data = json.dumps(tensors(1.0, "UA")).encode()
    idle = [socket.create_connection(("127.0.0.1", port)) for _ in range(times(50, 500))]
    for connection in idle:
        connection.sendall(head(len(data)) + data[:10])
    with running.load() as load:
        slow = exchange(port, head(len(data)) + data, close=False, pause=0.02, parts=50)
        half = exchange(port, head(len(data)) + data)
        load.run_for(1)
    for connection in idle:
        connection.close()
    assert statuses(slow) == [200]
    assert statuses(half) in ([200], [])
    assert (load.broken, load.refused, load.lost) == ([], [], [])
    assert running.worker == worker
    slowest = max(answer.seconds for answer in load.answers)
    seen(f"{len(idle)} half requests open; {len(load.answers)} others, slowest {slowest:.2f} s")


def test_random_bodies(running, times, seen):
    """Whatever the bytes, no 5xx."""
    random.seed(6)
    sound = json.dumps(tensors(1.0, "UA")).encode()
    counts = {}
    for _ in range(times(200, 10_000)):
        data = bytearray(sound)
        for _ in range(random.randint(1, 8)):
            place = random.randrange(len(data))
            data[place : place + random.randint(0, 3)] = random.randbytes(random.randint(0, 3))
        (status,) = statuses(
            exchange(running.serving.port, head(len(data)) + bytes(data), close=False)
        )
        assert status < 500, bytes(data)
        counts[status] = counts.get(status, 0) + 1
    seen(f"answers by status: {counts}")
