"""The check that a model can be made again, run when somebody asks for it."""

import dagster as dg

from mlops_assets.adapters.ports import Ledger, ModelFiles, TableStore
from mlops_assets.components.assets.wiring import key_of
from mlops_assets.components.definition import ModelDefinition
from mlops_assets.components.metadata import check_result
from mlops_assets.components.partitions import build_training_partitions
from mlops_assets.components.stages.reproduction import NAME, reproduce


def reproduction_key(model: ModelDefinition) -> dg.AssetCheckKey:
    """The key of the check, for jobs that leave it out."""
    return dg.AssetCheckKey(key_of(model, "trained_model"), NAME)


def build_reproduction_check(model: ModelDefinition) -> dg.AssetChecksDefinition:
    """The check ``is_reproducible`` of ``trained_model``; it costs all the fits of one training."""
    key = key_of(model, "trained_model")

    @dg.asset_check(
        asset=key,
        name=NAME,
        partitions_def=build_training_partitions(model),
        description="Fitted again from the recorded data, code, parameters and seed, the files "
        "are the same, byte for byte. In no job: run it when you want to know.",
    )
    def is_reproducible(
        context: dg.AssetCheckExecutionContext,
        tables: dg.ResourceParam[TableStore],
        ledger: dg.ResourceParam[Ledger],
        model_files: dg.ResourceParam[ModelFiles],
    ) -> dg.AssetCheckResult:
        verdict = reproduce(model, context.partition_key, tables, ledger, model_files)
        return check_result(verdict, key)

    return is_reproducible
