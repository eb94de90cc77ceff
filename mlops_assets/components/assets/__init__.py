"""The assets of a model, stage by stage: load inputs, call a stage, return what it says."""

from __future__ import annotations

import dagster as dg

from mlops_assets.components.assets.data import build_data_assets
from mlops_assets.components.assets.monitoring import build_monitoring_assets
from mlops_assets.components.assets.release import build_deployment
from mlops_assets.components.assets.training import build_training_assets
from mlops_assets.components.definition import ModelDefinition


def build_assets(model: ModelDefinition) -> list[dg.AssetsDefinition]:
    """All assets of a model, from raw rows to the retraining decision."""
    return [
        *build_data_assets(model),
        *build_training_assets(model),
        build_deployment(model),
        *build_monitoring_assets(model),
    ]
