"""The jobs of a model: ingest, train, walk forward, release, monitor, roll back, approve."""

from dataclasses import dataclass
from typing import Any

import dagster as dg

from mlops_assets.adapters.ports import Clock, Ledger, Registry
from mlops_assets.components.assets.reproduction import reproduction_key
from mlops_assets.components.assets.wiring import failing_when_refused, key_of
from mlops_assets.components.definition import ModelDefinition
from mlops_assets.components.stages import clearance, release

MONITORING = ("predictions", "performance", "drift_report", "retraining_decision")

Job = Any
"""Dagster's unresolved asset job; it has no public name."""


class RollBackConfig(dg.Config):
    """``reason``: why, in words; it is kept with the promotion or the rollout."""

    reason: str = "rolled back by hand"


class ApprovalConfig(dg.Config):
    """``version``: which, like ``v3``; ``by``: who answers for it; ``reason``: why, in words."""

    version: str
    by: str
    reason: str


@dataclass(frozen=True)
class ModelJobs:
    """The jobs of one model, by what they do."""

    ingest: Job
    train: Job
    walk_forward: Job
    release: Job
    monitor: Job
    roll_back: dg.JobDefinition
    approve: dg.JobDefinition

    @property
    def all(self) -> list[Job]:
        return [
            self.ingest,
            self.train,
            self.walk_forward,
            self.release,
            self.monitor,
            self.roll_back,
            self.approve,
        ]


def build_jobs(model: ModelDefinition) -> ModelJobs:
    """One job per part of a model's life."""
    data = [
        f"{part}_{source}"
        for source in model.sources
        for part in ("raw", "validated", "quarantined")
    ]
    fitting = fitting_assets(model)
    study = ["study"] if model.spec.tuning else []
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
            [*fitting, *study, "model_version"],
            "Train as of a partition, judge, and register what passed its gates.",
        ),
        walk_forward=_job(
            model,
            "walk_forward",
            [*fitting, "backtest"],
            "Fit and judge as of each of a range of partitions, in one run, and draw what became "
            "of it; registers nothing.",
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
        approve=_build_approve(model),
    )


def fitting_assets(model: ModelDefinition) -> list[str]:
    """What is made anew as of each partition, up to the verdict, but for the study."""
    candidates = [f"candidate_{name}" for name in model.candidates if model.compares_candidates]
    ensemble = ["ensemble"] if model.spec.ensemble else []
    return ["training_set", *candidates, *ensemble, "trained_model", "evaluation"]


def _build_roll_back(model: ModelDefinition) -> dg.JobDefinition:
    """Materializes nothing: a person takes traffic away from a version."""

    @dg.op(name=f"{model.name}__roll_back_release", pool=f"{model.name}__deployment")
    def roll_back_release(
        context: dg.OpExecutionContext,
        config: RollBackConfig,
        ledger: dg.ResourceParam[Ledger],
        registry: dg.ResourceParam[Registry],
        clock: dg.ResourceParam[Clock],
    ) -> None:
        with failing_when_refused():
            done = release.roll_back(model, config.reason, ledger, registry, clock)
        context.log.info(done)

    @dg.job(
        name=f"{model.name}__roll_back",
        description="End the rollout in progress, or go back to the champion before.",
        tags={"mlops_assets/model": model.name},
    )
    def roll_back() -> None:
        roll_back_release()

    return roll_back


def _build_approve(model: ModelDefinition) -> dg.JobDefinition:
    """Materializes nothing: a person lets a version that waits be released."""

    @dg.op(name=f"{model.name}__approve_version", pool=f"{model.name}__deployment")
    def approve_version(
        context: dg.OpExecutionContext,
        config: ApprovalConfig,
        ledger: dg.ResourceParam[Ledger],
        clock: dg.ResourceParam[Clock],
    ) -> None:
        with failing_when_refused():
            done = clearance.approve(model, config.version, config.by, config.reason, ledger, clock)
        context.log.info(done)

    @dg.job(
        name=f"{model.name}__approve",
        description="Approve a registered version: with rollout.approval it waits for this.",
        tags={"mlops_assets/model": model.name},
    )
    def approve() -> None:
        approve_version()

    return approve


def _job(model: ModelDefinition, name: str, assets: Any, description: str) -> Job:
    return dg.define_asset_job(
        name=f"{model.name}__{name}",
        # Checks that are asked for by themselves would otherwise run along, at the cost of a fit.
        selection=dg.AssetSelection.assets(*(key_of(model, asset) for asset in assets))
        - dg.AssetSelection.checks(reproduction_key(model)),
        description=description,
        tags={"mlops_assets/model": model.name},
    )
