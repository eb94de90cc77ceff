"""Drift reports in a browser: what is served over HTTP, and what never is."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
import uvicorn

from mlops_assets.commands.ports import free_port
from mlops_assets.commands.reports import build_app

PAGE = "<!doctype html><title>a page</title>"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder of two pages beside what nobody is to see."""
    pages = tmp_path / "state" / "reports" / "delays"
    pages.mkdir(parents=True)
    for age, name in ((100, "drift-2013-05-20-v1"), (10, "drift <b>&-v2")):
        path = pages / f"{name}.html"
        path.write_text(f"{PAGE}{age}")
        os.utime(path, (1_600_000_000 - age,) * 2)
    (pages / "half.writing").write_text("half a page")
    (pages / "notes.txt").write_text("a secret")
    (tmp_path / "state" / "ledger.html").write_text("a secret")
    (pages / "linked.html").symlink_to(tmp_path / "state" / "ledger.html")
    return pages.parent


@pytest.fixture
def address(root: Path) -> Iterator[str]:
    """Where a real server of that folder answers."""
    with serve(root) as address:
        yield address


@contextmanager
def serve(root: Path) -> Iterator[str]:
    port = free_port()
    app = build_app(root, ("reports.example",))
    server = uvicorn.Server(uvicorn.Config(app, "127.0.0.1", port, log_level="critical"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    try:
        yield f"127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join()


def ask(address: str, path: str, method: str = "GET", **headers: str) -> httpx.Response:
    with httpx.Client(trust_env=False) as client:
        return client.request(method, f"http://{address}{path}", headers=headers)


def ask_raw(address: str, path: str) -> bytes:
    """The answer to a path that no client would send as it is."""
    host, port = address.split(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        said = f"GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"
        connection.sendall(said.encode())
        return b"".join(iter(lambda: connection.recv(65536), b""))


def test_a_page_is_opened_by_its_name(address):
    page = ask(address, "/delays/drift-2013-05-20-v1.html")
    assert (page.status_code, page.text) == (200, f"{PAGE}100")
    assert page.headers["content-type"].startswith("text/html")


def test_the_index_lists_the_pages_newest_first_and_nothing_else(address):
    index = ask(address, "/").text
    newest, older = "/delays/drift%20%3Cb%3E%26-v2.html", "/delays/drift-2013-05-20-v1.html"
    assert 0 < index.index(newest) < index.index(older)
    assert "drift &lt;b&gt;&amp;-v2" in index
    assert "<b>" not in index
    assert "notes" not in index
    assert "writing" not in index
    assert ask(address, newest).text == f"{PAGE}10"


def test_without_a_page_the_index_says_so(tmp_path):
    with serve(tmp_path / "never made") as address:
        assert "None was drawn yet" in ask(address, "/").text
        assert ask(address, "/any.html").status_code == 404


@pytest.mark.parametrize(
    "path",
    [
        "/../ledger.html",
        "/delays/../../ledger.html",
        "/%2e%2e/ledger.html",
        "/..%2fledger.html",
        "/delays/%2e%2e/%2e%2e/ledger.html",
        "/..%5cledger.html",
        "//ledger.html",
        "/delays/linked.html",
        "/delays/notes.txt",
        "/delays/half.writing",
        "/delays/",
        "/delays",
        "/delays/notes.txt%00.html",
        "/nothing.html",
        "/" + "a" * 3000 + ".html",
    ],
)
def test_no_other_file_and_no_folder_is_served(address, path):
    answer = ask_raw(address, path)
    assert answer.split(b" ", 2)[1] in (b"400", b"404"), answer
    assert b"secret" not in answer
    assert b"half a page" not in answer


def test_an_absolute_path_leads_nowhere(address, root):
    answer = ask_raw(address, f"/{root.parent / 'ledger.html'}")
    assert b" 404 " in answer.splitlines()[0]
    assert b"secret" not in answer


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
@pytest.mark.parametrize("path", ["/", "/delays/drift-2013-05-20-v1.html"])
def test_nothing_can_be_changed(address, root, method, path):
    assert ask(address, path, method).status_code == 405
    assert (root / "delays" / "drift-2013-05-20-v1.html").exists()


@pytest.mark.parametrize(
    ("host", "status"),
    [("localhost", 200), ("127.0.0.1", 200), ("reports.example", 200), ("evil.example", 400)],
)
def test_a_foreign_name_that_leads_here_is_not_answered(address, host, status):
    assert ask(address, "/", Host=host).status_code == status


@pytest.mark.parametrize("path", ["/", "/delays/drift-2013-05-20-v1.html"])
def test_a_page_may_load_nothing_and_tell_nobody(address, path):
    headers = ask(address, path).headers
    rules = dict(
        [*rule.strip().split(" ", 1), ""][:2]
        for rule in headers["content-security-policy"].split(";")
    )
    assert rules["default-src"] == "'none'"
    assert not any(":" in rule.replace("data:", "").replace("blob:", "") for rule in rules.values())
    assert "allow-same-origin" not in rules["sandbox"]
    assert headers["x-content-type-options"] == "nosniff"


def test_a_page_that_is_drawn_again_is_seen_at_once(address, root):
    path = root / "delays" / "drift-2013-05-20-v1.html"
    first = ask(address, "/delays/drift-2013-05-20-v1.html")
    path.write_text("drawn again")
    again = ask(
        address,
        "/delays/drift-2013-05-20-v1.html",
        **{"If-None-Match": first.headers["etag"]},
    )
    assert (first.headers["cache-control"], again.text) == ("no-cache", "drawn again")


def test_the_process_serves_the_folder_that_the_environment_names(root):
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "mlops_assets.commands.reports", str(port)],
        env={**os.environ, "MLOPS_ASSETS_STATE": str(root.parent)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        assert "drift-2013-05-20-v1" in wait_for_index(f"127.0.0.1:{port}", process)
    finally:
        process.terminate()
        process.wait(30)
    with pytest.raises(httpx.TransportError):
        ask(f"127.0.0.1:{port}", "/")


def wait_for_index(address: str, process: subprocess.Popen[bytes]) -> str:
    for _ in range(600):
        assert process.poll() is None
        try:
            return ask(address, "/").text
        except httpx.TransportError:
            time.sleep(0.1)
    pytest.fail("the server did not answer")
