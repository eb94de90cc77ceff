"""What the server is told on its command line; it reads no environment variable."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Settings:
    """Where the server reads and writes, and how much of one request it takes.

    ``ledger`` is an SQLAlchemy URL, ``models`` the folder of model files, ``log`` the folder of
    the prediction log, ``state`` the folder of ``routing.json`` and ``server.json``.
    """

    ledger: str
    models: Path
    log: Path
    state: Path
    port: int
    host: str = "127.0.0.1"
    max_body_bytes: int = 1 << 20
    max_rows: int = 1000


def parse_arguments(arguments: Sequence[str] | None = None) -> Settings:
    """The settings a command line gives; exits with status 2 when it is not understood."""
    parser = argparse.ArgumentParser(
        prog="python -m mlops_assets.serving",
        description="Serve models over REST (v2 protocol).",
    )
    parser.add_argument("--ledger", required=True, help="SQLAlchemy URL of the ledger")
    for name, meaning in (
        ("--models", "folder of model files, one folder per digest"),
        ("--log", "folder the prediction log is written to"),
        ("--state", "folder of routing.json and server.json"),
    ):
        parser.add_argument(name, required=True, type=_folder, help=meaning)
    parser.add_argument("--host", default=Settings.host, help="address to bind (%(default)s)")
    parser.add_argument("--port", required=True, type=int, help="port to bind, 0 for a free one")
    for name, default, meaning in (
        (
            "--max-body-bytes",
            Settings.max_body_bytes,
            "largest request body (%(default)s)",
        ),
        ("--max-rows", Settings.max_rows, "most rows in one request (%(default)s)"),
    ):
        parser.add_argument(name, default=default, type=_positive, help=meaning)
    return Settings(**vars(parser.parse_args(arguments)))


def _folder(text: str) -> Path:
    return Path(text).resolve()


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, got {number}")
    return number
