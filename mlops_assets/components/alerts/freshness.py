"""Assets that nobody has materialized for longer than their freshness policy allows."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import dagster as dg
from dagster._core.definitions.freshness import TimeWindowFreshnessPolicy

from mlops_assets.adapters.dagster_ui import DagsterUi
from mlops_assets.lifecycle.alerting import Occurrence
from mlops_assets.lifecycle.freshness import find_staleness

if TYPE_CHECKING:
    from dagster._core.definitions.assets.graph.base_asset_graph import BaseAssetGraph


def find_stale_assets(
    instance: dg.DagsterInstance, graph: BaseAssetGraph[Any], ui: DagsterUi, now: datetime
) -> list[Occurrence]:
    """The assets whose time window has passed since they were last materialized.

    By the rule of Dagster's own freshness daemon, which a deployment need not run.
    """
    limits = _limits(graph)
    if not limits:
        return []
    made = {
        record.asset_entry.asset_key: record.asset_entry.last_materialization
        for record in instance.get_asset_records(list(limits))
    }
    found = []
    for key, limit in limits.items():
        event = made.get(key)
        last = datetime.fromtimestamp(event.timestamp, UTC) if event else None
        staleness = find_staleness(last, limit, now)
        if staleness:
            found.append(
                Occurrence(
                    kind="stale",
                    model=key.path[0],
                    group=key.path[0],
                    subject=key.to_user_string(),
                    title=f"{key.to_user_string()} is stale",
                    detail=staleness.describe(),
                    link=ui.asset_url(key.path),
                    at=staleness.since,
                )
            )
    return found


def _limits(graph: BaseAssetGraph[Any]) -> dict[dg.AssetKey, timedelta]:
    """How long an asset may go without being materialized, of those that have a time window."""
    policies = {key: graph.get(key).freshness_policy for key in graph.materializable_asset_keys}
    return {
        key: policy.fail_window.to_timedelta()
        for key, policy in policies.items()
        if isinstance(policy, TimeWindowFreshnessPolicy)
    }
