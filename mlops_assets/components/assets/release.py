"""The deployment of a model version: each materialization is one step of its rollout."""

from typing import Any

import dagster as dg

from mlops_assets.adapters.journal import read_rollout_history
from mlops_assets.adapters.ports import Clock, Ledger, Registry, Serving, Telemetry
from mlops_assets.components.assets.wiring import asset_arguments, failing_when_refused, key_of
from mlops_assets.components.definition import ModelDefinition
from mlops_assets.components.metadata import markdown_table, pictures
from mlops_assets.components.partitions import build_version_partitions
from mlops_assets.components.stages import release as stage


def build_deployment(model: ModelDefinition) -> dg.AssetsDefinition:
    """The asset ``deployment``, one partition per registered version."""

    @dg.asset(
        key=key_of(model, "deployment"),
        deps=[
            dg.AssetDep(key_of(model, "model_version"), partition_mapping=dg.AllPartitionMapping())
        ],
        partitions_def=build_version_partitions(model),
        pool=f"{model.name}__deployment",
        description=f"A version's rollout ({model.spec.rollout.strategy}): materialize to take it "
        "one step further. Verifies the verdict itself; the endpoint outlives the run.",
        **asset_arguments(model, ("kserve",)),
    )
    def deployment(
        context: dg.AssetExecutionContext,
        ledger: dg.ResourceParam[Ledger],
        registry: dg.ResourceParam[Registry],
        serving: dg.ResourceParam[Serving],
        telemetry: dg.ResourceParam[Telemetry],
        clock: dg.ResourceParam[Clock],
    ) -> dg.MaterializeResult:
        with failing_when_refused():
            step = stage.step_rollout(
                model, context.partition_key, ledger, registry, serving, telemetry, clock
            )
        states = read_rollout_history(ledger, model.name, context.partition_key)
        clearance = {
            "clearance": stage.describe_clearance(model, context.partition_key, ledger, clock)
        }
        return dg.MaterializeResult(metadata=_describe(model, step, states) | clearance)

    return deployment


def _describe(model: ModelDefinition, step: stage.RolloutStep, states: list[Any]) -> dict[str, Any]:
    from mlops_assets.adapters.matplotlib_plots import draw_rollout

    evidence = step.decision.verdict.evidence if step.decision.verdict else {}
    arms = {
        evidence[arm]["version"]: (evidence[arm]["requests"], evidence[arm]["errors"])
        for arm in ("canary", "baseline")
        if arm in evidence
    }
    rows = [
        {"since": s.since[:19], "phase": s.phase, "weight %": s.weight, "reason": s.reason}
        for s in states
    ]
    return {
        "action": step.decision.action,
        "phase": step.state.phase,
        "weight": step.state.weight,
        "reason": step.decision.reason,
        "endpoint": dg.MetadataValue.url(f"{step.endpoint.url}/v2/models/{model.name}"),
        "steps": markdown_table(rows),
        **pictures({"rollout": draw_rollout([s.weight for s in states], arms)}),
    }
