"""What all assets of a model have in common."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import dagster as dg

from mlops_assets.components.definition import ModelDefinition


def key_of(model: ModelDefinition, name: str) -> dg.AssetKey:
    """``[model, name]``."""
    return dg.AssetKey([model.name, name])


def asset_arguments(model: ModelDefinition, kinds: Iterable[str]) -> dict[str, Any]:
    """The arguments every asset is made with: group, owners and kinds."""
    return {"group_name": model.name, "owners": list(model.spec.owners), "kinds": set(kinds)}


def blocking_check(asset: dg.AssetKey, name: str, description: str) -> dg.AssetCheckSpec:
    """A check that stops everything downstream in the run when it is not green."""
    return dg.AssetCheckSpec(name, asset=asset, description=description, blocking=True)
