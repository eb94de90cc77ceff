"""The stages of a training bound to one small world: everything in memory, some hundred rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import numpy as np
import polars as pl

from mlops_assets.adapters.in_memory import (
    InMemoryModelFiles,
    InMemoryStagingServer,
    InMemoryStudies,
    InMemoryTables,
    InMemoryTracking,
)
from mlops_assets.components.definition import ModelDefinition
from mlops_assets.components.stages import (
    backtest,
    candidates,
    ensembles,
    evaluation,
    model_card,
    registration,
    reproduction,
    training,
    training_sets,
    tuning,
)
from mlops_assets_tests.components.conftest import World
from mlops_assets_tests.examples.reading import read_example

NAME = "seattle_ensemble"
MONTHS = tuple(f"2012-{month:02d}-01" for month in range(1, 13))
AS_OF = "2012-09-01"
RECENT = {"estimator": "build_recent"}
SEASONAL = {"estimator": "build_seasonal"}
SMALL: dict[str, Any] = {
    "training": {"split": {"test": 2, "calibration": 2, "validation": 1, "minimum_fit": 3}},
    "candidates": {
        "recent": {**RECENT, "space": {"classify__C": {"low": 0.01, "high": 10, "log": True}}},
        "seasonal": SEASONAL,
    },
    "tuning": {"trials": 2},
    "gates": {"minimum": {"auc": 0.6}, "minimum_rows": 60},
    "evaluation": {},
}
"""Two candidates, one of them searched, weighed against each other."""

ALONE: dict[str, Any] = {
    **SMALL,
    "training": {"split": SMALL["training"]["split"], "estimator": "build_recent"},
    "candidates": None,
    "ensemble": None,
    "tuning": None,
}
"""One estimator, nothing to choose."""


def tags(run: str, asset: str, as_of: str) -> dict[str, str]:
    return {"dagster_run_id": run, "dagster_asset": asset, "dagster_partition": as_of}


@dataclass
class Bench:
    """One model's world; each method is a stage, with a new Dagster run each time."""

    world: World
    tables: InMemoryTables = field(default_factory=InMemoryTables)
    files: InMemoryModelFiles = field(default_factory=InMemoryModelFiles)
    tracking: InMemoryTracking = field(default_factory=InMemoryTracking)
    studies: Any = field(default_factory=InMemoryStudies)
    said: list[str] = field(default_factory=list)

    @property
    def model(self) -> ModelDefinition:
        return self.world.model

    def stating(self, **changes: Any) -> Bench:
        """The same world after somebody edited defs.yaml."""
        return replace(self, world=replace(self.world, model=read_example(NAME, SMALL | changes)))

    def plan(self, as_of: str = AS_OF, rows: Any = "all") -> training_sets.PlannedTrainingSet:
        w = self.world
        return training_sets.plan(w.model, as_of, rows, self.tables, w.ledger, w.clock)

    def study(self, as_of: str = AS_OF) -> dict[str, Any]:
        w, named = self.world, self._named("study", as_of)
        return tuning.study(
            w.model,
            as_of,
            self.tables,
            w.ledger,
            self.studies,
            self.tracking,
            w.clock,
            named,
            self.said.append,
        )

    def fit(
        self, name: str, as_of: str = AS_OF, *, again: bool = False
    ) -> tuple[candidates.FittedCandidate, bool]:
        w, named = self.world, self._named(f"candidate_{name}", as_of)
        return candidates.fit_candidate(
            w.model,
            as_of,
            w.model.candidates[name],
            self.tables,
            w.ledger,
            self.files,
            self.tracking,
            w.clock,
            named,
            again=again,
        )

    def weigh(self, as_of: str = AS_OF) -> Any:
        w = self.world
        return ensembles.weigh(w.model, as_of, self.tables, w.ledger, self.files, w.clock)

    def train(
        self, as_of: str = AS_OF, estimator: str | None = None, *, again: bool = False
    ) -> tuple[training.TrainedModel, bool]:
        w, named = self.world, self._named("trained_model", as_of)
        return training.train(
            w.model,
            as_of,
            self.tables,
            w.ledger,
            self.files,
            self.tracking,
            w.clock,
            named,
            estimator=estimator,
            again=again,
        )

    def evaluate(self, as_of: str = AS_OF, *, again: bool = False) -> evaluation.Evaluated:
        w, server = self.world, InMemoryStagingServer(self.files)
        return evaluation.evaluate(
            w.model, as_of, self.tables, w.ledger, self.files, server, w.clock, again=again
        )

    def register(self, as_of: str = AS_OF) -> registration.Registered:
        w = self.world
        return registration.register(w.model, as_of, w.ledger, w.registry, w.clock)

    def reproduce(self, as_of: str = AS_OF) -> Any:
        return reproduction.reproduce(self.model, as_of, self.tables, self.world.ledger, self.files)

    def card(self, done: evaluation.Evaluated) -> str:
        return model_card.describe_model(self.model, done, self.world.ledger)

    def backtest(self, first: str | None = None, last: str | None = None) -> Any:
        w = self.world
        return backtest.backtest(
            w.model,
            self.tables,
            w.ledger,
            self.files,
            w.clock,
            self.said.append,
            first=first,
            last=last,
        )

    def make(self, as_of: str = AS_OF) -> training.TrainedModel:
        """Everything up to the trained model."""
        self.plan(as_of)
        if self.model.spec.tuning:
            self.study(as_of)
        if self.model.compares_candidates:
            for name in self.model.candidates:
                self.fit(name, as_of)
        if self.model.spec.ensemble:
            self.weigh(as_of)
        return self.train(as_of)[0]

    def _named(self, asset: str, as_of: str) -> dict[str, str]:
        return tags(f"run {len(self.tracking.runs) + 1}", f"{NAME}/{asset}", as_of)


