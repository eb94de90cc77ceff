"""Assets from the training set to a registered model version."""

from typing import Any

import dagster as dg

from mlops_assets.adapters.ports import (
    Clock,
    Ledger,
    ModelFiles,
    Registry,
    Studies,
    TableStore,
    Tracking,
)
from mlops_assets.components.assets.wiring import asset_arguments, blocking_check, key_of
from mlops_assets.components.definition import ModelDefinition
from mlops_assets.components.metadata import check_result, markdown_table, numbers, pictures
from mlops_assets.components.partitions import build_partitions, build_version_partitions, earlier
from mlops_assets.components.stages import training as stage
from mlops_assets.components.stages.evaluation import Evaluated, evaluate
from mlops_assets.components.stages.registration import register
from mlops_assets.lifecycle.errors import RefusedError
from mlops_assets.lifecycle.splits import Rows


class TrainingSetConfig(dg.Config):
    """``rows``: ``all`` of them, or ``complete_cases`` only (those without a missing value)."""

    rows: Rows = "all"


class TrainedModelConfig(dg.Config):
    """``estimator``: another function of model.py than defs.yaml names, for an experiment."""

    estimator: str | None = None


def build_training_assets(model: ModelDefinition) -> list[dg.AssetsDefinition]:
    """Training set, study (where defs.yaml asks for one), model, evaluation, version."""
    return [
        _build_training_set(model),
        *([_build_study(model)] if model.spec.tuning else []),
        _build_trained_model(model),
        _build_evaluation(model),
        _build_model_version(model),
    ]


