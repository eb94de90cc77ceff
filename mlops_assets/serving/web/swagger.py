"""The pages for people who try the server out: OpenAPI, and Swagger UI from this machine."""

from __future__ import annotations

from pathlib import Path as File

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Route as Path

from mlops_assets.lifecycle.errors import RequestError
from mlops_assets.serving.routing.catalog import Catalog
from mlops_assets.serving.web.endpoints import respond
from mlops_assets.serving.web.examples import find_example
from mlops_assets.serving.web.openapi import DescribedModel, build_openapi, lower_to_3_0

FILES = ("swagger-ui.css", "swagger-ui-bundle.js", "favicon-32x32.png")
PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>mlops-assets model server</title>
<link rel="stylesheet" href="/docs/swagger-ui.css">
<link rel="icon" type="image/png" href="/docs/favicon-32x32.png">
</head>
<body>
<div id="page"></div>
<script src="/docs/swagger-ui-bundle.js"></script>
<script src="/docs/start.js"></script>
</body>
</html>
"""
START = """SwaggerUIBundle({
  url: "/docs/openapi.json", dom_id: "#page", validatorUrl: null, tryItOutEnabled: true
});
"""
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; connect-src 'self'; frame-ancestors 'none'"
)
"""Nothing is loaded from elsewhere, and nobody shows the page within another one."""


class Documentation:
    """One method per page."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog

    def paths(self) -> list[Path]:
        """Every path with the method that answers on it."""
        return [
            Path("/openapi.json", self.openapi),
            Path("/docs", self.page),
            Path("/docs/openapi.json", self.openapi_3_0),
            Path("/docs/start.js", self.start),
            Path("/docs/{file}", self.file),
        ]

    async def openapi(self, _: Request) -> Response:
        """The server in OpenAPI 3.1."""
        return respond(build_openapi(self._models()))

    async def openapi_3_0(self, _: Request) -> Response:
        """The same for Swagger UI."""
        return respond(lower_to_3_0(build_openapi(self._models())))

    async def page(self, _: Request) -> Response:
        """Swagger UI."""
        headers = {"content-security-policy": POLICY, "x-content-type-options": "nosniff"}
        return Response(PAGE, media_type="text/html", headers=headers)

    async def start(self, _: Request) -> Response:
        """What tells Swagger UI what to show; in a file, as scripts within the page are not run."""
        return Response(START, media_type="text/javascript")

    async def file(self, request: Request) -> Response:
        """One of the files the page is made of."""
        from swagger_ui_bundle import swagger_ui_path  # type: ignore[import-untyped]

        name = request.path_params["file"]
        if name not in FILES:
            raise HTTPException(404)
        return FileResponse(File(swagger_ui_path) / name)

    def _models(self) -> list[DescribedModel]:
        """The models that can answer; the others are left out until they can."""
        described = []
        for name, route in sorted(self._catalog.routes().items()):
            try:
                version = self._catalog.primary(route)[1]
            except RequestError:
                continue
            metadata = self._catalog.describe(name)
            optional, keys = (
                frozenset(metadata.get(field, ())) for field in ("looked_up", "looked_up_by")
            )
            example = find_example(version.predictor, version.signature)
            described.append(DescribedModel(name, version.signature, example, optional, keys))
        return described
