"""The socket that callers connect to, and the file that says where it is."""

from __future__ import annotations

import os
import socket
from datetime import UTC, datetime
from pathlib import Path

from mlops_assets.serving.state_files import write_atomically

BACKLOG = 2048
"""Connections that may wait while no worker accepts; the system may allow fewer."""


def bind(host: str, port: int) -> socket.socket:
    """A socket that listens, so that whoever reads ``server.json`` can connect at once.

    Raises ``OSError`` when the port is taken or the address is not one of this machine.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(BACKLOG)
    except OSError:
        listener.close()
        raise
    return listener


def describe_bind_error(host: str, port: int, error: OSError) -> str:
    """One line for whoever started a server that cannot listen."""
    reason = f"cannot listen on {host} port {port}: {error.strerror or error}"
    return f"mlops_assets.serving: {reason}; choose another port\n"


def announce(state: Path, listener: socket.socket, host: str, supervisor: int | None) -> None:
    """Write ``server.json``: who answers, where, since when, and who starts it again.

    Raises ``OSError`` when the folder cannot be written.
    """
    port = listener.getsockname()[1]
    server = {
        "pid": os.getpid(),
        "host": host,
        "port": port,
        "started_at": datetime.now(UTC).isoformat(),
        "url": f"http://{f'[{host}]' if ':' in host else host}:{port}",
    }
    supervised = {} if supervisor is None else {"supervisor": supervisor}
    write_atomically(state / "server.json", {**server, **supervised})
