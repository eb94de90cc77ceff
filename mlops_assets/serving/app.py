"""The server as an ASGI application: its parts put together, and what it says when one fails."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from mlops_assets.adapters.online_tables import FolderOnlineTables
from mlops_assets.adapters.skops_models import FolderModelFiles
from mlops_assets.adapters.sql_ledger import SqlLedger
from mlops_assets.lifecycle.errors import RequestError
from mlops_assets.serving.answering.answering import Answering
from mlops_assets.serving.answering.online import OnlineLookups
from mlops_assets.serving.answering.prediction_log import PredictionLog
from mlops_assets.serving.routing.catalog import Catalog
from mlops_assets.serving.routing.routing import RoutingWatch
from mlops_assets.serving.routing.versions import Versions
from mlops_assets.serving.settings import Settings
from mlops_assets.serving.web.access import warn_of_open_address
from mlops_assets.serving.web.endpoints import Endpoints, respond
from mlops_assets.serving.web.inference import FAILED, Inference, find_call
from mlops_assets.serving.web.metrics import Metrics
from mlops_assets.serving.web.readings import Readings
from mlops_assets.serving.web.swagger import Documentation


class ModelServer(Starlette):
    """Answers predictions by itself and leaves all other paths to Starlette.

    While ``state.draining`` is true every answer ends its connection, so that callers come back
    on a new one, which another process takes.
    """

    inference: Inference

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request, or the life of the server."""
        call = None
        if scope["type"] == "http":
            call = find_call(scope["path"])
            if self.state.draining:
                send = _closing(send)
        if call:
            await self.inference.answer(call, scope, receive, send)
        else:
            await super().__call__(scope, receive, send)


def build_app(settings: Settings) -> ModelServer:
    """The server as an application; it follows the ledger from start-up to shutdown."""
    warn_of_open_address(settings)
    versions = Versions(FolderModelFiles(settings.models))
    watch = RoutingWatch(SqlLedger(settings.ledger), versions, settings.state / "routing.json")
    lookups = OnlineLookups(FolderOnlineTables(settings.online)) if settings.online else None
    log = PredictionLog(settings.log, when_full=settings.when_log_fails)
    catalog = Catalog(watch, lookups)
    readings = Readings(watch, lookups)
    metrics = Metrics(readings)
    answering = readings.answering = Answering(
        catalog,
        log,
        max_rows=settings.max_rows,
        deadline=settings.deadline,
        lookups=lookups,
        observe=metrics.observe,
    )

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        watch.start()
        yield
        await answering.close()
        watch.stop()
        log.close()

    app = ModelServer(
        routes=[
            *Endpoints(settings, catalog, answering, metrics).paths(),
            *Documentation(catalog).paths(),
        ],
        lifespan=lifespan,
        exception_handlers={
            RequestError: _request_error,
            HTTPException: _http_error,
            Exception: _internal_error,
        },
    )
    app.inference = Inference(
        catalog,
        answering,
        max_body_bytes=settings.max_body_bytes,
        max_rows=settings.max_rows,
        refused=metrics.refuse,
    )
    app.router.redirect_slashes = False
    app.state.watch, app.state.draining = watch, False
    return app


def _closing(send: Send) -> Send:
    """Says in each answer that no other one follows on its connection."""

    async def answer(message: Any) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message.get("headers", ()), (b"connection", b"close")]
        await send(message)

    return answer


async def _request_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestError)
    headers = {"www-authenticate": "Bearer"} if error.status == 401 else None
    return respond({"error": str(error)}, error.status, headers)


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    reason = f"{request.method} {request.url.path}: {error.detail.lower()}"
    return respond({"error": reason}, error.status_code, error.headers)


async def _internal_error(_: Request, __: Exception) -> Response:
    return respond({"error": str(FAILED)}, FAILED.status)
