"""The asset of the decision to train again."""

import dagster as dg

from mlops_assets.adapters.ports import Clock, Ledger
from mlops_assets.components.assets.wiring import (
    asset_arguments,
    key_of,
    only_partition,
)
from mlops_assets.components.definition import ModelDefinition
from mlops_assets.components.partitions import build_partitions
from mlops_assets.components.stages import retraining as stage


def build_retraining_decision(model: ModelDefinition) -> dg.AssetsDefinition:
    """Whether to train again, and why."""

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
