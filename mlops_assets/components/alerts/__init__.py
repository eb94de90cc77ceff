"""Telling people: what Dagster knows, gathered beside what the ledger knows, and one sensor."""

from mlops_assets.components.alerts.component import AlertsComponent

__all__ = ["AlertsComponent"]
