"""Run the server for as long as whoever started it lives: it ends when its stdin is closed.

The system closes the pipe however the other side ended, also by ``kill -9``; signals for the death
of a parent exist on one system only, and there they follow its thread. What is written to the pipe
calls a server that was started as a spare.
"""

from __future__ import annotations

# First: it sets what numpy reads when it is loaded.
from mlops_assets.serving.__main__ import main  # isort: skip

import os
import signal
import threading
import time

from mlops_assets.serving.process.draining import DRAIN_SECONDS, LAME_DUCK_SECONDS

GRACE_SECONDS = LAME_DUCK_SECONDS + DRAIN_SECONDS + 2
"""How long the server may take to drain before the process ends regardless."""

_called = threading.Event()


def main_until_left_alone() -> None:
    """Serve until SIGTERM, or until nobody holds the other end of stdin."""
    threading.Thread(target=_end_with_stdin, name="tether", daemon=True).start()
    main(_wait_until_called)


def _wait_until_called() -> None:
    _called.wait()


def _end_with_stdin() -> None:
    # Not through sys.stdin: an interpreter that exits aborts when a thread holds its lock.
    while os.read(0, 4096):
        _called.set()
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(GRACE_SECONDS)
    os._exit(1)


if __name__ == "__main__":
    main_until_left_alone()
