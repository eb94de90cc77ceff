"""Alerts: whole messages in order, and no address told to anybody."""

from __future__ import annotations

import http.server
import json
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from mlops_assets.adapters.alerts import AppriseAlerts, FileAlerts
from mlops_assets.adapters.in_memory import InMemoryAlerts
from mlops_assets.lifecycle.errors import EndpointError

SECRET = "hunter2"

ENDLESS_SENDER = """
import sys
from pathlib import Path
from mlops_assets.adapters.alerts import FileAlerts
alerts, number = FileAlerts(Path(sys.argv[1])), 0
while True:
    number += 1
    alerts.send(str(number), str(number) * 2000)
    print(number, flush=True)
"""


class AlertsContract:
    def test_before_any_message_nothing_is_received(self, received):
        assert received() == []

    def test_messages_are_received_in_order(self, alerts, received):
        for number in range(3):
            alerts.send(f"title {number}", f"body {number}")
        assert received() == [(f"title {number}", f"body {number}") for number in range(3)]

    @pytest.mark.parametrize(
        "text",
        ['a "quoted" word', "two\nlines", "späť ✓", "{json: [1]}", "100 % \\ <b>", "x" * 5000],
    )
    def test_whatever_a_message_says_is_received_as_it_is(self, alerts, received, text):
        alerts.send("title", text)
        assert received() == [("title", text)]

    def test_when_everybody_is_reached_then_nobody_is_said_to_miss_it(self, alerts):
        assert alerts.send("title", "body") == []

    def test_the_same_message_twice_is_received_twice(self, alerts, received):
        for _ in range(2):
            alerts.send("title", "body")
        assert received() == [("title", "body")] * 2

    def test_messages_of_8_threads_are_all_received_whole(self, alerts, received):
        sent = [(f"title {number}", f"{number} " * 50 + "end") for number in range(40)]
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda message: alerts.send(*message), sent))
        assert sorted(received()) == sorted(sent)


class TestInMemoryAlerts(AlertsContract):
    @pytest.fixture
    def alerts(self):
        return InMemoryAlerts()

    @pytest.fixture
    def received(self, alerts):
        return lambda: list(alerts.sent)


def read_messages(path):
    lines = path.read_text().splitlines() if path.exists() else []
    return [(said["title"], said["body"]) for said in map(json.loads, lines)]


class TestFileAlerts(AlertsContract):
    @pytest.fixture
    def alerts(self, tmp_path):
        return FileAlerts(tmp_path / "deep" / "alerts.jsonl")

    @pytest.fixture
    def received(self, alerts):
        return lambda: read_messages(alerts.path)

    def test_messages_of_an_earlier_process_are_kept(self, alerts, received):
        alerts.send("first", "body")
        FileAlerts(alerts.path).send("second", "body")
        assert received() == [("first", "body"), ("second", "body")]

    def test_nobody_else_can_read_the_file(self, alerts):
        alerts.send("title", "body")
        assert alerts.path.stat().st_mode & 0o077 == 0

    def test_when_a_sender_is_killed_then_only_whole_messages_are_left(self, alerts, received):
        with subprocess.Popen(
            [sys.executable, "-c", ENDLESS_SENDER, str(alerts.path)],
            stdout=subprocess.PIPE,
            text=True,
        ) as sender:
            for _ in range(200):
                sender.stdout.readline()
            sender.send_signal(signal.SIGKILL)
        assert sender.returncode == -signal.SIGKILL
        left = received()
        assert len(left) >= 200
        assert left == [(str(n), str(n) * 2000) for n in range(1, len(left) + 1)]


class Inbox(http.server.ThreadingHTTPServer):
    """A service that keeps what is posted to it, and answers with ``status``."""

    status = 200

    def __init__(self):
        self.messages = []
        super().__init__(("127.0.0.1", 0), Receiver)

    @property
    def address(self):
        return f"json://user:{SECRET}@127.0.0.1:{self.server_port}"


