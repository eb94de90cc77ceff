"""What callers may ask about: models and versions, whether they are ready, and if not why."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mlops_assets.lifecycle.errors import RequestError, did_you_mean
from mlops_assets.lifecycle.rollout.state import Target
from mlops_assets.serving.protocol import describe_model, quote
from mlops_assets.serving.routes import Route
from mlops_assets.serving.routing import RoutingWatch
from mlops_assets.serving.versions import Version


class Catalog:
    """Reads the current routes; every lookup that fails is a ``RequestError`` with its status:
    404 for what does not exist, 503 for what is not ready."""

    def __init__(self, watch: RoutingWatch) -> None:
        self._watch = watch

    def routes(self) -> Mapping[str, Route]:
        """The routes of all models."""
        if self._watch.routes is None:
            raise RequestError("the routing is being read, try again", status=503)
        return self._watch.routes

    def route(self, model: str) -> Route:
        """The route of one model."""
        routes = self.routes()
        if model not in routes:
            raise RequestError(
                f"model {quote(model)} does not exist{did_you_mean(model, routes)}",
                status=404,
            )
        return routes[model]

    def primary(self, route: Route) -> tuple[Target, Version]:
        """The target and version that answer for a model by default."""
        if target := route.served.primary:
            return target, route.versions[target.digest]
        model, wanted = route.wanted.model, route.wanted.primary
        error = self._watch.versions.error(model, wanted.digest) if wanted else None
        reason = f"{wanted.version}: {error}" if wanted and error else "none was deployed yet"
        raise RequestError(f"model '{model}' has no version that is ready: {reason}", status=503)

    def version(self, route: Route, name: str) -> Version:
        """The version of that name if it can answer now."""
        error = self.version_error(route, name)
        version = route.loaded(name)
        if error or not version:
            reason = error or "it is being loaded"
            raise RequestError(f"{route.wanted.model} {name} is not ready: {reason}", status=503)
        return version

    def version_error(self, route: Route, name: str) -> str | None:
        """Why a version could not be loaded; None while it is being loaded, and afterwards."""
        known = route.target(name) or route.loaded(name)
        if not known:
            names = {target.version for target in route.wanted.targets}
            names |= {version.name for version in route.versions.values()}
            raise RequestError(
                f"model '{route.wanted.model}' has no version {quote(name)} here, only "
                f"{', '.join(sorted(names)) or 'none'}",
                status=404,
            )
        return self._watch.versions.error(route.wanted.model, known.digest)

    def check_ready(self) -> None:
        """Raise unless every model that has a primary can answer."""
        for route in self.routes().values():
            if route.wanted.primary:
                self.primary(route)

    def describe(self, model: str, version: str | None = None) -> dict[str, Any]:
        """The v2 metadata of a model or of one version of it."""
        route = self.route(model)
        if version:
            return describe_model(model, [version], self.version(route, version).signature)
        names = sorted(loaded.name for loaded in route.versions.values())
        return describe_model(model, names, self.primary(route)[1].signature)

    def describe_routing(self, model: str) -> dict[str, Any]:
        """What is wanted and what answers, for people and for the deployment step."""
        route, errors = self.route(model), self._watch.versions
        return {
            "model": model,
            "targets": [
                {
                    "version": target.version,
                    "digest": target.digest,
                    "weight": target.weight,
                    "arm": target.arm,
                    "loaded": target.digest in route.versions,
                    "error": errors.error(model, target.digest),
                    **self._override(target.digest),
                }
                for target in route.wanted.targets
            ],
            "served": [
                {"version": target.version, "weight": target.weight, "arm": target.arm}
                for target in route.served.targets
            ],
            "warm": [version.name for version in route.versions.values()],
            "ledger_error": self._watch.ledger_error,
        }

    def _override(self, digest: str) -> dict[str, str]:
        """Who let the version out although its verdict did not pass; nothing for the others."""
        said = self._watch.overrides.get(digest)
        return {"override": said} if said else {}
