"""The jobs of a model: ingest, train, release, monitor, roll back."""

from dataclasses import dataclass
from typing import Any

import dagster as dg

from mlops_assets.adapters.ports import Clock, Ledger, Registry
from mlops_assets.components.assets.wiring import key_of
from mlops_assets.components.definition import ModelDefinition
from mlops_assets.components.stages import release
from mlops_assets.lifecycle.errors import RefusedError

TRAINING = ("training_set", "study", "trained_model", "evaluation", "model_version")
MONITORING = ("predictions", "performance", "drift_report", "retraining_decision")

Job = Any
"""Dagster's unresolved asset job; it has no public name."""


class RollBackConfig(dg.Config):
    """``reason``: why, in words; it is kept with the promotion or the rollout."""

    reason: str = "rolled back by hand"


@dataclass(frozen=True)
class ModelJobs:
    """The jobs of one model, by what they do."""

    ingest: Job
    train: Job
    release: Job
    monitor: Job
    roll_back: dg.JobDefinition

    @property
    def all(self) -> list[Job]:
        return [self.ingest, self.train, self.release, self.monitor, self.roll_back]


def build_jobs(model: ModelDefinition) -> ModelJobs:
    """One job per part of a model's life."""
    data = [
        f"{part}_{source}"
        for source in model.sources
        for part in ("raw", "validated", "quarantined")
    ]
    training = [name for name in TRAINING if name != "study" or model.spec.tuning]
    return ModelJobs(
        ingest=_job(
            model,
            "ingest",
            [*data, "labels", "features"],
            "Raw files to features; launch over a range of partitions to run it once.",
        ),
        train=_job(
            model,
            "train",
            training,
            "Train as of a partition, judge, and register what passed its gates.",
        ),
        release=_job(
            model, "release", ["deployment"], "Take a version's rollout one step further."
        ),
        monitor=_job(
            model,
            "monitor",
            MONITORING,
            "Collect a partition's predictions, measure performance and drift, decide.",
        ),
        roll_back=_build_roll_back(model),
    )


def _build_roll_back(model: ModelDefinition) -> dg.JobDefinition:
    """The one job that materializes nothing: a person takes traffic away from a version."""

    @dg.op(name=f"{model.name}__roll_back_release", pool=f"{model.name}__deployment")
    def roll_back_release(
        context: dg.OpExecutionContext,
        config: RollBackConfig,
        ledger: dg.ResourceParam[Ledger],
        registry: dg.ResourceParam[Registry],
        clock: dg.ResourceParam[Clock],
    ) -> None:
        try:
            done = release.roll_back(model, config.reason, ledger, registry, clock)
        except RefusedError as error:
            raise dg.Failure(str(error), allow_retries=False) from error
        context.log.info(done)

    @dg.job(
        name=f"{model.name}__roll_back",
        description="End the rollout in progress, or go back to the champion before.",
        tags={"mlops_assets/model": model.name},
    )
    def roll_back() -> None:
        roll_back_release()

    return roll_back


def _job(model: ModelDefinition, name: str, assets: Any, description: str) -> Job:
    return dg.define_asset_job(
        name=f"{model.name}__{name}",
        selection=dg.AssetSelection.assets(*(key_of(model, asset) for asset in assets)),
        description=description,
        tags={"mlops_assets/model": model.name},
    )
