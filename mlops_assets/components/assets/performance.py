"""The asset of how good the answers were."""

import dagster as dg

from mlops_assets.adapters.ports import Clock, Ledger, TableStore
from mlops_assets.components.assets.wiring import (
    asset_arguments,
    key_of,
    only_partition,
)
from mlops_assets.components.definition import ModelDefinition
from mlops_assets.components.metadata import (
    markdown_table,
    numbers,
)
from mlops_assets.components.partitions import build_partitions
from mlops_assets.components.stages import performance as stage


def build_performance(model: ModelDefinition) -> dg.AssetsDefinition:
    """How good the answers of a partition were."""

    @dg.asset(
        key=key_of(model, "performance"),
        deps=[key_of(model, "predictions"), key_of(model, "labels")],
        partitions_def=build_partitions(model.calendar),
        description="How good the answers were, as far as labels have arrived, per version.",
        **asset_arguments(model, ("scikitlearn",)),
    )
    def performance(
        context: dg.AssetExecutionContext,
        tables: dg.ResourceParam[TableStore],
        ledger: dg.ResourceParam[Ledger],
        clock: dg.ResourceParam[Clock],
    ) -> dg.MaterializeResult:
        key = only_partition(context)
        reports = stage.join_labels(model, [key], tables)
        stage.record_performance(model, key, reports, ledger, clock)
        rows = [
            {"version": version, "predictions": r.predictions, "labelled": r.labelled, **r.metrics}
            for version, r in reports.items()
        ]
        newest = stage.find_newest(reports)
        return dg.MaterializeResult(
            metadata={
                "versions": markdown_table(rows),
                **numbers(newest.metrics if newest else {}),
            }
        )

    return performance
