"""The evaluation of a trained model: its gates as checks, and the verdict that is recorded."""

from typing import Any

import dagster as dg

from mlops_assets.adapters.ports import Clock, Ledger, ModelFiles, TableStore, Tracking
from mlops_assets.adapters.serving_ports import Staging
from mlops_assets.components.assets.wiring import (
    ONE_RUN,
    Outcome,
    asset_arguments,
    blocking_check,
    key_of,
    materialize_each,
)
from mlops_assets.components.definition import ModelDefinition
from mlops_assets.components.metadata import markdown_table, numbers, pictures, tracking_link
from mlops_assets.components.partitions import build_training_partitions
from mlops_assets.components.stages.evaluation import Evaluated, describe_gates, evaluate
from mlops_assets.components.stages.model_card import describe_model

STANDS = "the verdict stands: model, data, code, gates and champion are the same"


class EvaluationConfig(dg.Config):
    """``again``: judge although nothing has changed since it was judged."""

    again: bool = False


def build_evaluation(model: ModelDefinition) -> dg.AssetsDefinition:
    """The asset ``evaluation``."""
    key = key_of(model, "evaluation")

    @dg.asset(
        key=key,
        deps=[key_of(model, "trained_model"), key_of(model, "training_set")],
        partitions_def=build_training_partitions(model),
        backfill_policy=ONE_RUN,
        code_version=model.code_digest[:12],
        description="The trained model and the champion, measured on the same later rows, and the "
        "model tried in a real server; the gates judged, and the verdict recorded.",
        check_specs=[
            blocking_check(key, name, "Gate from defs.yaml; not green, no registered version.")
            for name in model.spec.gates.names
        ],
        **asset_arguments(model, ("scikitlearn", "mlflow")),
    )
    def evaluation(
        context: dg.AssetExecutionContext,
        config: EvaluationConfig,
        tables: dg.ResourceParam[TableStore],
        ledger: dg.ResourceParam[Ledger],
        model_files: dg.ResourceParam[ModelFiles],
        tracking: dg.ResourceParam[Tracking],
        staging: dg.ResourceParam[Staging],
        clock: dg.ResourceParam[Clock],
    ) -> dg.MaterializeResult:
        single = len(context.partition_keys) == 1

        def work(partition: str) -> Outcome:
            done = evaluate(
                model, partition, tables, ledger, model_files, server, clock, again=config.again
            )
            # In a range pictures would fill Dagster's event log; each one by itself has them.
            drawn = _draw(done) if single else {}
            card = describe_model(model, done, ledger)
            if not done.reused:
                tracking.annotate(
                    done.trained.tracking_run, done.report.metrics, drawn, {"model_card": card}
                )
            shown = {"model_card": dg.MetadataValue.md(card)} if single else {}
            return Outcome(
                _describe(done) | shown | pictures(drawn), done.trained.digest, done.gates
            )

        with staging.open() as server:
            # A range registers nothing, so there is nothing that its gates would have to stop.
            return materialize_each(context, key, work, blocks_in_range=False)

    return evaluation


def _draw(done: Evaluated) -> dict[str, bytes]:
    from mlops_assets.adapters import evaluation_plots as plots

    report = done.report
    drawn = {
        "roc": plots.draw_roc(report, done.champion),
        "calibration": plots.draw_calibration(report),
        "importance": plots.draw_importance(report),
        "costs": plots.draw_costs(report),
    }
    return drawn | ({"slices": plots.draw_slices(report)} if report.slices else {})


def _describe(done: Evaluated) -> dict[str, Any]:
    return {
        **({"skipped": STANDS} if done.reused else {}),
        "verdict": f"{done.verdict.outcome}: {done.verdict.reason}",
        "gates": markdown_table(describe_gates(done.gates)),
        "test_rows": done.report.rows,
        **numbers(done.report.metrics),
        **tracking_link(done.trained.tracking_url),
    }
