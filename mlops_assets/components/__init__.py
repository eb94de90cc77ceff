"""Dagster wiring: YAML in, definitions out."""

from mlops_assets.components.alerts import AlertsComponent
from mlops_assets.components.model_lifecycle import ModelLifecycleComponent
from mlops_assets.components.tracking_ends import TrackingEndsComponent

__all__ = ["AlertsComponent", "ModelLifecycleComponent", "TrackingEndsComponent"]
