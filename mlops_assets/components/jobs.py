"""The jobs of a model: what is launched, by the clock, by a sensor, or by a person."""

from dataclasses import dataclass
from typing import Any

import dagster as dg

from mlops_assets.components.assets.reproduction import reproduction_key
from mlops_assets.components.assets.wiring import key_of
from mlops_assets.components.definition import ModelDefinition
from mlops_assets.components.intervention_jobs import build_intervention_jobs

MONITORING = (
    "predictions",
    "performance",
    "drift_report",
    "retraining_decision",
    "retraining_outcome",
    "overview",
)

Job = Any
"""Dagster's unresolved asset job; it has no public name."""


@dataclass(frozen=True)
class ModelJobs:
    """The jobs of one model, by what they do."""

    ingest: Job
    train: Job
    walk_forward: Job
    release: Job
    monitor: Job
    drill: Job
    refresh: Job | None
    by_hand: tuple[dg.JobDefinition, ...]

    @property
    def all(self) -> list[Job]:
        return [
            self.ingest,
            self.train,
            self.walk_forward,
            self.release,
            self.monitor,
            self.drill,
            *([self.refresh] if self.refresh else []),
            *self.by_hand,
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
        drill=_job(
            model,
            "drill",
            ["rollback_drill"],
            "Try on a server that serves nobody how long going back to the version before takes.",
        ),
        refresh=_job(
            model,
            "refresh",
            ["online_features"],
            "Publish the features that the endpoint looks up, as they are now.",
        )
        if model.spec.features.online
        else None,
        by_hand=build_intervention_jobs(model),
    )


def fitting_assets(model: ModelDefinition) -> list[str]:
    """What is made anew as of each partition, up to the verdict, but for the study."""
    candidates = [f"candidate_{name}" for name in model.candidates if model.compares_candidates]
    ensemble = ["ensemble"] if model.spec.ensemble else []
    return ["training_set", *candidates, *ensemble, "trained_model", "evaluation"]


def _job(model: ModelDefinition, name: str, assets: Any, description: str) -> Job:
    return dg.define_asset_job(
        name=f"{model.name}__{name}",
        # Checks that are asked for by themselves would otherwise run along, at the cost of a fit.
        selection=dg.AssetSelection.assets(*(key_of(model, asset) for asset in assets))
        - dg.AssetSelection.checks(reproduction_key(model)),
        description=description,
        tags={"mlops_assets/model": model.name},
    )
