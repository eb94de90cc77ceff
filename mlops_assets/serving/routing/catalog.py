"""What callers may ask about: models and versions, whether they are ready, and if not why."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mlops_assets.lifecycle.errors import RequestError, did_you_mean
from mlops_assets.lifecycle.rollout.state import CutOff, Target
from mlops_assets.serving.answering.inputs import Lookups
from mlops_assets.serving.protocol import describe_model, quote
from mlops_assets.serving.routing.routes import Route
from mlops_assets.serving.routing.routing import RoutingWatch
from mlops_assets.serving.routing.versions import Version


class Catalog:
    """Reads the current routes; every lookup that fails is a ``RequestError`` with its status:
    404 for what does not exist, 503 for what is not ready."""

    def __init__(self, watch: RoutingWatch, lookups: Lookups | None = None) -> None:
        self._watch = watch
        self._lookups = lookups
        if lookups:
            watch.also_follow(lookups.follow)

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
        return self._watch.versions.error(route.wanted.model, self.find_digest(route, name))

    def find_digest(self, route: Route, name: str) -> str:
        """The digest of the version of that name."""
        known = route.target(name) or route.loaded(name)
        if not known:
            names = {target.version for target in route.wanted.targets}
            names |= {version.name for version in route.versions.values()}
            raise RequestError(
                f"model '{route.wanted.model}' has no version {quote(name)} here, only "
                f"{', '.join(sorted(names)) or 'none'}",
                status=404,
            )
        return known.digest

    def check_ready(self) -> None:
        """Raise unless every model that has a primary can answer."""
        for route in self.routes().values():
            if route.wanted.primary:
                self.primary(route)

    def cut_off(self, model: str, cut_off: CutOff) -> bool:
        """Give a version no more requests or copies; False when it had none already."""
        return self._watch.cut_off(model, cut_off)

    def find_cut_off(self, model: str, digest: str) -> CutOff | None:
        """Why a version gets no requests although the ledger may say so, None when it may."""
        return self._watch.cut_offs.find(model, digest)

    def describe(self, model: str, version: str | None = None) -> dict[str, Any]:
        """The v2 metadata of a model or of one version of it, and how it predicts."""
        route = self.route(model)
        if version:
            shown, names = self.version(route, version), [version]
        else:
            shown = self.primary(route)[1]
            names = sorted(loaded.name for loaded in route.versions.values())
        return {
            **describe_model(model, names, shown.signature),
            "predictor": describe_predictor(shown),
            **self._describe_lookups(model, shown),
        }

    def describe_routing(self, model: str) -> dict[str, Any]:
        """What is wanted and what answers, for people and for the deployment step."""
        route = self.route(model)
        return {
            "model": model,
            "targets": [self._describe_target(route, target) for target in route.wanted.targets],
            "served": [
                {"version": t.version, "weight": t.weight, "arm": t.arm, "mirror": t.mirror}
                for t in route.served.targets
            ],
            "warm": [version.name for version in route.versions.values()],
            "ledger_error": self._watch.ledger_error,
        }

    def _describe_target(self, route: Route, target: Target) -> dict[str, Any]:
        model, digest = route.wanted.model, target.digest
        version = route.versions.get(digest)
        return {
            "version": target.version,
            "digest": digest,
            "weight": target.weight,
            "arm": target.arm,
            "mirror": target.mirror,
            "loaded": version is not None,
            "error": self._watch.versions.error(model, digest),
            "predictor": describe_predictor(version) if version else None,
            **self._describe_cut_off(model, target),
            **self._describe_override(digest),
        }

    def _describe_cut_off(self, model: str, target: Target) -> dict[str, Any]:
        """Why a version gets nothing although it is in rollout; nothing for the others."""
        said = self.find_cut_off(model, target.digest) if target.arm != "primary" else None
        return {"cut_off": {"reason": said.reason, "by": said.by}} if said else {}

    def _describe_override(self, digest: str) -> dict[str, str]:
        """Who let the version out although its verdict did not pass; nothing for the others."""
        said = self._watch.overrides.get(digest)
        return {"override": said} if said else {}

    def _describe_lookups(self, model: str, version: Version) -> dict[str, list[str]]:
        """What may be left out of a request, and what that is looked up by."""
        if self._lookups is None:
            return {}
        optional = self._lookups.features(model) & version.names
        keys = self._lookups.inputs(model) if optional else frozenset()
        return {"looked_up": sorted(optional), "looked_up_by": sorted(keys)} if optional else {}


def describe_predictor(version: Version) -> dict[str, str | None]:
    """Whether the version answers by compiled code or by scikit-learn, and why not compiled."""
    return {"kind": version.predictor.kind, "reason": version.predictor.reason}
