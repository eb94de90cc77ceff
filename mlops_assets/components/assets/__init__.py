"""The assets of a model, stage by stage: load inputs, call a stage, return what it says."""

from __future__ import annotations

import dagster as dg

from mlops_assets.components.assets.backtest import build_backtest
from mlops_assets.components.assets.candidates import build_candidates, build_ensemble_asset
from mlops_assets.components.assets.data import build_data_assets
from mlops_assets.components.assets.drill import build_rollback_drill
from mlops_assets.components.assets.evaluation import build_evaluation
from mlops_assets.components.assets.freshness import expect_fresh
from mlops_assets.components.assets.monitoring import build_monitoring_assets
from mlops_assets.components.assets.online import build_online_features
from mlops_assets.components.assets.registration import build_gate_override, build_model_version
from mlops_assets.components.assets.release import build_deployment
from mlops_assets.components.assets.training import (
    build_study,
    build_trained_model,
    build_training_set,
)
from mlops_assets.components.definition import ModelDefinition


def build_assets(model: ModelDefinition) -> list[dg.AssetsDefinition]:
    """All assets of a model, from raw rows to the overview of how it is doing."""
    spec = model.spec
    assets = [
        *build_data_assets(model),
        *([build_online_features(model)] if spec.features.online else []),
        build_training_set(model),
        *([build_study(model)] if spec.tuning else []),
        *(build_candidates(model) if model.compares_candidates else []),
        *([build_ensemble_asset(model)] if spec.ensemble else []),
        build_trained_model(model),
        build_evaluation(model),
        build_gate_override(model),
        build_model_version(model),
        build_backtest(model),
        build_deployment(model),
        build_rollback_drill(model),
        *build_monitoring_assets(model),
    ]
    return expect_fresh(model, assets)
