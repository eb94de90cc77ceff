"""The conformance suite itself: valid requests from any metadata, and a server that fails it."""

from __future__ import annotations

import json
import os
import re
import struct
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest

from mlops_assets_tests.conformance.endpoint import check_refusal
from mlops_assets_tests.conformance.template import (
    A_TEXT,
    Input,
    template_of_example,
    template_of_metadata,
)

ROOT = Path(__file__).parents[2]
METADATA = [
    {"name": "image", "datatype": "FP32", "shape": [-1, 2, -1]},
    {"name": "size", "datatype": "FP64", "shape": [-1]},
    {"name": "label", "datatype": "BYTES", "shape": [-1, 1]},
    {"name": "flag", "datatype": "BOOL", "shape": [-1]},
]


def test_a_request_has_the_shapes_and_datatypes_of_the_metadata():
    tensors = template_of_metadata(METADATA).request(3)["inputs"]
    assert [tensor["shape"] for tensor in tensors] == [[3, 2, 1], [3], [3, 1], [3]]
    assert [len(tensor["data"]) for tensor in tensors] == [6, 3, 3, 3]
    assert [tensor["data"][0] for tensor in tensors] == [1.0, 1.0, A_TEXT, True]


def test_an_example_is_repeated_row_by_row():
    shown = {"name": "x", "datatype": "FP64", "shape": [2, 2], "data": [[1.0, 2.0], [3.0, 4.0]]}
    (tensor,) = template_of_example({"inputs": [shown]}).request(2)["inputs"]
    assert tensor == {"name": "x", "datatype": "FP64", "shape": [2, 2], "data": [1.0, 2.0] * 2}


def test_one_input_is_changed_or_loses_a_field():
    template = template_of_metadata(METADATA)
    assert template.numeric is not None
    request = template.changed(template.numeric.name, name="other", data=...)
    changed = request["inputs"][1]
    assert changed == {"name": "other", "shape": [1], "datatype": "FP64"}
    assert template.request()["inputs"][1]["name"] == "size"


def test_elements_are_packed_as_the_extension_says():
    assert Input("x", "INT16", (), (-2,)).raw(2) == struct.pack("<2h", -2, -2)
    assert Input("x", "BYTES", (), ("ü",)).raw() == b"\x02\x00\x00\x00\xc3\xbc"


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(200, json={"error": "no"}),
        httpx.Response(500, json={"error": "no"}),
        httpx.Response(400, json={"detail": "no"}),
        httpx.Response(400, json={"error": {"reason": "no"}}),
        httpx.Response(400, json={"error": ""}),
        httpx.Response(400, json=["no"]),
    ],
    ids=lambda answer: f"{answer.status_code}-{answer.text}",
)
def test_what_is_no_error_of_the_protocol_fails_a_check(answer):
    check_refusal(httpx.Response(400, json={"error": "no"}))
    with pytest.raises(AssertionError):
        check_refusal(answer)


class Broken(BaseHTTPRequestHandler):
    """Alive, and fails at everything else."""

    def do_GET(self):
        self.send_response(200 if self.path == "/v2/health/live" else 500)
        self.end_headers()
        self.wfile.write(b'{"live": true}')

    def log_message(self, *_):
        pass


def test_another_server_is_checked_by_its_address_and_told_how_it_did(tmp_path):
    example = tmp_path / "example.json"
    tensor = {"name": "x", "datatype": "FP64", "shape": [1], "data": [1.0]}
    example.write_text(json.dumps({"inputs": [tensor]}))
    server = ThreadingHTTPServer(("127.0.0.1", 0), Broken)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    file = "mlops_assets_tests/conformance/test_health_and_metadata.py"
    options = ["--endpoint", f"http://127.0.0.1:{server.server_port}", "--model", "m"]
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", file, *options]
    done = subprocess.run(
        [*command, "--example", str(example)],
        cwd=ROOT,
        env={**os.environ, "PYTEST_ADDOPTS": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    server.shutdown()
    server.server_close()
    said = re.search(r"conformance: (\d+) of (\d+) checks passed", done.stdout)
    assert said, done.stdout[-2000:]
    assert (done.returncode, int(said[1])) == (1, 1)
    assert int(said[2]) > 15
