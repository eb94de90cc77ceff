"""The measurement of the model server is itself held to: what it counts, what it divides by what.

``mlops_assets.commands.bench.serving``: load, floor, contenders, measure. The servers of others
need an environment of their own and are started by ``make bench-serving`` only.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from mlops_assets.commands.bench.serving import floor
from mlops_assets.commands.bench.serving.contenders import (
    Contender,
    end_tree,
    measure_memory,
    running,
    tree,
)
from mlops_assets.commands.bench.serving.load import Target, put_load
from mlops_assets.commands.bench.serving.measure import LOADS, tell_serving

CONSTANT = Contender(
    "floor",
    lambda port: [sys.executable, floor.__file__, str(port)],
    "/infer",
    lambda _: b"{}",
    {},
)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, int]]:
    import polars as pl

    with running(CONSTANT, pl.DataFrame({"x": [1.0]}), tmp_path_factory.mktemp("floor")) as at:
        yield at


@pytest.mark.parametrize("clients", [1, 5])
def test_answered_requests_are_counted_and_timed(server: tuple[int, int], clients: int) -> None:
    load = put_load(Target(server[0], "/infer", [b"{}", b"[1]"]), clients=clients, seconds=0.3)
    assert load.per_second > 0
    assert load.failed == 0
    assert 0 < load.p50 <= load.p99


def test_the_rows_of_a_frame_become_requests_of_the_height_asked_for() -> None:
    import polars as pl

    rows = pl.DataFrame({"x": [1, 2, 3, 4, 5]})
    counted = Contender(
        "", CONSTANT.command, "/infer", lambda r: str(r["x"].to_list()).encode(), {}
    )
    assert counted.target(1, rows, 2).bodies == [b"[1, 2]", b"[3, 4]"]


REFUSING = """
import sys, uvicorn
async def app(scope, receive, send):
    while (await receive()).get("more_body"): pass
    head = [(b"content-length", b"0")]
    await send({"type": "http.response.start", "status": 500, "headers": head})
    await send({"type": "http.response.body", "body": b""})
uvicorn.run(app, port=int(sys.argv[1]), lifespan="off", log_level="error")
"""


def test_requests_that_are_refused_count_as_failed(tmp_path: Any) -> None:
    from mlops_assets.commands.ports import free_port

    port = free_port()
    process = subprocess.Popen([sys.executable, "-c", REFUSING, str(port)])
    try:
        _wait_for(port)
        load = put_load(Target(port, "/infer", [b"{}"]), clients=2, seconds=0.2)
        assert load.failed > 0
    finally:
        end_tree(process)
    assert process.poll() is not None


def _wait_for(port: int) -> None:
    import socket
    import time

    for _ in range(200):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise AssertionError("the server did not come up")


def test_a_server_that_does_not_start_is_named_with_what_it_said(tmp_path: Any) -> None:
    import polars as pl

    broken = Contender("broken", lambda _: [sys.executable, "-c", "1/0"], "/", lambda _: b"", {})
    with (
        pytest.raises(RuntimeError, match="broken does not answer"),
        running(broken, pl.DataFrame({"x": [1]}), tmp_path),
    ):
        pass


def test_memory_is_that_of_the_process_and_of_all_it_started() -> None:
    code = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'input()'])"
    process = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE)
    try:
        while len(tree(process.pid)) < 2:
            assert process.poll() is None
        assert tree(process.pid)[0] == process.pid
        assert measure_memory(os.getpid()) > measure_memory(process.pid) > 0
    finally:
        end_tree(process)


def _figures(per_second: float, p99: float, megabytes: float) -> dict[str, Any]:
    load = {"per_second": per_second, "p50": p99 / 2, "p99": p99, "failed": 0.0}
    return {**dict.fromkeys(LOADS, load), "megabytes": megabytes}


def test_ours_is_divided_by_the_better_of_the_others() -> None:
    told = tell_serving(
        {
            "tree": {
                "mlops-assets": _figures(1500, 1, 90),
                "floor (a constant)": _figures(9000, 0.1, 10),
                "mlflow models serve": _figures(100, 20, 300),
                "KServe SDK v1": _figures(50, 10, 100),
            }
        }
    )
    assert "1 client: 15.0 times the better of the others" in told
    assert "p99 0.100 of theirs" in told
    assert "memory: 0.90 of theirs" in told


def test_failed_requests_are_not_hidden() -> None:
    figures = _figures(1, 1, 1)
    figures["1 client"] = {**figures["1 client"], "failed": 3.0}
    servers = {"mlops-assets": figures, "mlflow models serve": _figures(1, 1, 1)}
    assert "3 FAILED" in tell_serving({"tree": servers})
