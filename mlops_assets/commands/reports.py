"""Drift reports in a browser: ``python -m mlops_assets.commands.reports PORT``.

Reads one folder of HTML pages and nothing else. Pages show values that callers sent, so whatever
script one holds may reach neither the network nor another page.
"""

from __future__ import annotations

import html
import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.responses import HTMLResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from mlops_assets.commands.ports import HOST

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.types import Scope

_LISTED = 500
_PAGE = ".html"
_HEADERS = {
    "Content-Security-Policy": "sandbox allow-scripts allow-downloads; default-src 'none'; "
    "script-src 'unsafe-inline' 'unsafe-eval'; style-src 'unsafe-inline'; font-src data:; "
    "img-src data: blob:; worker-src blob:; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    # A page that is drawn again has the same address.
    "Cache-Control": "no-cache",
}
_INDEX = """<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><title>Drift reports</title>
<style>body {{ font: 15px/1.6 sans-serif; margin: 2em }} td {{ padding-right: 2em }}</style></head>
<body><h1>Drift reports</h1>{rows}</body>
</html>
"""


class _Pages(StaticFiles):
    """HTML pages below a folder; any other file is as if it were not there."""

    def lookup_path(self, path: str) -> tuple[str, os.stat_result | None]:
        return super().lookup_path(path) if path.endswith(_PAGE) else ("", None)

    async def get_response(self, path: str, scope: Scope) -> Response:
        response = await super().get_response(path, scope)
        response.headers.update(_HEADERS)
        return response


def build_app(root: Path, hosts: tuple[str, ...] = ()) -> Starlette:
    """The pages below ``root``, with an index at ``/``, the newest first.

    Only requests for this machine, or for one of ``hosts``, are answered: a foreign site whose name
    leads here must not read the pages.
    """
    root.mkdir(parents=True, exist_ok=True)

    def index(_: Request) -> HTMLResponse:
        return HTMLResponse(_build_index(root), headers=_HEADERS)

    return Starlette(
        routes=[Route("/", index), Mount("/", _Pages(directory=root))],
        middleware=[
            Middleware(TrustedHostMiddleware, allowed_hosts=[HOST, "localhost", *hosts]),
        ],
    )


def run_reports(port: int) -> None:
    """Serve until the process is told to end."""
    import uvicorn

    from mlops_assets.defs.platform.resources import build_reports, read_settings

    reports = build_reports(read_settings(os.environ))
    host = urlsplit(reports.url).hostname
    app = build_app(reports.root, (host,) if host else ())
    uvicorn.run(app, host=HOST, port=port, log_level="warning", access_log=False)


def _build_index(root: Path) -> str:
    # A page may be replaced while they are listed: its address stays, and what is gone has none.
    dated = [(path.stat().st_mtime, path) for path in root.rglob(f"*{_PAGE}") if path.is_file()]
    newest = sorted(dated, key=lambda each: (-each[0], each[1]))[:_LISTED]
    rows = "".join(_row(root, path, at) for at, path in newest)
    return _INDEX.format(rows=f"<table>{rows}</table>" if rows else "<p>None was drawn yet.</p>")


def _row(root: Path, path: Path, at: float) -> str:
    name = path.relative_to(root).as_posix()
    drawn = datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M UTC")
    shown = html.escape(name.removesuffix(_PAGE))
    return f'<tr><td><a href="/{quote(name)}">{shown}</a></td><td>{drawn}</td></tr>'


if __name__ == "__main__":
    run_reports(int(sys.argv[1]))
