"""The assets of the decision to train again, and of what became of it."""

import dagster as dg

from mlops_assets.adapters.ports import Clock, Ledger, ModelFiles, TableStore
from mlops_assets.components.assets.wiring import (
    asset_arguments,
    key_of,
    only_partition,
)
from mlops_assets.components.definition import ModelDefinition
from mlops_assets.components.metadata import Metadata, markdown_table, numbers
from mlops_assets.components.partitions import build_partitions
from mlops_assets.components.stages import retraining as stage
from mlops_assets.components.stages.retraining_outcomes import Evaluation, evaluate_retrainings
from mlops_assets.lifecycle.retraining.decision import RetrainingDecision


def build_retraining_decision(model: ModelDefinition) -> dg.AssetsDefinition:
    """Whether to train again, and why."""

    @dg.asset(
        key=key_of(model, "retraining_decision"),
        deps=[key_of(model, "drift_report"), key_of(model, "performance")],
        partitions_def=build_partitions(model.calendar),
        description="Whether anything asks for a new training (a person, performance, drift, new "
        "data, the schedule), and why or why not; the sensor retrain_on_drift acts on the same "
        "rule.",
        **asset_arguments(model, ("ledger",)),
    )
    def retraining_decision(
        context: dg.AssetExecutionContext,
        ledger: dg.ResourceParam[Ledger],
        clock: dg.ResourceParam[Clock],
    ) -> dg.MaterializeResult:
        decision = stage.record_retraining(model, only_partition(context), ledger, clock)
        return dg.MaterializeResult(metadata=describe_decision(model, decision, ledger))

    return retraining_decision


def build_retraining_outcome(model: ModelDefinition) -> dg.AssetsDefinition:
    """Whether each retraining helped."""

    @dg.asset(
        key=key_of(model, "retraining_outcome"),
        deps=[key_of(model, "retraining_decision"), key_of(model, "labels")],
        partitions_def=build_partitions(model.calendar),
        description="Whether retraining helped: each new champion and the one before it asked "
        "about the same later rows, once their labels are there.",
        **asset_arguments(model, ("scikitlearn",)),
    )
    def retraining_outcome(
        context: dg.AssetExecutionContext,
        tables: dg.ResourceParam[TableStore],
        ledger: dg.ResourceParam[Ledger],
        model_files: dg.ResourceParam[ModelFiles],
        clock: dg.ResourceParam[Clock],
    ) -> dg.MaterializeResult:
        only_partition(context)
        done = evaluate_retrainings(model, tables, ledger, model_files, clock)
        return dg.MaterializeResult(metadata=describe_outcomes(done))

    return retraining_outcome


def describe_decision(
    model: ModelDefinition, decision: RetrainingDecision, ledger: Ledger
) -> Metadata:
    """What was decided, what each trigger said, and the windows it rests on."""
    history = stage.read_history(model, ledger)
    considered = "\n".join(f"- {sentence}" for sentence in decision.considered)
    return {
        "action": decision.action,
        "trigger": (decision.trigger or "none").replace("_", " "),
        "reason": decision.reason,
        "train_as_of": decision.as_of or "none",
        "considered": dg.MetadataValue.md(considered or "*nothing*"),
        "windows": markdown_table(stage.describe_windows(model, history)),
        "budget_left": stage.count_left(model, history),
    }


def describe_outcomes(done: Evaluation) -> Metadata:
    """Every retraining with its outcome, the newest first, and what is waited for."""
    rows = [
        {
            "as of": of.as_of,
            "asked by": of.trigger.replace("_", " "),
            "outcome": of.outcome.replace("_", " "),
            "why": of.reason,
        }
        for of in reversed(done.outcomes)
    ]
    newest = done.outcomes[-1] if done.outcomes else None
    return {
        "retrainings": markdown_table(rows),
        "waiting": dg.MetadataValue.md("\n".join(f"- {w}" for w in done.waiting) or "*none*"),
        "newest_outcome": newest.outcome.replace("_", " ") if newest else "none yet",
        **numbers({"brier_difference": newest.difference.get("value") if newest else None}),
    }
