"""One asset per candidate, and the ensemble that has to beat the best of them."""

from typing import Any

import dagster as dg

from mlops_assets.adapters.dagster_ui import DagsterUi
from mlops_assets.adapters.ports import Clock, Ledger, ModelFiles, TableStore, Tracking
from mlops_assets.components.assets.wiring import (
    ONE_RUN,
    Outcome,
    asset_arguments,
    key_of,
    materialize_each,
    tracking_tags,
)
from mlops_assets.components.definition import Candidate, ModelDefinition
from mlops_assets.components.metadata import numbers, pictures, tracking_link
from mlops_assets.components.partitions import build_training_partitions
from mlops_assets.components.stages.candidates import FittedCandidate, fit_candidate
from mlops_assets.components.stages.ensembles import weigh
from mlops_assets.components.stages.training import UNCHANGED
from mlops_assets.lifecycle.digests import digest_value
from mlops_assets.lifecycle.ensembles import EnsembleChoice


class CandidateConfig(dg.Config):
    """``again``: fit although nothing has changed since it was fitted."""

    again: bool = False


def build_candidates(model: ModelDefinition) -> list[dg.AssetsDefinition]:
    """The assets ``candidate_<name>``."""
    return [_build_candidate(model, candidate) for candidate in model.candidates.values()]


def _build_candidate(model: ModelDefinition, candidate: Candidate) -> dg.AssetsDefinition:
    key = key_of(model, f"candidate_{candidate.name}")
    needed = ["training_set", *(["study"] if model.spec.tuning and candidate.tuned else [])]

    @dg.asset(
        key=key,
        deps=[key_of(model, name) for name in needed],
        partitions_def=build_training_partitions(model),
        backfill_policy=ONE_RUN,
        code_version=model.code_digest[:12],
        description=f"`{candidate.estimator}` fitted on the training set's rows, measured on the "
        "calibration rows, which come later.",
        **asset_arguments(model, ("scikitlearn", "mlflow")),
    )
    def fitted_candidate(
        context: dg.AssetExecutionContext,
        config: CandidateConfig,
        tables: dg.ResourceParam[TableStore],
        ledger: dg.ResourceParam[Ledger],
        model_files: dg.ResourceParam[ModelFiles],
        tracking: dg.ResourceParam[Tracking],
        clock: dg.ResourceParam[Clock],
        ui: dg.ResourceParam[DagsterUi],
    ) -> dg.MaterializeResult:
        def work(partition: str) -> Outcome:
            fitted, reused = fit_candidate(
                model,
                partition,
                candidate,
                tables,
                ledger,
                model_files,
                tracking,
                clock,
                tracking_tags(model, context, key, partition, ui),
                again=config.again,
            )
            if reused:
                context.log.info(f"{partition}: {UNCHANGED}")
            return Outcome(_describe(fitted, reused=reused), fitted.digest)

        return materialize_each(context, key, work)

    return fitted_candidate


def _describe(fitted: FittedCandidate, *, reused: bool) -> dict[str, Any]:
    return {
        **({"skipped": UNCHANGED} if reused else {}),
        "digest": fitted.digest,
        "estimator": fitted.estimator,
        "parameters": dg.MetadataValue.json(dict(fitted.parameters)),
        "fit_rows": fitted.fit_rows,
        **numbers(fitted.metrics),
        **tracking_link(fitted.tracking_url),
    }


def build_ensemble_asset(model: ModelDefinition) -> dg.AssetsDefinition:
    """The asset ``ensemble``."""
    key = key_of(model, "ensemble")
    policy = model.spec.ensemble
    assert policy is not None

    @dg.asset(
        key=key,
        deps=[key_of(model, f"candidate_{name}") for name in model.candidates],
        partitions_def=build_training_partitions(model),
        backfill_policy=ONE_RUN,
        description=f"A {policy.method} of the candidates, fitted on rows later than any of them "
        "was fitted on; chosen only where it beats the best of them by more than noise.",
        check_specs=[
            dg.AssetCheckSpec(
                "ensemble_earns_its_place",
                asset=key,
                description="Better than its best member by more than noise; else that one is "
                "taken, and nothing is blocked.",
            )
        ],
        **asset_arguments(model, ("scikitlearn",)),
    )
    def ensemble(
        context: dg.AssetExecutionContext,
        tables: dg.ResourceParam[TableStore],
        ledger: dg.ResourceParam[Ledger],
        model_files: dg.ResourceParam[ModelFiles],
        clock: dg.ResourceParam[Clock],
    ) -> dg.MaterializeResult:
        def work(partition: str) -> Outcome:
            choice = weigh(model, partition, tables, ledger, model_files, clock)
            drawn = _draw(choice) if len(context.partition_keys) == 1 else {}
            version = digest_value([choice.chosen, dict(choice.weights)])
            return Outcome(_describe_choice(choice) | pictures(drawn), version, [choice.verdict])

        return materialize_each(context, key, work, advisory=True)

    return ensemble


def _describe_choice(choice: EnsembleChoice) -> dict[str, Any]:
    return {
        "chosen": choice.chosen,
        "reason": choice.verdict.reason,
        "best_member": choice.best_member,
        "weights": dg.MetadataValue.json(dict(choice.weights)),
        **{f"log_loss_{name}": loss for name, loss in choice.losses.items()},
    }


def _draw(choice: EnsembleChoice) -> dict[str, bytes]:
    from mlops_assets.adapters.evaluation_plots import draw_ensemble

    return {"ensemble": draw_ensemble(choice)}
