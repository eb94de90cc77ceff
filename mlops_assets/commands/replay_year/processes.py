"""Several processes at once, all of which end when one fails and when this one does."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence

from mlops_assets.commands.replay_year.gain import ReplayError

END_SECONDS = 20
PAUSE = 0.2


def run_together(module: str, arguments: Mapping[str, Sequence[str]]) -> None:
    """Run a module of this project once per name, at the same time, each on one thread.

    Raises ``ReplayError`` naming the first that fails; the others are ended then, and whenever
    this is left, however that comes.
    """
    running: dict[str, subprocess.Popen[bytes]] = {}
    try:
        for name, words in arguments.items():
            running[name] = _start(module, words)
        _await_all(running)
    finally:
        for process in running.values():
            process.terminate()
        for process in running.values():
            _end(process)


def end_with_stdin() -> None:
    """Terminate this process once whoever started it is gone: the system closes the pipe then."""

    def wait() -> None:
        while os.read(0, 4096):
            pass
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=wait, name="tether", daemon=True).start()


def _start(module: str, words: Sequence[str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-W", "ignore", "-m", module, *words],
        stdin=subprocess.PIPE,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


def _await_all(running: Mapping[str, subprocess.Popen[bytes]]) -> None:
    waiting = dict(running)
    while waiting:
        for name in [name for name, process in waiting.items() if process.poll() is not None]:
            status = waiting.pop(name).returncode
            if status:
                raise ReplayError(f"replay-year: {name} ended with status {status}, see above")
        time.sleep(PAUSE)


def _end(process: subprocess.Popen[bytes]) -> None:
    try:
        process.wait(END_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if process.stdin:
        process.stdin.close()
