"""The asset of how good the answers were."""

from collections.abc import Mapping
from typing import Any

import dagster as dg

from mlops_assets.adapters.ports import Clock, Ledger, ModelFiles, TableStore
from mlops_assets.components.assets.wiring import (
    asset_arguments,
    key_of,
    only_partition,
)
from mlops_assets.components.definition import ModelDefinition
from mlops_assets.components.metadata import (
    check_result,
    markdown_table,
    numbers,
)
from mlops_assets.components.partitions import build_partitions
from mlops_assets.components.stages import performance as stage
from mlops_assets.lifecycle.performance import PerformanceReport


def build_performance(model: ModelDefinition) -> dg.AssetsDefinition:
    """How good the answers of a partition were."""
    key = key_of(model, "performance")

    @dg.asset(
        key=key,
        deps=[key_of(model, "predictions"), key_of(model, "labels")],
        partitions_def=build_partitions(model.calendar),
        description="How good the answers were, per version: estimated at once, measured as far "
        "as labels have arrived; materialize it again when more have.",
        check_specs=[
            dg.AssetCheckSpec(
                "is_as_good_as_promised",
                asset=key,
                description="The labelled answers are no worse than their own confidence, as it "
                "held on the rows the version was tested on: the rows still mean the same.",
            )
        ],
        **asset_arguments(model, ("scikitlearn",)),
    )
    def performance(
        context: dg.AssetExecutionContext,
        tables: dg.ResourceParam[TableStore],
        ledger: dg.ResourceParam[Ledger],
        model_files: dg.ResourceParam[ModelFiles],
        clock: dg.ResourceParam[Clock],
    ) -> dg.MaterializeResult:
        partition = only_partition(context)
        reports = stage.measure_versions(model, [partition], tables, ledger, model_files, clock)
        stage.record_performance(model, partition, reports, ledger, clock)
        metadata = _describe(reports) | _describe_revisions(model, partition, ledger)
        verdict = check_result(stage.judge_versions(reports), key)
        return dg.MaterializeResult(
            metadata=metadata,
            check_results=[verdict._replace(severity=dg.AssetCheckSeverity.WARN)],
        )

    return performance


def _describe(reports: Mapping[str, PerformanceReport]) -> dict[str, Any]:
    """The versions beside each other, and the numbers of the newest one that callers asked."""
    rows = [
        {"version": entry, **_row(report), **report.metrics} for entry, report in reports.items()
    ]
    newest = stage.find_newest(reports)
    if newest is None:
        return {"versions": markdown_table(rows)}
    return {
        "maturity": newest.maturity,
        "labels_pending": newest.pending,
        "versions": markdown_table(rows),
        **({"note": newest.note} if newest.note else {}),
        **numbers(newest.metrics),
        **numbers({f"estimated_{name}": value for name, value in newest.estimated.items()}),
        **numbers({f"estimate_error_{name}": of for name, of in newest.estimate_error.items()}),
    }


def _describe_revisions(model: ModelDefinition, partition: str, ledger: Ledger) -> dict[str, Any]:
    """All that was ever known about the partition, the oldest first."""
    rows = [
        {"revision": number, "at": f"{at:%Y-%m-%d %H:%M}", "version": entry, **_row(report)}
        for number, (at, reports) in enumerate(
            stage.read_revisions(ledger, model.name, partition), start=1
        )
        for entry, report in reports.items()
    ]
    return {"revisions": markdown_table(rows)}


def _row(report: PerformanceReport) -> dict[str, Any]:
    """What shows how far a report has matured, estimated beside measured."""
    measured, estimated, error = report.metrics, report.estimated, report.estimate_error
    return {
        "maturity": report.maturity,
        "predictions": report.predictions,
        "labelled": report.labelled,
        "pending": report.pending,
        "accuracy estimated": estimated.get("accuracy", ""),
        "accuracy measured": measured.get("accuracy", ""),
        "error of the estimate": error.get("accuracy", ""),
        "Brier estimated": estimated.get("brier", ""),
        "Brier measured": measured.get("brier", ""),
    }
