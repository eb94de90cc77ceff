"""The asset of what the endpoint answered."""

import dagster as dg

from mlops_assets.adapters.ports import Clock, Ledger, TableStore
from mlops_assets.adapters.serving_ports import Telemetry
from mlops_assets.components.assets.wiring import (
    asset_arguments,
    key_of,
)
from mlops_assets.components.definition import ModelDefinition
from mlops_assets.components.metadata import (
    data_version,
    table_metadata,
)
from mlops_assets.components.partitions import build_partitions, keys_of
from mlops_assets.components.stages.predictions import collect_predictions, prune_log


def build_predictions(model: ModelDefinition) -> dg.AssetsDefinition:
    """What the endpoint answered for the rows of a partition."""
    key = key_of(model, "predictions")

    @dg.asset(
        key=key,
        deps=[dg.AssetDep(key_of(model, "deployment"), partition_mapping=dg.AllPartitionMapping())],
        partitions_def=build_partitions(model.calendar),
        description="What the endpoint answered for the rows of a partition, each once.",
        **asset_arguments(model, ("polars", "deltalake")),
    )
    def predictions(
        context: dg.AssetExecutionContext,
        telemetry: dg.ResourceParam[Telemetry],
        tables: dg.ResourceParam[TableStore],
        ledger: dg.ResourceParam[Ledger],
        clock: dg.ResourceParam[Clock],
    ) -> dg.MaterializeResult:
        collected = collect_predictions(model, keys_of(context), telemetry, tables)
        pruned = prune_log(model, telemetry, tables, ledger, clock)
        metadata = table_metadata(context, key, collected.version, collected.counts)
        return dg.MaterializeResult(
            metadata={**metadata, "lines_read": collected.attempts, "log_files_removed": pruned},
            data_version=data_version(collected.version),
        )

    return predictions
