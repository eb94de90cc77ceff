"""Assets that watch what the endpoint does, and decide whether to train again."""

from typing import Any

import dagster as dg

from mlops_assets.adapters.ports import Clock, Ledger, Reports, TableStore
from mlops_assets.adapters.serving_ports import Telemetry
from mlops_assets.components.assets.wiring import (
    asset_arguments,
    failing_when_refused,
    key_of,
    only_partition,
)
from mlops_assets.components.definition import ModelDefinition
from mlops_assets.components.metadata import (
    check_result,
    data_version,
    markdown_table,
    numbers,
    pictures,
    table_metadata,
)
from mlops_assets.components.partitions import build_partitions, earlier, keys_of
from mlops_assets.components.stages import monitoring as stage
from mlops_assets.components.stages.predictions import collect_predictions, prune_log


class DriftReportConfig(dg.Config):
    """``always_render``: draw the Evidently page also when nothing drifted."""

    always_render: bool = False


def build_monitoring_assets(model: ModelDefinition) -> list[dg.AssetsDefinition]:
    """Predictions, performance, drift report, retraining decision."""
    return [
        _build_predictions(model),
        _build_performance(model),
        _build_drift_report(model),
        _build_retraining_decision(model),
    ]


def _build_predictions(model: ModelDefinition) -> dg.AssetsDefinition:
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


def _build_performance(model: ModelDefinition) -> dg.AssetsDefinition:
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


def _build_drift_report(model: ModelDefinition) -> dg.AssetsDefinition:
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


def _build_retraining_decision(model: ModelDefinition) -> dg.AssetsDefinition:
    @dg.asset(
        key=key_of(model, "retraining_decision"),
        deps=[key_of(model, "drift_report")],
        partitions_def=build_partitions(model.calendar),
        description="Whether the drift seen so far asks for a new training, and why; the sensor "
        "retrain_on_drift acts on the same rule.",
        **asset_arguments(model, ("ledger",)),
    )
    def retraining_decision(
        context: dg.AssetExecutionContext,
        ledger: dg.ResourceParam[Ledger],
        clock: dg.ResourceParam[Clock],
    ) -> dg.MaterializeResult:
        decision = stage.record_retraining(model, only_partition(context), ledger, clock)
        return dg.MaterializeResult(
            metadata={
                "action": decision.action,
                "reason": decision.reason,
                "train_as_of": decision.as_of or "none",
            }
        )

    return retraining_decision
