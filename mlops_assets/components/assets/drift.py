"""The asset that compares the rows of a partition with those of the champion's training."""

from typing import Any

import dagster as dg

from mlops_assets.adapters.ports import Clock, Ledger, Reports, TableStore
from mlops_assets.components.assets.wiring import (
    asset_arguments,
    failing_when_refused,
    key_of,
    only_partition,
)
from mlops_assets.components.definition import ModelDefinition
from mlops_assets.components.metadata import (
    check_result,
    markdown_table,
    pictures,
)
from mlops_assets.components.partitions import build_partitions, earlier
from mlops_assets.components.stages import drift as stage


class DriftReportConfig(dg.Config):
    """``always_render``: draw the Evidently page also when nothing drifted."""

    always_render: bool = False


def build_drift_report(model: ModelDefinition) -> dg.AssetsDefinition:
    """The comparison of a partition with the rows the champion was trained on."""
    key = key_of(model, "drift_report")

    @dg.asset(
        key=key,
        deps=[
            key_of(model, "predictions"),
            dg.AssetDep(
                key_of(model, "features"),
                partition_mapping=earlier(-len(model.calendar.keys), -1),
            ),
        ],
        partitions_def=build_partitions(model.calendar),
        description="The rows the endpoint saw in a partition against those the champion was "
        "trained on: whole days permuted, false discoveries controlled, weighted by importance.",
        check_specs=[
            dg.AssetCheckSpec(
                "reference_still_holds",
                asset=key,
                description="The columns that matter look as they did in training.",
            )
        ],
        **asset_arguments(model, ("evidently",)),
    )
    def drift_report(
        context: dg.AssetExecutionContext,
        config: DriftReportConfig,
        tables: dg.ResourceParam[TableStore],
        ledger: dg.ResourceParam[Ledger],
        reports: dg.ResourceParam[Reports],
        clock: dg.ResourceParam[Clock],
    ) -> dg.MaterializeResult:
        with failing_when_refused():
            measured = stage.compare_with_reference(
                model,
                only_partition(context),
                tables,
                ledger,
                reports,
                clock,
                always_render=config.always_render,
            )
        return dg.MaterializeResult(
            metadata=_describe_drift(measured),
            check_results=[check_result(measured.report.verdict, key)],
        )

    return drift_report


def _describe_drift(measured: stage.MeasuredDrift) -> dict[str, Any]:
    from mlops_assets.adapters.matplotlib_plots import draw_drift

    report = measured.report
    rows = [
        {
            "column": c.column,
            "drifted": "yes" if c.drifted else "",
            "effect": c.effect,
            "adjusted p": c.adjusted_p_value,
            "importance": c.weight,
        }
        for c in sorted(report.columns, key=lambda c: (-c.drifted, -c.weight))
    ]
    page = {"evidently": dg.MetadataValue.path(str(measured.page))} if measured.page else {}
    return {
        "verdict": f"{report.verdict.outcome}: {report.verdict.reason}",
        "reference_of": measured.version,
        "drift_share": report.share,
        "current_rows": report.current_rows,
        "reference_rows": report.reference_rows,
        "columns": markdown_table(rows),
        **(pictures({"drift": draw_drift(report)}) if report.columns else {}),
        **page,
    }
