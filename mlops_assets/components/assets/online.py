"""The features the endpoint looks up, as an asset: one table, replaced as a whole."""

import time
from typing import Any

import dagster as dg

from mlops_assets.adapters.ports import Clock, TableStore
from mlops_assets.adapters.serving_ports import OnlineTables
from mlops_assets.components.assets.wiring import ONE_RUN, asset_arguments, key_of
from mlops_assets.components.definition import ModelDefinition
from mlops_assets.components.metadata import check_result, markdown_table
from mlops_assets.components.stages.online import PublishedTable, publish_online_features


class OnlineFeaturesConfig(dg.Config):
    """``as_of``: the moment the features are of (ISO 8601, UTC), by default now; never after the
    last entity that is there.
    """

    as_of: str | None = None


def build_online_features(model: ModelDefinition) -> dg.AssetsDefinition:
    """The asset ``online_features``; it has no partitions, only the latest moment counts."""
    key = key_of(model, "online_features")
    sources = [f"validated_{source.name}" for source in model.feature_sources]

    @dg.asset(
        key=key,
        deps=[key_of(model, name) for name in ("labels", *sources)],
        backfill_policy=ONE_RUN,  # without partitions, and yet in one run with a range of them
        code_version=model.code_digest[:12],
        description="Features by key as they were at a moment; what the endpoint finds here a "
        "request may leave out.",
        check_specs=[
            dg.AssetCheckSpec(
                "online_equals_offline",
                asset=key,
                description="What is looked up for an entity is what is built for it.",
            )
        ],
        **asset_arguments(model, ("polars",)),
    )
    def online_features(
        config: OnlineFeaturesConfig,
        tables: dg.ResourceParam[TableStore],
        online: dg.ResourceParam[OnlineTables],
        clock: dg.ResourceParam[Clock],
    ) -> dg.MaterializeResult:
        began = time.perf_counter()
        done = publish_online_features(model, tables, online, clock, config.as_of)
        return dg.MaterializeResult(
            metadata=_describe(done) | {"seconds": time.perf_counter() - began},
            data_version=dg.DataVersion(done.digest),
            check_results=[check_result(done.verdict, key)],
        )

    return online_features


def _describe(done: PublishedTable) -> dict[str, Any]:
    rows = [
        {
            "by": ", ".join(group.by) or "nothing",
            "features": ", ".join(group.features),
            "rows": len(group.rows),
            "seen before": "" if share is None else f"{share:.1%}",
        }
        for group, share in zip(done.table.groups, done.coverage, strict=True)
    ]
    known = [share for share in done.coverage if share is not None]
    return {
        "as_of": done.table.as_of,
        "dagster/row_count": sum(len(group.rows) for group in done.table.groups),
        "bytes": done.size,
        "groups": markdown_table(rows),
        **({"coverage": min(known)} if known else {}),
    }