def _build_training_set(model: ModelDefinition) -> dg.AssetsDefinition:
    key = key_of(model, "training_set")
    history = earlier(-len(model.calendar.keys), -1)
    check = "split_is_time_ordered"

    @dg.asset(
        key=key,
        deps=[
            dg.AssetDep(key_of(model, name), partition_mapping=history)
            for name in ("features", "labels")
        ],
        partitions_def=build_partitions(model.calendar),
        description="Which rows a model as of the beginning of a partition is fitted, tuned and "
        "tested on: earlier ones only, with labels that had arrived by then.",
        check_specs=[
            blocking_check(key, check, "Labels fitted on were known before rows tested on.")
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
        planned = stage.plan(model, context.partition_key, config.rows, tables, ledger, clock)
        digest = planned.training_set.digest
        return dg.MaterializeResult(
            metadata={
                **planned.verdict.evidence,
                "digest": digest,
                "fit_partitions": len(planned.training_set.fit),
                "test_partitions": ", ".join(planned.training_set.test),
                "rows": config.rows,
            },
            data_version=dg.DataVersion(digest),
            check_results=[check_result(planned.verdict, key)],
        )

    return training_set


def _build_study(model: ModelDefinition) -> dg.AssetsDefinition:
    @dg.asset(
        key=key_of(model, "study"),
        deps=[key_of(model, "training_set")],
        partitions_def=build_partitions(model.calendar),
        description="Search for parameters: fitted on the training set's earlier rows, judged on "
        "its later ones, before any row that the model is tested on.",
        **asset_arguments(model, ("optuna",)),
    )
    def study(
        context: dg.AssetExecutionContext,
        tables: dg.ResourceParam[TableStore],
        ledger: dg.ResourceParam[Ledger],
        studies: dg.ResourceParam[Studies],
        clock: dg.ResourceParam[Clock],
    ) -> dg.MaterializeResult:
        from mlops_assets.adapters.matplotlib_plots import draw_trials

        result = stage.study(
            model, context.partition_key, tables, ledger, studies, clock, context.log.info
        )
        return dg.MaterializeResult(
            metadata={
                "best_value": result.value,
                "trials": len(result.values),
                "parameters": dg.MetadataValue.json(dict(result.parameters)),
                **pictures({"history": draw_trials(result.values)}),
            }
        )

    return study


def _build_trained_model(model: ModelDefinition) -> dg.AssetsDefinition:
    key = key_of(model, "trained_model")

    @dg.asset(
        key=key,
        deps=[
            key_of(model, name)
            for name in (["training_set", "study"] if model.spec.tuning else ["training_set"])
        ],
        partitions_def=build_partitions(model.calendar),
        code_version=model.code_digest[:12],
        description="The estimator fitted on the training set's rows, kept under its digest.",
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
    ) -> dg.MaterializeResult:
        estimator = config.estimator or model.spec.training.estimator
        tags = {
            "dagster_run_id": context.run.run_id,
            "dagster_asset": key.to_user_string(),
            "dagster_partition": context.partition_key,
        }
        trained = stage.train(
            model,
            context.partition_key,
            estimator,
            tables,
            ledger,
            model_files,
            tracking,
            clock,
            tags,
        )
        return dg.MaterializeResult(
            metadata=_describe_trained(trained), data_version=dg.DataVersion(trained.digest)
        )

    return trained_model


def _describe_trained(trained: stage.TrainedModel) -> dict[str, Any]:
    link = (
        {"tracking_run": dg.MetadataValue.url(trained.tracking_url)} if trained.tracking_url else {}
    )
    return {
        "digest": trained.digest,
        "train_as_of": trained.as_of,
        "estimator": trained.estimator,
        "parameters": dg.MetadataValue.json(dict(trained.parameters)),
        "fit_rows": trained.fit_rows,
        **link,
    }


def _build_evaluation(model: ModelDefinition) -> dg.AssetsDefinition:
    key = key_of(model, "evaluation")

    @dg.asset(
        key=key,
        deps=[key_of(model, "trained_model"), key_of(model, "training_set")],
        partitions_def=build_partitions(model.calendar),
        description="The trained model and the champion, measured on the same later rows; the "
        "gates judged, and the verdict recorded.",
        check_specs=[
            blocking_check(key, name, "Gate from defs.yaml; not green, no registered version.")
            for name in model.spec.gates.names
        ],
        **asset_arguments(model, ("scikitlearn",)),
    )
    def evaluation(
        context: dg.AssetExecutionContext,
        tables: dg.ResourceParam[TableStore],
        ledger: dg.ResourceParam[Ledger],
        model_files: dg.ResourceParam[ModelFiles],
        tracking: dg.ResourceParam[Tracking],
        clock: dg.ResourceParam[Clock],
    ) -> dg.MaterializeResult:
        done = evaluate(model, context.partition_key, tables, ledger, model_files, clock)
        plots = _draw_evaluation(done)
        tracking.annotate(done.trained.tracking_run, done.report.metrics, plots)
        return dg.MaterializeResult(
            metadata=_describe_evaluation(done) | pictures(plots),
            check_results=[check_result(gate, key) for gate in done.gates],
        )

    return evaluation


def _draw_evaluation(done: Evaluated) -> dict[str, bytes]:
    from mlops_assets.adapters import matplotlib_plots as plots

    drawn = {
        "roc": plots.draw_roc(done.report, done.champion),
        "calibration": plots.draw_calibration(done.report),
        "importance": plots.draw_importance(done.report),
    }
    return drawn | ({"slices": plots.draw_slices(done.report)} if done.report.slices else {})


def _describe_evaluation(done: Evaluated) -> dict[str, Any]:
    gates = [
        {"gate": gate.name, "outcome": gate.outcome, "reason": gate.reason} for gate in done.gates
    ]
    return {
        "verdict": f"{done.verdict.outcome}: {done.verdict.reason}",
        "gates": markdown_table(gates),
        "test_rows": done.report.rows,
        **numbers(done.report.metrics),
    }


def _build_model_version(model: ModelDefinition) -> dg.AssetsDefinition:
    versions = build_version_partitions(model)
    key = key_of(model, "model_version")

    @dg.asset(
        key=key,
        deps=[key_of(model, "trained_model"), key_of(model, "evaluation")],
        partitions_def=build_partitions(model.calendar),
        description="The trained model registered as challenger. Refused without a recorded "
        "verdict that passed, whoever asks.",
        **asset_arguments(model, ("mlflow",)),
    )
    def model_version(
        context: dg.AssetExecutionContext,
        ledger: dg.ResourceParam[Ledger],
        registry: dg.ResourceParam[Registry],
        clock: dg.ResourceParam[Clock],
    ) -> dg.MaterializeResult:
        try:
            version, _ = register(model, context.partition_key, ledger, registry, clock)
        except RefusedError as error:
            raise dg.Failure(str(error), allow_retries=False) from error
        context.instance.add_dynamic_partitions(str(versions.name), [version.version])
        return dg.MaterializeResult(
            metadata={
                "version": version.version,
                "digest": version.digest,
                "aliases": ", ".join(version.aliases) or "none",
                "uri": version.uri,
            },
            data_version=dg.DataVersion(version.digest),
        )

    return model_version
