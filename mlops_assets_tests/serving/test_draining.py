"""A real server that waits for its routing, and leaves without breaking anything."""

from __future__ import annotations

import asyncio
import http.client
import socket
import threading
import time
from dataclasses import dataclass, field

import pytest
import uvicorn

from mlops_assets.serving.process import draining
from mlops_assets.serving.process.draining import DrainingServer
from mlops_assets.serving.process.listening import bind

ENOUGH = 20.0


@dataclass
class Site:
    """A server in a thread, and what it said about itself."""

    listener: socket.socket
    name: str = "first"
    told: list[str] = field(default_factory=list)
    routed: threading.Event = field(default_factory=threading.Event)
    entered: threading.Event = field(default_factory=threading.Event)
    released: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self.released.set()
        self.port = self.listener.getsockname()[1]
        config = uvicorn.Config(
            self._answer,
            interface="asgi3",
            access_log=False,
            log_level="warning",
            timeout_graceful_shutdown=20,
        )
        self.server = DrainingServer(
            config,
            ready=self.routed.is_set,
            accepting=lambda: self.told.append("accepting"),
            leaving=lambda: self.told.append("leaving"),
        )
        serve = self.server.serve
        self.thread = threading.Thread(
            target=lambda: asyncio.run(serve([self.listener])), daemon=True
        )

    def start(self, *, routed: bool = True) -> Site:
        if routed:
            self.routed.set()
        self.thread.start()
        if routed:
            wait_until(lambda: "accepting" in self.told)
        return self

    def leave(self) -> None:
        self.server.should_exit = True

    def end(self) -> None:
        self.leave()
        self.released.set()
        self.thread.join(ENOUGH)
        assert not self.thread.is_alive()

    def connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=ENOUGH)

    async def _answer(self, scope, receive, send):
        if scope["type"] == "lifespan":
            while (await receive())["type"] == "lifespan.startup":
                await send({"type": "lifespan.startup.complete"})
            await send({"type": "lifespan.shutdown.complete"})
            return
        self.entered.set()
        while not self.released.is_set():
            await asyncio.sleep(0.01)
        headers = [(b"connection", b"close")] if scope["path"] == "/aware" and self.left else []
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": self.name.encode()})

    @property
    def left(self) -> bool:
        return "leaving" in self.told


def wait_until(condition):
    deadline = time.monotonic() + ENOUGH
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def ask(connection, path="/aware"):
    """The answer's text, and whether its connection ends with it."""
    connection.request("GET", path)
    return hear(connection)


def hear(connection):
    response = connection.getresponse()
    return response.read().decode(), response.will_close


@pytest.fixture
def site():
    with bind("127.0.0.1", 0) as listener:
        made = Site(listener)
        yield made
        if made.thread.ident:
            made.end()


def test_callers_wait_until_there_is_a_routing_and_are_answered_then(site):
    site.start(routed=False)
    connection = site.connect()
    connection.request("GET", "/aware")
    connection.sock.settimeout(0.3)
    with pytest.raises(TimeoutError):
        connection.sock.recv(1)
    assert site.told == []
    connection.sock.settimeout(ENOUGH)
    site.routed.set()
    assert hear(connection) == ("first", False)
    assert site.told == ["accepting"]
    connection.close()


def test_without_a_routing_it_accepts_in_the_end_and_says_so(site, monkeypatch, caplog):
    monkeypatch.setattr(draining, "READY_SECONDS", 0.1)
    site.start(routed=False)
    assert ask(site.connect())[0] == "first"
    assert "no routing after" in caplog.text


def test_stopped_before_there_is_a_routing_it_ends_and_accepted_nobody(site):
    site.start(routed=False)
    site.leave()
    site.thread.join(ENOUGH)
    assert not site.thread.is_alive()
    assert "accepting" not in site.told


def test_a_kept_connection_gets_one_more_answer_that_ends_it(site, monkeypatch):
    monkeypatch.setattr(draining, "LAME_DUCK_SECONDS", ENOUGH)
    site.start()
    kept = [site.connect() for _ in range(3)]
    assert [ask(connection) for connection in kept] == [("first", False)] * 3
    site.leave()
    wait_until(lambda: site.left)
    assert [ask(connection) for connection in kept] == [("first", True)] * 3
    site.thread.join(ENOUGH)
    assert not site.thread.is_alive()


def test_a_request_under_way_is_answered_and_ends_its_connection(site, monkeypatch):
    monkeypatch.setattr(draining, "LAME_DUCK_SECONDS", 0.0)
    site.start()
    connection = site.connect()
    site.released.clear()
    connection.request("GET", "/unaware")
    assert site.entered.wait(ENOUGH)
    site.leave()
    wait_until(lambda: site.left)
    site.released.set()
    assert hear(connection) == ("first", True)
    site.thread.join(ENOUGH)
    assert not site.thread.is_alive()


def test_connections_that_ask_nothing_more_do_not_keep_it(site, monkeypatch):
    monkeypatch.setattr(draining, "LAME_DUCK_SECONDS", 0.1)
    site.start()
    idle = site.connect()
    ask(idle)
    site.leave()
    site.thread.join(ENOUGH)
    assert not site.thread.is_alive()
    assert idle.sock.recv(1) == b""


def test_who_comes_while_it_leaves_is_answered_by_the_next_one_on_the_same_socket(
    site, monkeypatch
):
    monkeypatch.setattr(draining, "LAME_DUCK_SECONDS", ENOUGH)
    with site.listener.dup() as held:
        site.start()
        kept = site.connect()
        ask(kept)
        site.leave()
        wait_until(lambda: site.left)
        comer = site.connect()
        comer.request("GET", "/aware")  # waits in the queue, as the socket is held still
        successor = Site(held.dup(), "second").start()
        assert hear(comer) == ("second", False)
        assert ask(kept) == ("first", True)
        comer.close()
        successor.end()


def test_with_the_last_holder_of_the_socket_gone_connecting_is_refused(site, monkeypatch):
    monkeypatch.setattr(draining, "LAME_DUCK_SECONDS", ENOUGH)
    site.start()
    kept = site.connect()
    ask(kept)
    site.leave()
    wait_until(lambda: site.left)
    with pytest.raises(ConnectionRefusedError):
        ask(site.connect())
    assert ask(kept) == ("first", True)
