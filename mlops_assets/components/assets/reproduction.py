"""The check that a model can be made again, run when somebody asks for it."""

import dagster as dg

from mlops_assets.adapters.ports import Ledger, ModelFiles, TableStore
from mlops_assets.components.assets.wiring import key_of
from mlops_assets.components.definition import ModelDefinition
from mlops_assets.components.metadata import check_result
from mlops_assets.components.stages.reproduction import NAME, newest_trained, reproduce


def reproduction_key(model: ModelDefinition) -> dg.AssetCheckKey:
    """The key of the check, for jobs that leave it out."""
    return dg.AssetCheckKey(key_of(model, "trained_model"), NAME)


def build_reproduction_check(model: ModelDefinition) -> dg.AssetChecksDefinition:
    """The check ``is_reproducible`` of ``trained_model``; it costs all the fits of one training."""
    key = key_of(model, "trained_model")

    @dg.asset_check(
        asset=key,
        name=NAME,
        description="Fitted again from the recorded data, code, parameters and seed, the files "
        "are the same, byte for byte. In no job: run it when you want to know. It looks at the "
        "partition of its run, and at the newest model in a run without one.",
    )
    def is_reproducible(
        context: dg.AssetCheckExecutionContext,
        tables: dg.ResourceParam[TableStore],
        ledger: dg.ResourceParam[Ledger],
        model_files: dg.ResourceParam[ModelFiles],
    ) -> dg.AssetCheckResult:
        tags = context.run.tags
        asked = tags.get("dagster/partition") or tags.get("dagster/asset_partition_range_end")
        as_of = asked or newest_trained(model, ledger)
        return check_result(reproduce(model, as_of, tables, ledger, model_files), key)

    return is_reproducible
