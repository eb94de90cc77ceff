"""Assets from the training set to the one fitted model that is judged."""

from typing import Any

import dagster as dg

from mlops_assets.adapters.dagster_ui import DagsterUi
from mlops_assets.adapters.ports import Clock, Ledger, ModelFiles, Studies, TableStore, Tracking
from mlops_assets.components.assets.wiring import (
    ONE_RUN,
    Outcome,
    asset_arguments,
    blocking_check,
    key_of,
    materialize_each,
    tracking_tags,
)
from mlops_assets.components.definition import ModelDefinition
from mlops_assets.components.metadata import markdown_table, pictures, tracking_link
from mlops_assets.components.partitions import build_training_partitions, earlier
from mlops_assets.components.stages import training as stage
from mlops_assets.components.stages.training_sets import plan
from mlops_assets.components.stages.tuning import study as search
from mlops_assets.lifecycle.digests import digest_value
from mlops_assets.lifecycle.splits import Rows


class TrainingSetConfig(dg.Config):
    """``rows``: ``all`` of them, or ``complete_cases`` only (those without a missing value)."""

    rows: Rows = "all"


class TrainedModelConfig(dg.Config):
    """``estimator``: another function of model.py than defs.yaml names, for an experiment.

    ``again``: make the model although nothing has changed since it was made.
    """

    estimator: str | None = None
    again: bool = False


def build_training_set(model: ModelDefinition) -> dg.AssetsDefinition:
    """The asset ``training_set``."""
    key = key_of(model, "training_set")
    history = earlier(-len(model.calendar.keys), -1)

    @dg.asset(
        key=key,
        deps=[
            dg.AssetDep(key_of(model, name), partition_mapping=history)
            for name in ("features", "labels")
        ],
        partitions_def=build_training_partitions(model),
        backfill_policy=ONE_RUN,
        description="Which rows a model as of the beginning of a partition is fitted, tuned, "
        "calibrated and tested on: earlier ones only, with labels that had arrived by then.",
        check_specs=[
            blocking_check(
                key, "split_is_time_ordered", "Labels used were known before later rows were asked."
            )
        ],
        **asset_arguments(model, ("ledger",)),
    )
    def training_set(
        context: dg.AssetExecutionContext,
        config: TrainingSetConfig,
        tables: dg.ResourceParam[TableStore],
        ledger: dg.ResourceParam[Ledger],
        clock: dg.ResourceParam[Clock],
    ) -> dg.MaterializeResult:
        def work(partition: str) -> Outcome:
            planned = plan(model, partition, config.rows, tables, ledger, clock)
            metadata = {**planned.verdict.evidence, **_describe_rows(planned.training_set)}
            return Outcome(metadata, planned.training_set.digest, [planned.verdict])

        return materialize_each(context, key, work)

    return training_set


def _describe_rows(planned: Any) -> dict[str, Any]:
    return {
        "digest": planned.digest,
        "fit_partitions": len(planned.fit) + len(planned.validation),
        "calibration_partitions": ", ".join(planned.calibration) or "none",
        "test_partitions": ", ".join(planned.test),
        "rows": planned.rows,
    }


def build_study(model: ModelDefinition) -> dg.AssetsDefinition:
    """The asset ``study``, for a model with something to search."""
    key = key_of(model, "study")

    @dg.asset(
        key=key,
        deps=[key_of(model, "training_set")],
        partitions_def=build_training_partitions(model),
        backfill_policy=ONE_RUN,
        code_version=model.code_digest[:12],
        description="Search for parameters: fitted on the training set's earlier rows, judged on "
        "its later ones, before any row that candidates are compared or tested on. Interrupted, "
        "it goes on where it was.",
        **asset_arguments(model, ("optuna", "mlflow")),
    )
    def study(
        context: dg.AssetExecutionContext,
        tables: dg.ResourceParam[TableStore],
        ledger: dg.ResourceParam[Ledger],
        studies: dg.ResourceParam[Studies],
        tracking: dg.ResourceParam[Tracking],
        clock: dg.ResourceParam[Clock],
        ui: dg.ResourceParam[DagsterUi],
    ) -> dg.MaterializeResult:
        def work(partition: str) -> Outcome:
            tags = tracking_tags(model, context, key, partition, ui)
            results = search(
                model, partition, tables, ledger, studies, tracking, clock, tags, context.log.info
            )
            drawn = _draw_studies(results) if len(context.partition_keys) == 1 else {}
            best = {name: dict(result.parameters) for name, result in results.items()}
            return Outcome(_describe_studies(results) | pictures(drawn), digest_value(best))

        return materialize_each(context, key, work)

    return study


