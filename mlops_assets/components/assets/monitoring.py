"""The assets that watch what the endpoint does, and decide whether to train again."""

import dagster as dg

from mlops_assets.components.assets.drift import build_drift_report
from mlops_assets.components.assets.overview import build_overview
from mlops_assets.components.assets.performance import build_performance
from mlops_assets.components.assets.predictions import build_predictions
from mlops_assets.components.assets.retraining import (
    build_retraining_decision,
    build_retraining_outcome,
)
from mlops_assets.components.definition import ModelDefinition


def build_monitoring_assets(model: ModelDefinition) -> list[dg.AssetsDefinition]:
    """Predictions, performance, drift report, retraining decision and outcome, overview."""
    return [
        build_predictions(model),
        build_performance(model),
        build_drift_report(model),
        build_retraining_decision(model),
        build_retraining_outcome(model),
        build_overview(model),
    ]