def make_bench(changes: Mapping[str, Any] | None = None, *, filled: bool = True) -> Bench:
    """A bench of the example with sections of its YAML replaced, and a year of rows."""
    bench = Bench(World(read_example(NAME, {**SMALL, **(changes or {})})))
    if filled:
        fill(bench)
    return bench


def fill(bench: Bench, months: tuple[str, ...] = MONTHS, rows: int = 60, seed: int = 7) -> None:
    """Months of days on which rain follows rain, and the season a little; known the next day."""
    calendar, random = bench.model.calendar, np.random.default_rng(seed)
    features, labels = {}, {}
    for key in months:
        begin = calendar.begin(key) + timedelta(hours=7)
        at = [begin + timedelta(hours=11 * row) for row in range(rows)]
        yesterday = random.integers(0, 2, rows).astype(float)
        season = random.normal(size=rows)
        entity = pl.DataFrame(
            {"day": [f"{key} {row:03d}" for row in range(rows)], "predicted_at": at}
        ).with_columns(pl.col("predicted_at").cast(pl.Datetime("us", "UTC")))
        features[key] = entity.with_columns(
            morning="predicted_at",
            rained_yesterday=pl.Series(yesterday),
            rain_rate_3d=pl.Series((yesterday + random.integers(0, 3, rows)) / 3),
            rain_rate_7d=pl.Series((yesterday + random.integers(0, 7, rows)) / 7),
            rain_rate_28d=pl.Series(random.random(rows)),
            winter=pl.Series(season),
        )
        chance = 1 / (1 + np.exp(-(3 * yesterday - 1.5 + season)))
        known = pl.col("predicted_at") + timedelta(hours=12)
        labels[key] = entity.with_columns(
            rain=pl.Series(random.random(rows) < chance), known_at=known
        )
    bench.tables.write(f"{NAME}/features", features)
    bench.tables.write(f"{NAME}/labels", labels)
