"""What the server is told on its command line, and two secrets its environment may hold."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

LEDGER_VARIABLE = "MLOPS_ASSETS_LEDGER_URL"
TOKEN_VARIABLE = "MLOPS_ASSETS_SERVING_TOKEN"  # noqa: S105 - the name of a variable
WHEN_LOG_FAILS = ("refuse", "answer")


@dataclass(frozen=True)
class Settings:
    """Where the server reads and writes, and how much of one request it takes.

    ``ledger`` is an SQLAlchemy URL, ``models`` the folder of model files, ``log`` the folder of
    the prediction log, ``state`` the folder of ``routing.json`` and ``server.json``, ``online``
    the folder of online tables. ``deadline`` (seconds) is how long a canary or shadow may take;
    ``when_log_fails`` whether a prediction that cannot be logged is refused or answered all the
    same; ``concurrency`` how many connections are served at once, None for no limit. Routing is
    changed by whoever sends ``token``, or comes through a proxy that sets ``proxy_header``.
    ``fd`` is a socket that listens already, ``supervisor`` the pid of the process that holds it.
    ``ledger`` and ``token`` may hold secrets, so they are never shown.
    """

    ledger: str = field(repr=False)
    models: Path
    log: Path
    state: Path
    port: int
    host: str = "127.0.0.1"
    max_body_bytes: int = 1 << 20
    max_rows: int = 1000
    deadline: float = 2.0
    when_log_fails: Literal["refuse", "answer"] = "refuse"
    online: Path | None = None
    concurrency: int | None = None
    token: str | None = field(default=None, repr=False)
    proxy_header: str | None = None
    fd: int | None = None
    supervisor: int | None = None


def parse_arguments(arguments: Sequence[str] | None = None) -> Settings:
    """The settings a command line gives; exits with status 2 when it is not understood."""
    parser = argparse.ArgumentParser(
        prog="python -m mlops_assets.serving",
        description="Serve models over REST (Open Inference Protocol v2, KServe v1).",
    )
    _add_places(parser)
    _add_limits(parser)
    _add_access(parser)
    given = vars(parser.parse_args(arguments))
    given["ledger"] = given["ledger"] or os.environ.get(LEDGER_VARIABLE)
    if not given["ledger"]:
        parser.error(f"which ledger? give --ledger URL, or set {LEDGER_VARIABLE}")
    given["token"] = _read_token(parser, given.pop("token_file"))
    return Settings(**given)


def _add_places(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--ledger",
        help=f"SQLAlchemy URL of the ledger; by default that of {LEDGER_VARIABLE}, where a "
        "password in it is not seen by others who list processes",
    )
    for name, needed, meaning in (
        ("--models", True, "folder of model files, one folder per digest"),
        ("--log", True, "folder the prediction log is written to"),
        ("--state", True, "folder of routing.json and server.json"),
        ("--online", False, "folder of online tables, to look up features a request leaves out"),
    ):
        parser.add_argument(name, required=needed, type=_folder, help=meaning)
    parser.add_argument("--host", default=Settings.host, help="address to bind (%(default)s)")
    parser.add_argument("--port", required=True, type=int, help="port to bind, 0 for a free one")
    parser.add_argument("--fd", type=int, help="a socket that listens already, instead of binding")
    parser.add_argument("--supervisor", type=int, help="pid of the process that holds the socket")


def _add_limits(parser: argparse.ArgumentParser) -> None:
    for name, default, meaning in (
        ("--max-body-bytes", Settings.max_body_bytes, "largest request body (%(default)s)"),
        ("--max-rows", Settings.max_rows, "most rows in one request (%(default)s)"),
        ("--concurrency", Settings.concurrency, "most connections at once (no limit)"),
    ):
        parser.add_argument(name, default=default, type=_positive, help=meaning)
    parser.add_argument(
        "--deadline",
        default=Settings.deadline,
        type=_seconds,
        help="seconds a canary or shadow may take for one request (%(default)s)",
    )
    parser.add_argument(
        "--when-log-fails",
        default=Settings.when_log_fails,
        choices=WHEN_LOG_FAILS,
        help="whether predictions that cannot be logged are refused or answered (%(default)s)",
    )


def _add_access(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--token-file",
        type=Path,
        help="file with the token that whoever changes the routing has to send; by default the "
        f"token is that of {TOKEN_VARIABLE}",
    )
    parser.add_argument(
        "--proxy-header",
        type=_header_name,
        help="header in which a proxy that authenticates names the person; only for a server "
        "that nobody reaches but through that proxy",
    )


def _read_token(parser: argparse.ArgumentParser, file: Path | None) -> str | None:
    """The token of the file, or of the environment; None without either."""
    if file is None:
        return os.environ.get(TOKEN_VARIABLE, "").strip() or None
    try:
        token = file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        parser.error(f"--token-file: {file} cannot be read: {type(error).__name__}")
    if not token:
        parser.error(f"--token-file: {file} is empty, write a token of random letters into it")
    return token


def _folder(text: str) -> Path:
    return Path(text).resolve()


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, got {number}")
    return number


def _seconds(text: str) -> float:
    number = float(text)
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError(f"must be above 0, got {text}")
    return number


def _header_name(text: str) -> str:
    if not text.isascii() or not text.replace("-", "").isalnum():
        raise argparse.ArgumentTypeError("must be the name of a header, like X-Forwarded-User")
    return text.lower()
