"""The paths beside predictions: health, metadata, routing, metrics, and the one that changes."""

from __future__ import annotations

import os
from importlib.metadata import version as package_version
from typing import Annotated, Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route as Path

from mlops_assets.lifecycle.errors import RequestError
from mlops_assets.serving.answering.answering import Answering
from mlops_assets.serving.protocol import decode_json, encode
from mlops_assets.serving.routing.catalog import Catalog
from mlops_assets.serving.settings import Settings
from mlops_assets.serving.web.access import Access
from mlops_assets.serving.web.http import read_body, read_head
from mlops_assets.serving.web.metrics import CONTENT_TYPE, Metrics

EXTENSIONS = ("binary_tensor_data", "kserve_v1", "model_routing")
MAX_REASON_BYTES = 4096


class Reason(msgspec.Struct, forbid_unknown_fields=True):
    """Why somebody wants a version to get no more requests."""

    reason: Annotated[str, msgspec.Meta(min_length=1, max_length=300)]


_REASON = msgspec.json.Decoder(Reason)


class Endpoints:
    """One method per path."""

    def __init__(
        self, settings: Settings, catalog: Catalog, answering: Answering, metrics: Metrics
    ) -> None:
        self._settings = settings
        self._catalog = catalog
        self._answering = answering
        self._metrics = metrics
        self._access = Access(settings.token, settings.proxy_header)

    def paths(self) -> list[Path]:
        """Every path with the method that answers on it."""
        model, version = "/v2/models/{model}", "/v2/models/{model}/versions/{version}"
        return [
            Path("/v2", self.server),
            Path("/v2/health/live", self.live),
            Path("/v2/health/ready", self.ready),
            Path("/v2/models", self.models),
            Path(model, self.metadata),
            Path(f"{model}/ready", self.model_ready),
            Path(f"{model}/routing", self.routing),
            Path(version, self.metadata),
            Path(f"{version}/ready", self.version_ready),
            Path(f"{version}/cut_off", self.cut_off, methods=["POST"]),
            Path("/v1/models", self.models),
            Path("/v1/models/{model}", self.model_ready),
            Path("/metrics", self.metrics),
        ]

    async def server(self, _: Request) -> Response:
        """The metadata of the server."""
        version = package_version("mlops-assets")
        return respond({"name": "mlops-assets", "version": version, "extensions": EXTENSIONS})

    async def live(self, _: Request) -> Response:
        """That the process answers, and whose server it is, by the folder of its state."""
        settings = self._settings
        process = {"pid": os.getpid(), "supervisor": settings.supervisor}
        return respond({"live": True, "state": str(settings.state), **process})

    async def ready(self, request: Request) -> Response:
        """200 once every model that has a primary can answer, until the server is leaving."""
        if request.app.state.draining:
            raise RequestError("the server is leaving, it answers what it has", status=503)
        self._catalog.check_ready()
        return respond({"ready": True})

    async def models(self, _: Request) -> Response:
        """The names of all models, ready or not."""
        return respond({"models": sorted(self._catalog.routes())})

    async def metadata(self, request: Request) -> Response:
        """What a model, or one version of it, takes and gives."""
        return respond(self._catalog.describe(**request.path_params))

    async def model_ready(self, request: Request) -> Response:
        """200 once the model answers by default."""
        model = request.path_params["model"]
        self._catalog.primary(self._catalog.route(model))
        return respond({"name": model, "ready": True})

    async def version_ready(self, request: Request) -> Response:
        """200 once the version answers; 503 with ``failed`` when it cannot be loaded."""
        model, version = request.path_params["model"], request.path_params["version"]
        route = self._catalog.route(model)
        if error := self._catalog.version_error(route, version):
            return respond({"error": error, "failed": True}, 503)
        self._catalog.version(route, version)
        return respond({"name": model, "version": version, "ready": True})

    async def routing(self, request: Request) -> Response:
        """What is wanted and what answers, for people and for the deployment step."""
        return respond(self._catalog.describe_routing(request.path_params["model"]))

    async def cut_off(self, request: Request) -> Response:
        """Give a version no more requests, as an operator says."""
        by = self._access.identify(request.headers)
        # A page in somebody's browser can send other types through a proxy that knows the person.
        if request.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
            raise RequestError("send the reason as application/json", status=415)
        head = read_head(request.scope["headers"])
        body = await read_body(request.receive, head.length, MAX_REASON_BYTES)
        reason = decode_json(_REASON, body, 'a reason, like {"reason": "wrong units"}').reason
        done = self._answering.cut_off(**request.path_params, reason=reason, by=by)
        return respond({"version": done.version, "reason": done.reason, "by": done.by})

    async def metrics(self, _: Request) -> Response:
        """What the server did, for Prometheus."""
        return Response(self._metrics.page(), headers={"content-type": CONTENT_TYPE})


def respond(content: Any, status: int = 200, headers: Any = None) -> Response:
    """An answer in JSON."""
    return Response(encode(content), status, media_type="application/json", headers=headers)
