"""A champion with rows, answers and labels around it, for the tests of drift."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
from sklearn.linear_model import LogisticRegression

from mlops_assets.adapters.in_memory import InMemoryModelFiles, InMemoryReports, InMemoryTables
from mlops_assets.adapters.journal import write_once
from mlops_assets.components.stages import drift as stage
from mlops_assets.lifecycle.splits import TrainingSet
from mlops_assets.lifecycle.training import Feature, ModelSignature

AS_OF, WEEK = "2013-03-04", "2013-05-20"
ROWS = 350
MOMENT = pl.Datetime("us", "UTC")
TESTED = ("2013-02-18", "2013-02-25")


@dataclass
class Watched:
    """A world whose champion ``v1`` was trained on eight weeks of rows; fill what a test needs."""

    world: Any
    tables: InMemoryTables = field(default_factory=InMemoryTables)
    files: InMemoryModelFiles = field(default_factory=InMemoryModelFiles)
    reports: Any = field(default_factory=InMemoryReports)

    def __post_init__(self) -> None:
        self.digest = self._fit()
        self.world.crown("v1", self.digest, as_of=AS_OF)
        keys = self.world.model.calendar.before(AS_OF, 8)
        rows = {key: self.rows(key) for key in keys}
        self.tables.write("flight_delays/features", rows)

    def rows(self, key: str, shift: float = 0.0) -> pl.DataFrame:
        """A row each 28 minutes of a week, the values of each column moved by ``shift``."""
        kinds = {
            f.name: pl.Float64 if f.kind == "numeric" else pl.String
            for f in self.world.model.features
        }
        values = {
            name: [f"c{n % 3}" if kind is pl.String else n % 11 + shift for n in range(ROWS)]
            for name, kind in kinds.items()
        }
        begin = self.world.model.calendar.begin(key)
        at = [begin + timedelta(minutes=28 * n) for n in range(ROWS)]
        frame = pl.DataFrame(values, schema_overrides=kinds)
        return frame.with_columns(pl.Series("scheduled_departure", at, dtype=MOMENT))

    def answer(
        self, shift: float = 0.0, *, copies: float | None = None, move: float = 0.0, **other: Any
    ) -> None:
        """Answers of the week to rows moved by ``shift``, by v1, the probability moved by ``move``.

        With ``copies`` each row was copied to a shadow too, moved so; ``other`` overrides columns.
        """
        asked = {"primary": shift} if copies is None else {"primary": shift, "shadow": copies}
        answered = [
            self.rows(WEEK, moved)
            .rename({"scheduled_departure": "moment"})
            .with_columns(
                pl.format("r{}", pl.int_range(pl.len())).alias("request_id"),
                entity=pl.format("e{}", pl.int_range(pl.len())),
                time=pl.col("moment"),
                row=0,
                arm=pl.lit(arm),
                version=pl.lit("v1"),
                probability=_probability(pl.int_range(pl.len()) % 11, move),
            )
            .with_columns(**{name: pl.lit(value) for name, value in other.items()})
            for arm, moved in asked.items()
        ]
        self.tables.write("flight_delays/predictions", {WEEK: pl.concat(answered)})

    def record_test(self) -> None:
        """Write down what v1 was tested on, as a training does."""
        moment = datetime(2013, 3, 4, tzinfo=UTC).isoformat()
        times = {"fit_until": moment, "calibrate_until": moment, "test_until": moment}
        parts = {"fit": (), "validation": (), "calibration": (), "test": TESTED, "fold_from": ()}
        planned = TrainingSet(
            as_of=AS_OF, rows="all", versions={"features": 0}, fingerprint="f", **parts, **times
        )
        body = {**asdict(planned), "digest": "d" * 64}
        ledger, name = self.world.ledger, self.world.name
        write_once(ledger, "training_set", name, AS_OF, body, self.world.clock.now())
        said = self.world.recorded(self.digest, AS_OF)
        write_once(ledger, "version", name, "v1", said, self.world.clock.now())

    def label(self, late: float, known: datetime | None = None) -> None:
        """Labels of the reference, a fifth of them positive, and of the week, ``late`` of them."""
        keys = (*self.world.model.calendar.before(AS_OF, 8), WEEK)
        frames = {}
        for key in keys:
            share = late if key == WEEK else 0.2
            at = self.rows(key)["scheduled_departure"]
            frames[key] = pl.DataFrame(
                {
                    "predicted_at": at,
                    "known_at": at.dt.offset_by("5h") if known is None else [known] * ROWS,
                    "late": [(n * 7) % 100 < 100 * share for n in range(ROWS)],
                }
            ).with_columns(pl.col("known_at").cast(MOMENT))
        self.tables.write("flight_delays/labels", frames)

    def compare(self, **render: Any) -> stage.MeasuredDrift:
        """Drift of the week."""
        return stage.compare_with_reference(
            self.world.model,
            WEEK,
            self.tables,
            self.world.ledger,
            self.files,
            self.reports,
            self.world.clock,
            **render,
        )

    def _fit(self) -> str:
        """A model that answers more, the larger ``distance`` is, as ``_probability`` does."""
        distance = np.repeat(np.arange(11.0), 100)
        late = np.concatenate([np.arange(100) < 100 * _rate(n) for n in range(11)])
        fitted = LogisticRegression(C=1e6).fit(pd.DataFrame({"distance": distance}), late)
        inputs = (Feature("distance", "numeric"),)
        columns = ("flight_id", "scheduled_departure", "late")
        signature = ModelSignature("flight_delays", inputs, *columns, AS_OF, "d" * 64, "logistic")
        return self.files.save(fitted, signature)


def _rate(value: Any) -> Any:
    return 0.1 + 0.05 * value


def _probability(value: pl.Expr, move: float) -> pl.Expr:
    odds = -2.05 + 0.24 * value.cast(pl.Float64)
    return (1 / (1 + (-odds).exp()) + move).clip(0.0, 1.0)
