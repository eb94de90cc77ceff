"""The listening socket and the file that announces it."""

from __future__ import annotations

import json
import os
import socket
from datetime import UTC, datetime
from pathlib import Path

import pytest

from mlops_assets.serving.process.listening import announce, bind, describe_bind_error


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.fixture
def listener():
    with bind("127.0.0.1", 0) as made:
        yield made


def port_of(listener):
    return listener.getsockname()[1]


def announced(state):
    return json.loads((state / "server.json").read_text())


def test_callers_connect_before_anybody_accepts(listener):
    callers = [socket.create_connection(("127.0.0.1", port_of(listener))) for _ in range(50)]
    callers[-1].sendall(b"hello")
    for caller in callers:
        accepted, address = listener.accept()
        assert address == caller.getsockname()
        received = accepted
    assert received.recv(5) == b"hello"
    for each in callers:
        each.close()
    received.close()


def test_a_port_that_is_taken_is_an_error_and_leaves_no_socket(listener):
    before = open_files()
    for _ in range(5):
        with pytest.raises(OSError, match="in use"):
            bind("127.0.0.1", port_of(listener))
    assert open_files() == before


def test_an_address_of_another_machine_is_an_error_and_leaves_no_socket():
    before = open_files()
    with pytest.raises(OSError, match="assign"):
        bind("192.0.2.1", 0)  # an address that is reserved for documentation
    assert open_files() == before


def test_a_port_can_be_had_again_while_connections_of_before_linger():
    first = bind("127.0.0.1", 0)
    port = port_of(first)
    with socket.create_connection(("127.0.0.1", port)) as caller:
        accepted, _ = first.accept()
        accepted.close()  # the side that closes first is the one whose port lingers
        first.close()
        assert caller.recv(1) == b""
    with bind("127.0.0.1", port) as again:
        assert port_of(again) == port


@pytest.mark.skipif(not Path("/proc/net/if_inet6").exists(), reason="there is no IPv6 here")
def test_an_address_with_colons_is_one_of_ipv6(tmp_path):
    with bind("::1", 0) as listener:
        with socket.create_connection(("::1", port_of(listener))):
            pass
        announce(tmp_path, listener, "::1", None)
        assert announced(tmp_path)["url"] == f"http://[::1]:{port_of(listener)}"


def test_what_cannot_be_bound_is_one_line_that_says_what_to_do(listener):
    with pytest.raises(OSError, match="in use") as raised:
        bind("127.0.0.1", port_of(listener))
    said = describe_bind_error("127.0.0.1", port_of(listener), raised.value)
    assert said.count("\n") == 1
    for part in (
        "127.0.0.1",
        f"port {port_of(listener)}",
        "Address already in use",
        "another port",
    ):
        assert part in said


def test_an_error_without_a_number_is_told_in_its_own_words():
    assert "cannot listen on h port 1: gone; " in describe_bind_error("h", 1, OSError("gone"))


def test_who_answers_where_and_since_when_is_announced(listener, tmp_path):
    before = datetime.now(UTC)
    announce(tmp_path / "state", listener, "127.0.0.1", None)
    said = announced(tmp_path / "state")
    assert before <= datetime.fromisoformat(said.pop("started_at")) <= datetime.now(UTC)
    port = port_of(listener)
    url = f"http://127.0.0.1:{port}"
    assert said == {"pid": os.getpid(), "host": "127.0.0.1", "port": port, "url": url}


def test_a_supervisor_is_announced_where_there_is_one_and_replaces_what_was_said(
    listener, tmp_path
):
    announce(tmp_path, listener, "127.0.0.1", None)
    announce(tmp_path, listener, "127.0.0.1", 4711)
    assert announced(tmp_path)["supervisor"] == 4711
    assert [path.name for path in tmp_path.iterdir()] == ["server.json"]


def test_a_folder_that_cannot_be_written_is_an_error(listener, tmp_path):
    (tmp_path / "state").write_text("a file where the folder should be")
    with pytest.raises(OSError, match="exists"):
        announce(tmp_path / "state", listener, "127.0.0.1", None)
