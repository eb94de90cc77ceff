"""The deployment of a model version: each materialization is one step of its rollout."""

from collections.abc import Sequence
from typing import Any

import dagster as dg

from mlops_assets.adapters.journal import read_interventions, read_rollout_history
from mlops_assets.adapters.ports import Clock, Ledger, Registry, TableStore
from mlops_assets.adapters.serving_ports import Serving, Telemetry
from mlops_assets.components.assets.wiring import asset_arguments, failing_when_refused, key_of
from mlops_assets.components.definition import ModelDefinition
from mlops_assets.components.metadata import markdown_table, pictures
from mlops_assets.components.partitions import build_version_partitions
from mlops_assets.components.rollout_metadata import (
    describe_guardrails,
    describe_interventions,
    describe_shadow,
    describe_steps,
    measure_nearness,
)
from mlops_assets.components.stages.release import describe_clearance
from mlops_assets.components.stages.rollout_steps import RolloutStep, step_rollout
from mlops_assets.lifecycle.rollout.policy import RolloutPolicy
from mlops_assets.lifecycle.rollout.state import RolloutState


def build_deployment(model: ModelDefinition) -> dg.AssetsDefinition:
    """The asset ``deployment``, one partition per registered version."""

    @dg.asset(
        key=key_of(model, "deployment"),
        deps=[
            dg.AssetDep(key_of(model, "model_version"), partition_mapping=dg.AllPartitionMapping())
        ],
        partitions_def=build_version_partitions(model),
        pool=f"{model.name}__deployment",
        description=f"A version's rollout ({describe_strategy(model.spec.rollout)}): materialize "
        "to take it one step further. Verifies the verdict itself; the endpoint outlives the run.",
        **asset_arguments(model, ("kserve",)),
    )
    def deployment(
        context: dg.AssetExecutionContext,
        ledger: dg.ResourceParam[Ledger],
        registry: dg.ResourceParam[Registry],
        serving: dg.ResourceParam[Serving],
        telemetry: dg.ResourceParam[Telemetry],
        tables: dg.ResourceParam[TableStore],
        clock: dg.ResourceParam[Clock],
    ) -> dg.MaterializeResult:
        version = context.partition_key
        with failing_when_refused():
            step = step_rollout(model, version, ledger, registry, serving, telemetry, tables, clock)
        states = read_rollout_history(ledger, model.name, version)
        people = describe_interventions(read_interventions(ledger, model.name), version)
        return dg.MaterializeResult(
            metadata={
                **_describe(model, step, states),
                "clearance": describe_clearance(model, version, ledger, clock),
                **({"interventions": markdown_table(people)} if people else {}),
            }
        )

    return deployment


def describe_strategy(policy: RolloutPolicy) -> str:
    """The strategy in a few words, such as ``canary at 10, 50 and then 100 %``."""
    steps = ", ".join(str(step) for step in policy.steps)
    match policy.strategy:
        case "canary":
            return f"canary at {steps} and then 100 %"
        case "shadow":
            copies = f"copies of {policy.shadow.mirror} % of the requests"
            return f"shadow, {copies}, then {f'{steps} and ' if steps else ''}100 %"
        case "ab_test":
            return f"A/B test at {policy.split} %"
        case "blue_green":
            return "blue/green, all at once, the version before kept warm"
        case "recreate":
            return "recreate, all at once"


def _describe(
    model: ModelDefinition, step: RolloutStep, states: Sequence[RolloutState]
) -> dict[str, Any]:
    from mlops_assets.adapters.rollout_plots import draw_rollout

    decision, evidence = step.decision, step.evidence
    drawn = draw_rollout(
        [state.weight for state in states],
        measure_nearness(decision.verdicts, "log10_e"),
        measure_nearness(decision.verdicts, "log10_proof"),
    )
    shown: dict[str, Any] = {
        "action": decision.action,
        "phase": step.state.phase,
        "weight": step.state.weight,
        "mirror": step.state.mirror,
        "paused": step.state.paused,
        "reason": decision.reason,
        **pictures({"rollout": drawn}),  # before the tables: it is looked at first
        "endpoint": dg.MetadataValue.url(f"{step.endpoint.url}/v2/models/{model.name}"),
        "routing": dg.MetadataValue.url(f"{step.endpoint.url}/v2/models/{model.name}/routing"),
        "try_it": dg.MetadataValue.url(f"{step.endpoint.url}/docs"),
        "steps": markdown_table(describe_steps(states)),
        "guardrails": markdown_table(describe_guardrails(decision.verdicts)),
    }
    if evidence.shadow is not None:
        shown["shadow"] = markdown_table(describe_shadow(evidence.shadow))
    if evidence.cut_off is not None:
        shown["cut_off"] = evidence.cut_off
    return shown
