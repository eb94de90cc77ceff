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
    check_result,
    data_version,
    markdown_table,
    table_metadata,
)
from mlops_assets.components.partitions import build_partitions, keys_of
from mlops_assets.components.stages.predictions import collect_predictions, prune_log
from mlops_assets.components.stages.skew import measure_skew
from mlops_assets.lifecycle.skew import SkewReport


def build_predictions(model: ModelDefinition) -> dg.AssetsDefinition:
    """What the endpoint answered for the rows of a partition."""
    key = key_of(model, "predictions")

    @dg.asset(
        key=key,
        deps=[dg.AssetDep(key_of(model, "deployment"), partition_mapping=dg.AllPartitionMapping())],
        partitions_def=build_partitions(model.calendar),
        description="What the endpoint answered for the rows of a partition, each once.",
        check_specs=[
            dg.AssetCheckSpec(
                "online_equals_offline",
                asset=key,
                description="The features that were answered with are those built offline for the "
                "same entity and time.",
            )
        ],
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
            check_results=[_check(measure_skew(model, keys_of(context), tables, ledger), key)],
        )

    return predictions


def _check(skew: SkewReport, key: dg.AssetKey) -> dg.AssetCheckResult:
    """Warns while there is nothing to compare; shows what differs."""
    found = check_result(skew.verdict, key)
    counts = [{"feature": name, "rows": rows} for name, rows in skew.features.items()]
    severity = dg.AssetCheckSeverity.ERROR
    if skew.verdict.outcome == "inconclusive":
        severity = dg.AssetCheckSeverity.WARN
    differences = {
        "features": markdown_table(counts),
        "rows_that_differ": markdown_table(skew.examples),
    }
    return found._replace(severity=severity, metadata={**found.metadata, **differences})