def _describe_studies(results: Any) -> dict[str, Any]:
    rows = [
        {
            "candidate": name,
            "best log loss": result.value,
            "trials": len(result.trials),
            "pruned": sum(trial.pruned for trial in result.trials),
            "ended by": result.stopped,
        }
        for name, result in results.items()
    ]
    parameters = {name: dict(result.parameters) for name, result in results.items()}
    return {
        "studies": markdown_table(rows),
        "parameters": dg.MetadataValue.json(parameters),
        "trials": sum(len(result.trials) for result in results.values()),
        "best_value": min(result.value for result in results.values()),
    }


def _draw_studies(results: Any) -> dict[str, bytes]:
    from mlops_assets.adapters import study_plots as plots

    drawn = {}
    for name, result in results.items():
        drawn[f"{name}_history"] = plots.draw_history(result)
        drawn[f"{name}_parallel_coordinates"] = plots.draw_parallel_coordinates(result)
        if result.importance:
            drawn[f"{name}_importance"] = plots.draw_parameter_importance(result)
    return drawn


def build_trained_model(model: ModelDefinition) -> dg.AssetsDefinition:
    """The asset ``trained_model``."""
    key = key_of(model, "trained_model")
    if model.compares_candidates:
        named = [f"candidate_{name}" for name in model.candidates]
        needed = ["training_set", *named, *(["ensemble"] if model.spec.ensemble else [])]
    else:
        needed = ["training_set", *(["study"] if model.spec.tuning else [])]

    @dg.asset(
        key=key,
        deps=[key_of(model, name) for name in needed],
        partitions_def=build_training_partitions(model),
        backfill_policy=ONE_RUN,
        code_version=model.code_digest[:12],
        description="The candidate or ensemble that did best on later rows, calibrated where that "
        "helps, kept under the digest of its files.",
        **asset_arguments(model, ("scikitlearn", "mlflow")),
    )
    def trained_model(
        context: dg.AssetExecutionContext,
        config: TrainedModelConfig,
        tables: dg.ResourceParam[TableStore],
        ledger: dg.ResourceParam[Ledger],
        model_files: dg.ResourceParam[ModelFiles],
        tracking: dg.ResourceParam[Tracking],
        clock: dg.ResourceParam[Clock],
        ui: dg.ResourceParam[DagsterUi],
    ) -> dg.MaterializeResult:
        def work(partition: str) -> Outcome:
            trained, reused = stage.train(
                model,
                partition,
                tables,
                ledger,
                model_files,
                tracking,
                clock,
                tracking_tags(model, context, key, partition, ui),
                estimator=config.estimator,
                again=config.again,
            )
            if reused:
                context.log.info(f"{partition}: {stage.UNCHANGED}")
            return Outcome(_describe_trained(trained, reused=reused), trained.digest)

        return materialize_each(context, key, work)

    return trained_model


def _describe_trained(trained: stage.TrainedModel, *, reused: bool) -> dict[str, Any]:
    return {
        **({"skipped": stage.UNCHANGED} if reused else {}),
        "digest": trained.digest,
        "train_as_of": trained.as_of,
        "chosen": trained.recipe["chosen"],
        "reason": trained.recipe["reason"],
        "estimator": trained.estimator,
        "parameters": dg.MetadataValue.json(dict(trained.parameters)),
        "weights": dg.MetadataValue.json(dict(trained.recipe["weights"])),
        "calibration": f"{trained.calibration}: {trained.calibrated}",
        "fit_rows": trained.fit_rows,
        **tracking_link(trained.tracking_url),
    }
