"""The registered version of a model, and the override a person may answer for."""

from typing import Any

import dagster as dg

from mlops_assets.adapters.ports import Clock, Ledger, Registry
from mlops_assets.components.assets.wiring import (
    ONE_RUN,
    Outcome,
    asset_arguments,
    failing_when_refused,
    key_of,
    materialize_each,
    only_partition,
)
from mlops_assets.components.definition import ModelDefinition
from mlops_assets.components.metadata import tracking_link
from mlops_assets.components.partitions import build_training_partitions, build_version_partitions
from mlops_assets.components.stages.clearance import override
from mlops_assets.components.stages.registration import Registered, register


class OverrideConfig(dg.Config):
    """``by``: the person who answers for it; ``reason``: why; ``expires``: ISO 8601, UTC."""

    by: str
    reason: str
    expires: str


def build_model_version(model: ModelDefinition) -> dg.AssetsDefinition:
    """The asset ``model_version``."""
    key = key_of(model, "model_version")
    versions = str(build_version_partitions(model).name)

    @dg.asset(
        key=key,
        deps=[key_of(model, "trained_model"), key_of(model, "evaluation")],
        partitions_def=build_training_partitions(model),
        backfill_policy=ONE_RUN,
        description="The trained model registered as challenger. Refused without a recorded "
        "verdict that passed, or an override that still holds, whoever asks.",
        **asset_arguments(model, ("mlflow",)),
    )
    def model_version(
        context: dg.AssetExecutionContext,
        ledger: dg.ResourceParam[Ledger],
        registry: dg.ResourceParam[Registry],
        clock: dg.ResourceParam[Clock],
    ) -> dg.MaterializeResult:
        def work(partition: str) -> Outcome:
            done = register(model, partition, ledger, registry, clock)
            context.instance.add_dynamic_partitions(versions, [done.version.version])
            return Outcome(_describe(done), done.version.digest)

        with failing_when_refused():
            return materialize_each(context, key, work)

    return model_version


def _describe(done: Registered) -> dict[str, Any]:
    version = done.version
    return {
        "version": version.version,
        "digest": version.digest,
        "clearance": done.clearance.describe(),
        "aliases": ", ".join(version.aliases) or "none",
        "uri": version.uri,
        **tracking_link(done.trained.tracking_url),
    }


def build_gate_override(model: ModelDefinition) -> dg.AssetsDefinition:
    """The asset ``gate_override``: in no job, never launched but by a person."""

    @dg.asset(
        key=key_of(model, "gate_override"),
        deps=[key_of(model, "evaluation")],
        partitions_def=build_training_partitions(model),
        description="A person lets out a model although its verdict did not pass: name, reason and "
        "end are asked for and shown wherever the version is shown. A new verdict voids it.",
        **asset_arguments(model, ("ledger",)),
    )
    def gate_override(
        context: dg.AssetExecutionContext,
        config: OverrideConfig,
        ledger: dg.ResourceParam[Ledger],
        clock: dg.ResourceParam[Clock],
    ) -> dg.MaterializeResult:
        with failing_when_refused():
            digest, made = override(
                model,
                only_partition(context),
                config.by,
                config.reason,
                config.expires,
                ledger,
                clock,
            )
        return dg.MaterializeResult(
            metadata={
                "digest": digest,
                "by": made.by,
                "reason": made.reason,
                "expires": made.expires,
                "overridden_verdict": made.verdict,
            }
        )

    return gate_override
