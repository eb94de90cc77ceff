"""The state of the server as metrics: routing, ledger, what was cut off, dropped and lost."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime

from mlops_assets.serving.answering.answering import Answering
from mlops_assets.serving.answering.online import OnlineLookups
from mlops_assets.serving.routing.routes import Route
from mlops_assets.serving.routing.routing import RoutingWatch
from mlops_assets.serving.web.metrics import Reading


class Readings:
    """Reads the parts of a server when it is called."""

    def __init__(self, watch: RoutingWatch, lookups: OnlineLookups | None) -> None:
        self.answering: Answering | None = None
        self._watch = watch
        self._lookups = lookups

    def __call__(self) -> Iterator[Reading]:
        """Every reading of this moment."""
        watch = self._watch
        reachable = watch.read_at is not None and watch.ledger_error is None
        yield Reading("ledger_reachable", "1 while the ledger can be read", float(reachable))
        if watch.read_at is not None:
            age = time.monotonic() - watch.read_at
            yield Reading("routing_age_seconds", "Seconds since the ledger last answered", age)
        for model, route in (watch.routes or {}).items():
            yield from _read_route(model, route)
            yield from self._read_lookups(model)
        if self.answering:
            yield from _read_counts(self.answering)

    def _read_lookups(self, model: str) -> Iterator[Reading]:
        age = self._lookups.age(model, datetime.now(UTC)) if self._lookups else None
        if age is not None:
            meaning = "Seconds since the moment the features that are looked up are of"
            yield Reading("online_features_age_seconds", meaning, age, (("model", model),))


def _read_route(model: str, route: Route) -> Iterator[Reading]:
    for target in route.served.targets:
        labels = (("model", model), ("version", target.version), ("arm", target.arm))
        yield Reading("weight_percent", "Share of the units that fall to it", target.weight, labels)
        yield Reading("mirror_percent", "Share of the units copied to it", target.mirror, labels)
    for version in route.versions.values():
        kind = (("model", model), ("version", version.name), ("kind", version.predictor.kind))
        yield Reading("loaded", "1 for a version that is loaded, by how it predicts", 1.0, kind)


def _read_counts(answering: Answering) -> Iterator[Reading]:
    for name, meaning, value in (
        ("cut_offs", "Versions cut off by this process", answering.cut_offs),
        ("dropped_copies", "Copies that no shadow answered", answering.dropped_copies),
        ("lost_log_lines", "Lines missing in the prediction log", answering.lost_lines),
    ):
        yield Reading(name, meaning, float(value), counts=True)
