"""The drill of a rollback: on a staged server, so that the real one holds no surprise."""

from typing import Any

import dagster as dg

from mlops_assets.adapters.ports import Clock, Ledger, ModelFiles, TableStore
from mlops_assets.adapters.serving_ports import Staging
from mlops_assets.components.assets.wiring import asset_arguments, failing_when_refused, key_of
from mlops_assets.components.definition import ModelDefinition
from mlops_assets.components.metadata import check_result, markdown_table, numbers, pictures
from mlops_assets.components.stages import drill as stage


def build_rollback_drill(model: ModelDefinition) -> dg.AssetsDefinition:
    """The asset ``rollback_drill``."""
    key = key_of(model, "rollback_drill")
    limit = model.spec.rollout.drill_seconds

    @dg.asset(
        key=key,
        deps=[dg.AssetDep(key_of(model, "deployment"), partition_mapping=dg.AllPartitionMapping())],
        description="How long it takes to go back from the champion to the version before it, "
        "tried under requests on a server that serves nobody.",
        check_specs=[
            dg.AssetCheckSpec(
                "rolls_back_in_time",
                asset=key,
                description=f"Within {limit:g} s, and no request is lost. It blocks nothing.",
            )
        ],
        **asset_arguments(model, ("kserve",)),
    )
    def rollback_drill(
        tables: dg.ResourceParam[TableStore],
        ledger: dg.ResourceParam[Ledger],
        model_files: dg.ResourceParam[ModelFiles],
        staging: dg.ResourceParam[Staging],
        clock: dg.ResourceParam[Clock],
    ) -> dg.MaterializeResult:
        with failing_when_refused(), staging.open() as server:
            done = stage.drill_rollback(model, tables, ledger, model_files, server, clock)
        result = check_result(done.verdict, key)._replace(severity=dg.AssetCheckSeverity.WARN)
        return dg.MaterializeResult(metadata=_describe(done, limit), check_results=[result])

    return rollback_drill


def _describe(done: stage.Drilled, limit: float) -> dict[str, Any]:
    from mlops_assets.adapters.rollout_plots import draw_drills

    rows = [
        {
            "at": at.isoformat()[:19],
            "seconds": drill.seconds,
            "requests": drill.requests,
            "failed": drill.failed,
        }
        for at, drill in done.past
    ]
    shown: dict[str, Any] = {
        "verdict": f"{done.verdict.outcome}: {done.verdict.reason}",
        "current": done.current,
        "limit_seconds": limit,
        "drills": markdown_table(rows[::-1]),
    }
    if done.drill:
        shown |= {
            "previous": done.previous,
            **numbers({"seconds": done.drill.seconds}),
            "requests": done.drill.requests,
            "failed": done.drill.failed,
            **pictures({"drill_seconds": draw_drills([d.seconds for _, d in done.past], limit)}),
        }
    return shown
