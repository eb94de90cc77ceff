"""What the YAML says of freshness, as Dagster's own policies on a model's assets."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import timedelta

import dagster as dg

from mlops_assets.components.assets.wiring import key_of
from mlops_assets.components.definition import ModelDefinition
from mlops_assets.lifecycle.freshness import FreshnessLimit, Part

FRESH: Mapping[Part, tuple[str, ...]] = {
    "data": ("labels", "features"),
    "model": ("model_version",),
    "monitoring": ("drift_report", "performance"),
}
"""The assets that the limits of ``freshness`` are about."""


def expect_fresh(
    model: ModelDefinition, assets: Iterable[dg.AssetsDefinition]
) -> list[dg.AssetsDefinition]:
    """The assets, those that ``freshness`` in the YAML is about with Dagster's freshness policy."""
    limits = {
        key_of(model, name): limit
        for part, names in FRESH.items()
        if (limit := getattr(model.spec.freshness, part))
        for name in names
    }

    def expect(spec: dg.AssetSpec) -> dg.AssetSpec:
        limit = limits.get(spec.key)
        return dg.apply_freshness_policy(spec, _time_window(limit)) if limit else spec

    return [
        asset.map_asset_specs(expect) if limits.keys() & asset.keys else asset for asset in assets
    ]


def _time_window(limit: FreshnessLimit) -> dg.FreshnessPolicy:
    warn = timedelta(hours=limit.warn_hours) if limit.warn_hours else None
    return dg.FreshnessPolicy.time_window(timedelta(hours=limit.hours), warn)
