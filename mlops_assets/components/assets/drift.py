"""The asset that compares the rows of a partition with those of the champion's training."""

from typing import Any

import dagster as dg

from mlops_assets.adapters.drift_journal import read_drift
from mlops_assets.adapters.ports import Clock, Ledger, ModelFiles, Reports, TableStore
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
from mlops_assets.components.stages.drift_rules import say_alarm, say_flags, say_rules
from mlops_assets.lifecycle.drift.report import ColumnDrift, DriftReport
from mlops_assets.lifecycle.verdicts import Verdict

HISTORY = 26
"""How many partitions the history shows."""


class DriftReportConfig(dg.Config):
    """``render``: draw the Evidently page where a verdict failed (``alarms``), ``always``, or
    ``never``."""

    render: stage.Render = "alarms"


def build_drift_report(model: ModelDefinition) -> dg.AssetsDefinition:
    """The comparison of a partition with the rows the champion was trained on."""
    key = key_of(model, "drift_report")
    before = -len(model.calendar.keys)

    @dg.asset(
        key=key,
        deps=[
            key_of(model, "predictions"),
            key_of(model, "performance"),
            dg.AssetDep(key_of(model, "features"), partition_mapping=earlier(before, -1)),
            dg.AssetDep(key_of(model, "labels"), partition_mapping=earlier(before, 0)),
        ],
        partitions_def=build_partitions(model.calendar),
        description="The rows the endpoint saw in a partition, its answers and their labels, "
        "against those of the champion's training: whole days permuted, false discoveries "
        "controlled, weighted by importance; and what is behind it: a data bug, another world, "
        "or nothing.",
        check_specs=_specify_checks(key),
        **asset_arguments(model, ("evidently",)),
    )
    def drift_report(
        context: dg.AssetExecutionContext,
        config: DriftReportConfig,
        tables: dg.ResourceParam[TableStore],
        ledger: dg.ResourceParam[Ledger],
        model_files: dg.ResourceParam[ModelFiles],
        reports: dg.ResourceParam[Reports],
        clock: dg.ResourceParam[Clock],
    ) -> dg.MaterializeResult:
        partition = only_partition(context)
        with failing_when_refused():
            measured = stage.compare_with_reference(
                model,
                partition,
                tables,
                ledger,
                model_files,
                reports,
                clock,
                render=config.render,
            )
        if measured.undrawn:
            context.log.warning(measured.undrawn)
        return dg.MaterializeResult(
            metadata={
                **_describe_drift(model, measured),
                **_draw(model, partition, measured.report, ledger),
            },
            check_results=_check(measured.report, key),
        )

    return drift_report


def _specify_checks(key: dg.AssetKey) -> list[dg.AssetCheckSpec]:
    said = {
        "reference_still_holds": "The columns that matter look as they did in training.",
        "values_are_intact": "No column has more missing values, unknown levels, or values beyond "
        "its range than in training.",
    }
    return [
        dg.AssetCheckSpec(name, asset=key, description=description)
        for name, description in said.items()
    ]


def _check(report: DriftReport, key: dg.AssetKey) -> list[dg.AssetCheckResult]:
    return [_check_one(verdict, key) for verdict in (report.verdict, report.intact)]


def _check_one(verdict: Verdict, key: dg.AssetKey) -> dg.AssetCheckResult:
    """What cannot be told is worth a warning, and no alarm."""
    result = check_result(verdict, key)
    if verdict.outcome == "inconclusive":
        return result._replace(severity=dg.AssetCheckSeverity.WARN)
    return result


def _describe_drift(model: ModelDefinition, measured: stage.MeasuredDrift) -> dict[str, Any]:
    report, triage = measured.report, measured.triage
    cause = triage.cause.replace("_", " ")
    rules = say_rules(model.spec.monitoring, model.spec.retraining)
    return {
        "cause": dg.MetadataValue.md(f"**{cause}**: {triage.reason}"),
        "alarm": say_alarm(report),
        **({"evidence": _list(triage.evidence)} if triage.evidence else {}),
        **_describe_page(measured),
        "verdict": f"{report.verdict.outcome}: {report.verdict.reason}",
        "values": f"{report.intact.outcome}: {report.intact.reason}",
        "columns": markdown_table([_describe_column(column) for column in _ordered(report)]),
        "reference_of": measured.version,
        "drift_share": report.share,
        "flagged_columns": sum(column.flagged for column in report.columns),
        "current_rows": report.current_rows,
        "reference_rows": report.reference_rows,
        "rules": _list(rules),
        **({"not_compared": _list(measured.left_out)} if measured.left_out else {}),
    }


def _describe_page(measured: stage.MeasuredDrift) -> dict[str, Any]:
    if measured.undrawn:
        return {"evidently": measured.undrawn}
    return {"evidently": dg.MetadataValue.url(measured.page.url)} if measured.page else {}


def _ordered(report: DriftReport) -> list[ColumnDrift]:
    return sorted(report.columns, key=lambda column: (not column.flagged, -column.weight))


def _describe_column(column: ColumnDrift) -> dict[str, Any]:
    return {
        "column": column.column,
        "role": column.role,
        "flagged": say_flags(column),
        "effect": column.effect,
        "adjusted p": column.adjusted_p_value,
        "importance": column.weight,
        "found": "; ".join(finding.said for finding in column.findings),
    }


def _draw(
    model: ModelDefinition, partition: str, report: DriftReport, ledger: Ledger
) -> dict[str, Any]:
    from mlops_assets.adapters.drift_history_plots import draw_drift_history
    from mlops_assets.adapters.matplotlib_plots import draw_drift, draw_shifts

    keys = (*model.calendar.before(partition, HISTORY - 1), partition)
    images = {
        "shifts": draw_shifts(report.columns),
        "drift": draw_drift(report) if report.columns else None,
        "history": draw_drift_history(read_drift(ledger, model.name, keys)),
    }
    return pictures({name: png for name, png in images.items() if png})


def _list(sentences: tuple[str, ...]) -> dg.MarkdownMetadataValue:
    return dg.MetadataValue.md("\n".join(f"- {sentence}" for sentence in sentences))
