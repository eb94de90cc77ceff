"""Run the server: ``python -m mlops_assets.serving --ledger URL --models DIR ... --port N``.

With ``--fd`` it answers on a socket that whoever started it holds, so that another process can
answer there before and after it. See ``supervisor``.
"""

from __future__ import annotations

import os

# Before numpy is loaded: one row at a time is predicted faster without a pool of threads.
os.environ["OMP_NUM_THREADS"] = "1"

import argparse
import functools
import importlib
import logging
import signal
import socket
import sys
from collections.abc import Callable

import uvicorn

from mlops_assets.serving.app import build_app
from mlops_assets.serving.no_unpickling import refuse_unpickling
from mlops_assets.serving.process.draining import DRAIN_SECONDS, DrainingServer
from mlops_assets.serving.process.listening import announce, bind, describe_bind_error
from mlops_assets.serving.settings import Settings, parse_arguments

HEAVY = ("sqlalchemy", "sqlalchemy.dialects.sqlite", "pandas", "sklearn.ensemble", "skops.io")
"""What loading a routing and its models imports: most of the time that a start takes."""

logger = logging.getLogger(__name__)


def main(called: Callable[[], None] | None = None) -> None:
    """Serve until SIGTERM, then exit 0; exit with status 2 when the port is taken.

    With ``--spare`` all is imported first, and then ``called`` is waited for.
    """
    refuse_unpickling()
    handed, others = parse_handed(sys.argv[1:])
    settings = parse_arguments(others)
    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    if handed.spare and called:
        for name in HEAVY:
            importlib.import_module(name)
        called()
    listener = _open(settings)
    # uvicorn repeats the signal that ended it; what is left to do then is to exit as asked.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    serve(settings, listener, functools.partial(_tell, settings, listener, handed.ready_fd))


def serve(settings: Settings, listener: socket.socket, accepting: Callable[[], None]) -> None:
    """Answer on ``listener`` until SIGTERM; ``accepting`` is called once there is a routing."""
    app = build_app(settings)
    config = uvicorn.Config(
        app,
        access_log=False,
        log_level="warning",
        ws="none",
        limit_concurrency=settings.concurrency,
        timeout_graceful_shutdown=DRAIN_SECONDS,
    )
    server = DrainingServer(
        config,
        ready=lambda: app.state.watch.routes is not None,
        accepting=accepting,
        leaving=lambda: setattr(app.state, "draining", True),
    )
    server.run(sockets=[listener])


def parse_handed(arguments: list[str]) -> tuple[argparse.Namespace, list[str]]:
    """What only a supervisor says to its worker, and the arguments of every server."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--ready-fd", type=int)
    parser.add_argument("--spare", action="store_true")
    return parser.parse_known_args(arguments)


def _open(settings: Settings) -> socket.socket:
    if settings.fd is not None:
        return socket.socket(fileno=settings.fd)
    try:
        return bind(settings.host, settings.port)
    except OSError as error:
        sys.stderr.write(describe_bind_error(settings.host, settings.port, error))
        sys.exit(2)


def _tell(settings: Settings, listener: socket.socket, ready_fd: int | None) -> None:
    """Say to people and to the supervisor that this process answers from now on."""
    try:
        announce(settings.state, listener, settings.host, settings.supervisor)
    except OSError as error:  # a full disk: answers do not depend on the file
        logger.warning("server.json is not written: %s", error)
    if ready_fd is not None:
        os.write(ready_fd, b"1")
        os.close(ready_fd)


if __name__ == "__main__":
    main()
