"""The backtest: what the models fitted as of many partitions say about when to retrain."""

from typing import Any

import dagster as dg

from mlops_assets.adapters.ports import Clock, Ledger, ModelFiles, TableStore
from mlops_assets.components.assets.wiring import ONE_RUN, asset_arguments, key_of
from mlops_assets.components.definition import ModelDefinition
from mlops_assets.components.metadata import markdown_table, pictures
from mlops_assets.components.stages.backtest import backtest as run_backtest
from mlops_assets.lifecycle.backtest import Replayed


class BacktestConfig(dg.Config):
    """``first`` and ``last``: partitions the models were trained as of, all without them."""

    first: str | None = None
    last: str | None = None


def build_backtest(model: ModelDefinition) -> dg.AssetsDefinition:
    """The asset ``backtest``; it has no partitions, it looks over all of them."""
    fits = len(model.candidates)

    @dg.asset(
        key=key_of(model, "backtest"),
        deps=[
            dg.AssetDep(key_of(model, name), partition_mapping=dg.AllPartitionMapping())
            for name in ("trained_model", "evaluation")
        ],
        backfill_policy=ONE_RUN,  # without partitions, and yet in one run with a range of them
        description="How the models trained as of each partition would have answered in the "
        "partitions after: never replaced, replaced by schedule, replaced on drift; and what each "
        "costs in fits. Registers and deploys nothing.",
        **asset_arguments(model, ("scikitlearn",)),
    )
    def backtest(
        context: dg.AssetExecutionContext,
        config: BacktestConfig,
        tables: dg.ResourceParam[TableStore],
        ledger: dg.ResourceParam[Ledger],
        model_files: dg.ResourceParam[ModelFiles],
        clock: dg.ResourceParam[Clock],
    ) -> dg.MaterializeResult:
        from mlops_assets.adapters.backtest_plots import draw_backtest

        done = run_backtest(
            model,
            tables,
            ledger,
            model_files,
            clock,
            context.log.info,
            first=config.first,
            last=config.last,
        )
        drawn = {metric: draw_backtest(done, metric) for metric in ("auc", "brier")}
        return dg.MaterializeResult(metadata=_describe(done, fits) | pictures(drawn))

    return backtest


def _describe(done: dict[str, Replayed], fits: int) -> dict[str, Any]:
    rows = [
        {
            "retraining": strategy.replace("_", " "),
            "models": replayed.models,
            "fits": replayed.models * fits,
            **{f"mean {metric}": value for metric, value in replayed.means.items()},
            "Brier below frozen": _below(replayed, done["frozen"]),
        }
        for strategy, replayed in done.items()
    ]
    means = {
        f"{strategy}_{metric}": value
        for strategy, replayed in done.items()
        for metric, value in replayed.means.items()
    }
    plan = done["drift_triggered"].answered_by
    return {
        "strategies": markdown_table(rows),
        "partitions": len(plan),
        "retrained_on_drift": ", ".join(sorted(set(plan.values()))[1:]) or "never",
        **means,
    }


def _below(replayed: Replayed, frozen: Replayed) -> str:
    """How far the mean Brier score lies below that of never retraining; where it was measured."""
    if "brier" not in frozen.means:
        return "no partition has labels of both classes"
    return f"{1 - replayed.means['brier'] / frozen.means['brier']:.1%}"
