"""Run the server: ``python -m mlops_assets.serving --ledger URL --models DIR ... --port N``."""

from __future__ import annotations

import os

# Before numpy is loaded: one row at a time is predicted faster without a pool of threads.
os.environ["OMP_NUM_THREADS"] = "1"

import logging
import signal
import socket
import sys
from datetime import UTC, datetime

import uvicorn

from mlops_assets.serving.app import build_app
from mlops_assets.serving.no_unpickling import refuse_unpickling
from mlops_assets.serving.settings import Settings, parse_arguments
from mlops_assets.serving.state_files import write_atomically

DRAIN_SECONDS = 8
"""How long requests may go on after SIGTERM."""


def main() -> None:
    """Serve until SIGTERM, then exit 0; exit with status 2 when the port is taken."""
    refuse_unpickling()
    settings = parse_arguments()
    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    try:
        listener = bind(settings)
    except OSError as error:
        reason = f"cannot listen on {settings.host} port {settings.port}: {error.strerror or error}"
        sys.stderr.write(f"mlops_assets.serving: {reason}; choose another port\n")
        sys.exit(2)
    # uvicorn repeats the signal that ended it; what is left to do then is to exit as asked.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    announce(settings, listener)
    config = uvicorn.Config(
        build_app(settings),
        access_log=False,
        log_level="warning",
        ws="none",
        timeout_graceful_shutdown=DRAIN_SECONDS,
    )
    uvicorn.Server(config).run(sockets=[listener])


def bind(settings: Settings) -> socket.socket:
    """A socket that listens, so that whoever reads ``server.json`` can connect at once."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((settings.host, settings.port))
    listener.listen(2048)
    return listener


def announce(settings: Settings, listener: socket.socket) -> None:
    """Write ``server.json``: who answers, where, and since when."""
    port = listener.getsockname()[1]
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    server = {
        "pid": os.getpid(),
        "host": settings.host,
        "port": port,
        "started_at": datetime.now(UTC).isoformat(),
        "url": f"http://{host}:{port}",
    }
    write_atomically(settings.state / "server.json", server)


if __name__ == "__main__":
    main()
