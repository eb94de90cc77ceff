"""One process of the server as its supervisor sees it. Nothing heavy is imported here."""

from __future__ import annotations

import contextlib
import os
import select
import socket
import subprocess
import sys
import time
from collections.abc import Sequence

MODULE = "mlops_assets.serving.process.tethered"


class Worker:
    """A process that answers on the supervisor's socket once it is ready.

    ``ready_fd`` can be read when it accepts its first connection, and when it has ended.
    ``since``: when it was started, began to answer, or was asked to leave, whichever came last.
    """

    def __init__(self, process: subprocess.Popen[bytes], ready_fd: int, since: float) -> None:
        self.ready_fd = ready_fd
        self.since = since
        self._process = process
        self._ready = False

    @property
    def pid(self) -> int:
        return self._process.pid

    def poll(self) -> int | None:
        """The status it ended with, negative for a signal; None while it lives."""
        status = self._process.poll()
        if status is not None and self.ready_fd >= 0:
            os.close(self.ready_fd)
            self.ready_fd = -1
        return status

    def is_ready(self) -> bool:
        """Whether it accepts connections, or did until now."""
        if not self._ready and self.ready_fd >= 0:
            readable, _, _ = select.select([self.ready_fd], [], [], 0)
            self._ready = bool(readable) and os.read(self.ready_fd, 1) == b"1"
        return self._ready

    def call(self, now: float) -> None:
        """Let a spare go on."""
        self.since = now
        with contextlib.suppress(OSError):  # it died this moment, as ``poll`` will say
            os.write(self._stdin, b"1")

    def drain(self) -> None:
        """Ask it to answer what it has accepted, and go."""
        self._process.terminate()

    def kill(self) -> None:
        """End it at once."""
        self._process.kill()

    @property
    def _stdin(self) -> int:
        assert self._process.stdin is not None
        return self._process.stdin.fileno()


def start_worker(options: Sequence[str], listener: socket.socket, *, spare: bool) -> Worker:
    """Start a worker on ``listener``. Raises ``OSError`` when the system has no process left.

    Its stdin is a pipe that closes with this process, and the worker ends with it.
    """
    ready, told = os.pipe()
    handed = {"--fd": listener.fileno(), "--supervisor": os.getpid(), "--ready-fd": told}
    words = [str(word) for option in handed.items() for word in option]
    try:
        process = subprocess.Popen(  # noqa: S603 - this interpreter with our own arguments
            [sys.executable, "-m", MODULE, *options, *words, *(["--spare"] if spare else [])],
            stdin=subprocess.PIPE,
            pass_fds=(listener.fileno(), told),
        )
    except OSError:
        os.close(ready)
        raise
    finally:
        os.close(told)
    return Worker(process, ready, time.monotonic())
