"""The jobs of a model: ingest, train, release, monitor."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import dagster as dg

from mlops_assets.components.assets.wiring import key_of
from mlops_assets.components.definition import ModelDefinition

TRAINING = ("training_set", "study", "trained_model", "evaluation", "model_version")
MONITORING = ("predictions", "performance", "drift_report", "retraining_decision")

Job = Any
"""Dagster's unresolved asset job; it has no public name."""


@dataclass(frozen=True)
class ModelJobs:
    """The jobs of one model, by what they do."""

    ingest: Job
    train: Job
    release: Job
    monitor: Job

    @property
    def all(self) -> list[Job]:
        return [self.ingest, self.train, self.release, self.monitor]


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
    )


def _job(model: ModelDefinition, name: str, assets: Any, description: str) -> Job:
    return dg.define_asset_job(
        name=f"{model.name}__{name}",
        selection=dg.AssetSelection.assets(*(key_of(model, asset) for asset in assets)),
        description=description,
        tags={"mlops_assets/model": model.name},
    )
