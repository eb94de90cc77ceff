"""The paths of the server and what answers on them."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from importlib.metadata import version as package_version
from typing import Any

import anyio
import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route as Path

from mlops_assets.adapters.skops_models import FolderModelFiles
from mlops_assets.adapters.sql_ledger import SqlLedger
from mlops_assets.lifecycle.errors import RequestError
from mlops_assets.serving.answering import Answering
from mlops_assets.serving.catalog import Catalog
from mlops_assets.serving.prediction_log import PredictionLog
from mlops_assets.serving.routing import RoutingWatch
from mlops_assets.serving.settings import Settings
from mlops_assets.serving.versions import Versions

PREDICTING_THREADS = 2


def build_app(settings: Settings) -> Starlette:
    """The server as an application; it follows the ledger from start-up to shutdown."""
    versions = Versions(FolderModelFiles(settings.models))
    watch = RoutingWatch(SqlLedger(settings.ledger), versions, settings.state / "routing.json")
    log = PredictionLog(settings.log)
    catalog = Catalog(watch)
    endpoints = Endpoints(settings, catalog, Answering(catalog, log, max_rows=settings.max_rows))

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        watch.start()
        yield
        watch.stop()
        log.close()

    app = Starlette(
        routes=endpoints.paths(),
        lifespan=lifespan,
        exception_handlers={
            RequestError: _request_error,
            HTTPException: _http_error,
            Exception: _internal_error,
        },
    )
    app.router.redirect_slashes = False
    app.state.watch = watch
    return app


class Endpoints:
    """One method per path."""

    def __init__(self, settings: Settings, catalog: Catalog, answering: Answering) -> None:
        self._settings = settings
        self._catalog = catalog
        self._answering = answering
        self._predicting = anyio.CapacityLimiter(PREDICTING_THREADS)

    def paths(self) -> list[Path]:
        """Every path with the method that answers on it."""
        model, version = "/v2/models/{model}", "/v2/models/{model}/versions/{version}"
        return [
            Path("/v2", self.server),
            Path("/v2/health/live", self.live),
            Path("/v2/health/ready", self.ready),
            Path(model, self.metadata),
            Path(f"{model}/ready", self.model_ready),
            Path(f"{model}/routing", self.routing),
            Path(f"{model}/infer", self.infer, methods=["POST"]),
            Path(version, self.metadata),
            Path(f"{version}/ready", self.version_ready),
            Path(f"{version}/infer", self.infer, methods=["POST"]),
        ]

    async def server(self, _: Request) -> Response:
        """The metadata of the server."""
        version = package_version("mlops-assets")
        return _json({"name": "mlops-assets", "version": version, "extensions": []})

    async def live(self, _: Request) -> Response:
        """That the process answers, and whose server it is, by the folder of its state."""
        return _json({"live": True, "pid": os.getpid(), "state": str(self._settings.state)})

    async def ready(self, _: Request) -> Response:
        """200 once every model that has a primary can answer."""
        self._catalog.check_ready()
        return _json({"ready": True})

    async def metadata(self, request: Request) -> Response:
        """What a model, or one version of it, takes and gives."""
        return _json(self._catalog.describe(**request.path_params))

    async def model_ready(self, request: Request) -> Response:
        """200 once the model answers by default."""
        model = request.path_params["model"]
        self._catalog.primary(self._catalog.route(model))
        return _json({"name": model, "ready": True})

    async def version_ready(self, request: Request) -> Response:
        """200 once the version answers; 503 with ``failed`` when it cannot be loaded."""
        model, version = request.path_params["model"], request.path_params["version"]
        route = self._catalog.route(model)
        if error := self._catalog.version_error(route, version):
            return _json({"error": error, "failed": True}, 503)
        self._catalog.version(route, version)
        return _json({"name": model, "version": version, "ready": True})

    async def routing(self, request: Request) -> Response:
        """What is wanted and what answers, for people and for the deployment step."""
        return _json(self._catalog.describe_routing(request.path_params["model"]))

    async def infer(self, request: Request) -> Response:
        """Predictions, by the routing or by the named version."""
        body = await read_body(request, self._settings.max_body_bytes)
        model, version = (
            request.path_params["model"],
            request.path_params.get("version"),
        )
        answer = partial(self._answering.infer, model, version, body)
        return _json(await anyio.to_thread.run_sync(answer, limiter=self._predicting))


async def read_body(request: Request, limit: int) -> bytes:
    """The body, read no further than ``limit`` bytes whatever its declared length.

    Raises ``RequestError`` (413) for a longer one, (400) when the caller left before its end.
    """
    too_long = RequestError(f"the body is longer than {limit} bytes, send fewer rows", status=413)
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and (len(declared) > 18 or int(declared) > limit):
        raise too_long
    body = bytearray()
    try:
        async for chunk in request.stream():
            body += chunk
            if len(body) > limit:
                raise too_long
    except ClientDisconnect as error:
        raise RequestError("the caller left before the end of the body") from error
    return bytes(body)


def _json(content: Any, status: int = 200, headers: Any = None) -> Response:
    data = msgspec.json.encode(content)
    return Response(data, status, media_type="application/json", headers=headers)


async def _request_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestError)
    return _json({"error": str(error)}, error.status)


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    reason = f"{request.method} {request.url.path}: {error.detail.lower()}"
    return _json({"error": reason}, error.status_code, error.headers)


async def _internal_error(_: Request, __: Exception) -> Response:
    return _json({"error": "the server failed; its own log has the reason"}, 500)
