"""A code location with the real sensor of retraining, whose training is an op that does nothing."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import dagster as dg

from mlops_assets.adapters.sql_ledger import SqlLedger
from mlops_assets.components.definition import ModelDefinition
from mlops_assets.components.jobs import build_jobs
from mlops_assets.components.sensors import build_sensors
from mlops_assets_tests.examples.reading import read_example

NAME = "seattle_rain"
LEDGER = "RETRAINING_LEDGER"
CHANGES = {
    "sensors": {"retrain_on_drift": {"default_status": "RUNNING", "interval_seconds": 1}},
    "retraining": {
        "mode": "enabled",
        "windows": 2,
        "violated": 2,
        "cooldown": 0,
        "budget": {"retrainings": 48, "partitions": 48},
    },
}


def read_model() -> ModelDefinition:
    """The example, retraining as soon as two months have drifted."""
    return read_example(NAME, CHANGES)


def open_ledger(folder: Path) -> SqlLedger:
    return SqlLedger(f"sqlite:///{folder}/ledger.db")


def build_location() -> dg.Definitions:
    """The sensor with a training that costs nothing, on the ledger that the environment names."""
    model = read_model()

    @dg.op
    def nothing() -> None:
        """Takes no time."""

    @dg.job(
        name=f"{NAME}__train",
        partitions_def=dg.StaticPartitionsDefinition(list(model.calendar.keys)),
    )
    def training() -> None:
        nothing()

    jobs = replace(build_jobs(model), train=training)
    (sensor,) = [s for s in build_sensors(model, jobs) if s.name.endswith("retrain_on_drift")]
    ledger = open_ledger(Path(os.environ[LEDGER]))
    return dg.Definitions(jobs=[training], sensors=[sensor], resources={"ledger": ledger})


if LEDGER in os.environ:
    definitions = build_location()
