"""Dagster wiring: YAML in, definitions out."""

from mlops_assets.components.model_lifecycle import ModelLifecycleComponent
from mlops_assets.components.run_failure_alerts import RunFailureAlertsComponent
from mlops_assets.components.tracking_ends import TrackingEndsComponent

__all__ = ["ModelLifecycleComponent", "RunFailureAlertsComponent", "TrackingEndsComponent"]
