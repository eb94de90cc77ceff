"""Processes that run together: none outlives a failure, or whoever started it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from mlops_assets.commands.replay_year.gain import ReplayError
from mlops_assets.commands.replay_year.processes import run_together

MODULE = """
import pathlib, signal, sys, time
from mlops_assets.commands.replay_year.processes import end_with_stdin

signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
end_with_stdin()
told, how = pathlib.Path(sys.argv[1]), sys.argv[2]
told.write_text("began")
try:
    if how == "fail":
        sys.exit(3)
    if how == "wait":
        time.sleep(120)
finally:
    told.write_text("ended")
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "played.py").write_text(textwrap.dedent(MODULE))
    paths = [str(tmp_path), os.environ.get("PYTHONPATH", "")]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, paths)))
    return "played"


def test_when_all_come_through_then_nothing_is_said(module, tmp_path):
    run_together(module, {name: [str(tmp_path / name), "end"] for name in ("one", "two")})
    assert [(tmp_path / name).read_text() for name in ("one", "two")] == ["ended"] * 2


def test_when_one_fails_then_it_is_named_and_the_other_has_ended_in_order(module, tmp_path):
    arguments = {"slow": [str(tmp_path / "slow"), "wait"], "bad": [str(tmp_path / "bad"), "fail"]}
    with pytest.raises(ReplayError, match="bad ended with status 3"):
        run_together(module, arguments)
    # Terminated before it began, it has written nothing; begun, it was let end.
    slow = tmp_path / "slow"
    assert not slow.exists() or slow.read_text() == "ended"


def test_when_whoever_started_it_is_killed_then_the_process_ends_by_itself(module, tmp_path):
    told = tmp_path / "alone"
    code = (
        "from mlops_assets.commands.replay_year.processes import run_together; "
        f"run_together('{module}', {{'alone': ['{told}', 'wait']}})"
    )
    starter = subprocess.Popen([sys.executable, "-c", code])
    wait_for(told, "began")
    os.kill(starter.pid, signal.SIGKILL)
    starter.wait()
    wait_for(told, "ended")


def wait_for(told: Path, text: str, seconds: float = 100) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if told.exists() and told.read_text() == text:
            return
        time.sleep(0.05)
    raise AssertionError(f"{told.name} was not told to have {text}")
