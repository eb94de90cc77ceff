"""Dagster wiring: YAML in, definitions out."""

from mlops_assets.components.model_lifecycle import ModelLifecycleComponent
from mlops_assets.components.run_failure_alerts import RunFailureAlertsComponent

__all__ = ["ModelLifecycleComponent", "RunFailureAlertsComponent"]
