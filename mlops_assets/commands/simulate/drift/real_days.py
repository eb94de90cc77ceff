"""Real days to draw windows from: the flights of a year, with their features and no state kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import polars as pl

from mlops_assets.adapters.in_memory import InMemoryTables
from mlops_assets.adapters.local_files import LocalFiles
from mlops_assets.adapters.ports import TableStore
from mlops_assets.components.definition import ModelDefinition
from mlops_assets.components.stages import data
from mlops_assets.lifecycle.importance import measure_importance
from mlops_assets.lifecycle.training import (
    Feature,
    cast_features,
    fit_estimator,
    predict_probability,
)

DAY, TRUTH = "day", "truth"
THINNED = 5
"""One row of so many is kept: a fifth of a day's flights still depends as the whole day does."""

ESTIMATOR = "build_boosting"
"""The quickest candidate of the flights that is any good."""


@dataclass(frozen=True)
class RealDays:
    """``rows``: a table of features with a column of dates, ``partition`` for whole weeks, and
    ``probability`` and ``truth``: the answer of a model that has not seen that day, and what came
    of it, null where it never became known. ``weights``: how much such a model rests on each
    feature, AUC lost.
    """

    rows: pl.DataFrame
    features: tuple[Feature, ...]
    weights: Mapping[str, float]

    @cached_property
    def by_weekday(self) -> tuple[tuple[pl.DataFrame, ...], ...]:
        """Each Monday to each Sunday."""
        return tuple(
            tuple(rows for (day,), rows in self._days.items() if day.weekday() == weekday)  # type: ignore[attr-defined]
            for weekday in range(7)
        )

    @cached_property
    def weeks(self) -> tuple[tuple[pl.DataFrame, ...], ...]:
        """Each whole week as its seven days, in order."""
        found: dict[str, list[pl.DataFrame]] = {}
        for rows in self._days.values():
            found.setdefault(rows["partition"][0], []).append(rows)
        return tuple(tuple(days) for days in found.values() if len(days) == 7)

    @cached_property
    def _days(self) -> dict[tuple[object, ...], pl.DataFrame]:
        return self.rows.sort(DAY).partition_by(DAY, as_dict=True, maintain_order=True)


def build_real_days(
    model: ModelDefinition, thinned: int = THINNED, estimator: str = ESTIMATOR
) -> RealDays:
    """The model's features through its own stages, without a state folder.

    The first partitions are left out: rolling features without a full history before them differ
    from those of all others. Every second day is answered by a model fitted on the days between,
    and the other way round.
    """
    rows = _thin(model, _build_tables(model), thinned)
    even = rows[DAY].dt.epoch("d") % 2 == 0
    halves = (rows.filter(even), rows.filter(~even))
    fitted = [_fit(model, half, estimator) for half in halves]
    answered = [
        other.with_columns(probability=predict_probability(one, other, model.features))
        for one, other in zip(fitted, halves[::-1], strict=True)
    ]
    known = answered[0].drop_nulls(TRUTH)
    weights = measure_importance(
        fitted[0], known, model.features, TRUTH, seed=model.spec.training.seed
    )
    return RealDays(pl.concat(answered).sort(DAY, maintain_order=True), model.features, weights)


def _build_tables(model: ModelDefinition) -> TableStore:
    tables, files, calendar = InMemoryTables(), LocalFiles(), model.calendar
    for source in model.sources.values():
        keys = calendar.keys if source.partitioned_by else ("all",)
        data.ingest_source(model, source, keys, files, tables)
        data.validate_source(model, source, keys, tables)
    data.build_labels(model, calendar.keys, tables)
    data.build_features(model, calendar.keys, tables)
    return tables


def _thin(model: ModelDefinition, tables: TableStore, thinned: int) -> pl.DataFrame:
    policy, label, calendar = model.spec.entities, model.spec.label, model.calendar
    kept = calendar.keys[policy.lookback :]
    labels = tables.read(model.table("labels"), kept).select(policy.key, label)
    rows = tables.read(model.table("features"), kept).join(labels, on=policy.key)
    thin = rows.sort(policy.time, policy.key).gather_every(thinned)
    day = thin[policy.time].dt.convert_time_zone(calendar.timezone).dt.date()
    return cast_features(thin, model.features).with_columns(
        day.alias(DAY), thin["partition"], thin[label].cast(pl.Float64).alias(TRUTH)
    )


def _fit(model: ModelDefinition, rows: pl.DataFrame, estimator: str) -> object:
    build, known = model.function(estimator), rows.drop_nulls(TRUTH)
    seed = model.spec.training.seed
    return fit_estimator(build, known, model.features, TRUTH, parameters={}, seed=seed)