class Receiver(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        said = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.messages.append((said["title"], said["message"]))
        self.send_response(self.server.status)
        self.end_headers()

    def log_message(self, format, *args):  # noqa: A002 - the name is http.server's
        pass


@pytest.fixture
def inboxes():
    """Two services; a third address has nobody listening."""
    servers = [Inbox(), Inbox()]
    threads = [threading.Thread(target=server.serve_forever, args=(0.01,)) for server in servers]
    for thread in threads:
        thread.start()
    yield servers
    for server, thread in zip(servers, threads, strict=True):
        server.shutdown()
        thread.join()
        server.server_close()


class TestAppriseAlerts(AlertsContract):
    @pytest.fixture
    def alerts(self, inboxes):
        return AppriseAlerts((inboxes[0].address,))

    @pytest.fixture
    def received(self, inboxes):
        return lambda: inboxes[0].messages

    def test_every_address_gets_the_message(self, inboxes):
        AppriseAlerts(tuple(inbox.address for inbox in inboxes)).send("title", "body")
        assert [inbox.messages for inbox in inboxes] == [[("title", "body")]] * 2

    def test_when_one_address_refuses_then_the_other_got_it_and_it_says_who_did_not(self, inboxes):
        inboxes[0].status = 500
        (missed,) = AppriseAlerts(tuple(inbox.address for inbox in inboxes)).send("a title", "body")
        assert missed == "alerts: 'a title' did not reach address 1"
        assert inboxes[1].messages == [("a title", "body")]

    def test_when_no_address_takes_it_then_it_is_an_error(self, inboxes):
        for inbox in inboxes:
            inbox.status = 500
        with pytest.raises(EndpointError, match="the title") as raised:
            AppriseAlerts(tuple(inbox.address for inbox in inboxes)).send("the title", "body")
        assert SECRET not in str(raised.value)

    def test_when_nobody_listens_any_more_then_it_is_an_error(self):
        gone = Inbox()
        gone.server_close()
        with pytest.raises(EndpointError, match="the title"):
            AppriseAlerts((gone.address,)).send("the title", "body")

    def test_no_secret_is_logged_when_an_address_refuses(self, inboxes, caplog):
        inboxes[0].status = 500
        with caplog.at_level("INFO"):
            AppriseAlerts(tuple(inbox.address for inbox in inboxes)).send("title", "body")
        assert SECRET not in caplog.text

    @pytest.mark.parametrize("address", [f"nosuch://user:{SECRET}@host", f"{SECRET}", "json://"])
    def test_an_address_nobody_understands_is_named_by_its_number_only_and_the_others_are_reached(
        self, inboxes, address, caplog
    ):
        with caplog.at_level("INFO"):
            missed = AppriseAlerts((inboxes[0].address, address)).send("title", "body")
        assert missed == ["alerts: address 2 is none that Apprise understands"]
        assert inboxes[0].messages == [("title", "body")]
        assert SECRET not in caplog.text

    def test_when_nobody_understands_the_only_address_then_it_is_an_error(self, caplog):
        with pytest.raises(EndpointError, match="address 1 is none") as raised:
            AppriseAlerts((f"slack://{SECRET}",)).send("the title", "body")
        assert SECRET not in str(raised.value) + caplog.text

    @pytest.mark.parametrize(
        ("form", "received"),
        [
            ("text", "<b>: a * 2\nhttp://ui"),
            ("html", "&lt;b&gt;:&nbsp;a&nbsp;*&nbsp;2<br/>http://ui"),
            ("markdown", "<b\\>: a \\* 2\nhttp://ui"),
        ],
    )
    def test_given_a_service_that_shows_html_or_markdown_then_nothing_of_a_message_is_taken_for_it(
        self, inboxes, form, received
    ):
        alerts = AppriseAlerts((f"{inboxes[0].address}/?format={form}",))
        alerts.send("title", "<b>: a * 2\nhttp://ui")
        assert inboxes[0].messages == [("title", received)]

    def test_no_address_is_shown(self, alerts):
        assert SECRET not in f"{alerts!r} {alerts}"
