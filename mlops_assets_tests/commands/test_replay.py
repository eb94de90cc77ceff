"""Rows as requests: one or several in each, all of them the same rows."""

from __future__ import annotations

import json
import threading
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_assets.commands.replay import Replayed, build_request, replay
from mlops_assets.lifecycle.training import Feature

FEATURES = (Feature("origin", "categorical"), Feature("distance", "numeric"))
NOON = datetime(2013, 5, 6, 12, tzinfo=UTC)


def table(rows: int) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "flight": [f"f{number}" for number in range(rows)],
            "at": [NOON + timedelta(hours=number) for number in range(rows)],
            "origin": [None if number % 3 == 0 else "EWR" for number in range(rows)],
            "distance": [None if number % 4 == 0 else float(number) for number in range(rows)],
        },
        schema_overrides={"origin": pl.String, "distance": pl.Float64},
    )


@given(st.integers(1, 12))
def test_a_batch_holds_what_requests_of_one_row_hold(rows):
    stored = table(rows)
    batch = build_request(stored, FEATURES, "flight", "at")
    single = [build_request(row, FEATURES, "flight", "at") for row in stored.iter_slices(1)]
    for position, tensor in enumerate(batch["inputs"]):
        alone = [request["inputs"][position] for request in single]
        assert tensor["data"] == [value for one in alone for value in one["data"]]
        assert tensor["shape"] == [rows]
        assert {(one["name"], one["datatype"]) for one in alone} == {
            (tensor["name"], tensor["datatype"])
        }


class Counting(BaseHTTPRequestHandler):
    """Remembers the flights of each request and refuses those with flight f3."""

    seen: list[list[str]]

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        flights = body["inputs"][0]["data"]
        type(self).seen.append(flights)
        self.send_response(500 if "f3" in flights else 200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Nothing is printed."""


@pytest.fixture
def server():
    handler = type("Handler", (Counting,), {"seen": []})
    listening = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=listening.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{listening.server_port}", handler
    listening.shutdown()
    listening.server_close()


@pytest.mark.parametrize(("size", "requests"), [(1, 7), (3, 3), (50, 1)])
def test_every_row_is_sent_once_whatever_the_size_of_requests(server, size, requests):
    url, handler = server
    done = replay(table(7), url, "m", FEATURES, "flight", "at", rows_per_request=size)
    assert done == Replayed(requests, 1)
    assert sorted(name for flights in handler.seen for name in flights) == [
        f"f{number}" for number in range(7)
    ]
    assert all(len(flights) <= size for flights in handler.seen)
