"""A server that ends with whoever started it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time

import httpx
import pytest

ENOUGH = 60.0


@pytest.fixture
def tethered(world):
    """The server on a pipe, announced and answering; ended with the test."""
    s = world.settings
    options = {"--ledger": s.ledger, "--models": s.models, "--log": s.log, "--state": s.state}
    words = [str(word) for option in options.items() for word in option]
    command = [sys.executable, "-m", "mlops_assets.serving.process.tethered", *words, "--port", "0"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        while not (s.state / "server.json").exists():
            assert process.poll() is None
            time.sleep(0.01)
        yield process
        process.kill()


def url(world):
    return json.loads((world.settings.state / "server.json").read_text())["url"]


def live(world):
    return httpx.get(f"{url(world)}/v2/health/live", timeout=ENOUGH, trust_env=False).json()


def test_it_is_the_server_and_ends_in_order_when_its_stdin_is_closed(tethered, world):
    assert live(world)["pid"] == tethered.pid
    tethered.stdin.close()
    assert tethered.wait(ENOUGH) == 0
    assert tethered.stderr.read() == b""
    with pytest.raises(httpx.ConnectError):
        live(world)


def test_it_goes_on_whatever_is_written_to_it(tethered, world):
    tethered.stdin.write(b"words" * 10_000)
    tethered.stdin.flush()
    assert live(world)["pid"] == tethered.pid
    assert tethered.poll() is None


def test_it_ends_on_sigterm_as_any_server(tethered, world):
    assert live(world)["live"]
    tethered.send_signal(signal.SIGTERM)
    assert tethered.wait(ENOUGH) == 0
