"""The features of a moment, by key, for the endpoint to look up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from mlops_assets.adapters.online_tables import encode_table
from mlops_assets.adapters.ports import Clock, TableStore
from mlops_assets.adapters.serving_ports import OnlineTables
from mlops_assets.components.definition import ModelDefinition
from mlops_assets.lifecycle.errors import FeatureError
from mlops_assets.lifecycle.features import FeatureInputs
from mlops_assets.lifecycle.online import (
    FeatureRecipe,
    OnlineTable,
    build_groups,
    find_differences,
    find_seen,
    judge_online,
    measure_coverage,
)
from mlops_assets.lifecycle.point_in_time import KNOWN_AT, PREDICTED_AT
from mlops_assets.lifecycle.verdicts import Verdict

if TYPE_CHECKING:
    import polars as pl

COMPARED = 500
"""Entities whose features are built as well as looked up, drawn by ``SEED``."""

SEED = 7


@dataclass(frozen=True)
class PublishedTable:
    """What was published: the table, its digest, its size in bytes, and what was judged.

    ``coverage``: for each group, the share of the last partition's entities whose key had been
    seen before that partition began.
    """

    table: OnlineTable
    digest: str
    size: int
    verdict: Verdict
    coverage: tuple[float | None, ...]


def publish_online_features(
    model: ModelDefinition,
    tables: TableStore,
    online: OnlineTables,
    clock: Clock,
    as_of: str | None = None,
) -> PublishedTable:
    """Publish the features of ``as_of`` (ISO 8601, UTC without an offset; by default now).

    A moment after the last entity that is there becomes that entity's. Raises ``FeatureError``.
    """
    moments = _read_moments(model, tables)
    at = min(_read_moment(as_of) if as_of else clock.now(), _last(model, moments))
    keys = _partitions(model, moments, at)
    inputs = _read_inputs(model, keys, tables)
    groups = model.spec.features.to_groups()
    recipe = recipe_of(model)
    built = build_groups(recipe, inputs, groups, at)
    table = OnlineTable(model.name, at.isoformat(), model.code_digest, built)
    seen = find_seen(recipe, inputs, at)
    sample = seen.sample(min(COMPARED, seen.height), seed=SEED)
    differences = find_differences(recipe, inputs, built, at, sample)
    return PublishedTable(
        table,
        online.publish(table),
        len(encode_table(table)),
        judge_online(differences, sample.height),
        measure_coverage(seen, groups, model.calendar.begin(keys[-1])),
    )


def recipe_of(model: ModelDefinition) -> FeatureRecipe:
    """How the model's own ``build_features`` is called."""
    return FeatureRecipe(
        model.function("build_features"),
        model.features,
        model.spec.entities,
        model.calendar.timezone,
    )


def _read_moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise FeatureError(
            f"online features: as_of '{text}' is no moment, write it like 2013-06-01T05:00"
        ) from error
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return aware.astimezone(UTC)


def _read_moments(model: ModelDefinition, tables: TableStore) -> pl.DataFrame:
    """When the entities of each partition are predicted."""
    table = model.table("labels")
    if tables.version(table) is None:
        raise FeatureError(f"online features: there is no table {table}; run the job ingest first")
    return tables.read(table, columns=[PREDICTED_AT, "partition"])


def _last(model: ModelDefinition, moments: pl.DataFrame) -> datetime:
    last: datetime | None = moments[PREDICTED_AT].max()  # type: ignore[assignment]
    if last is None:
        raise FeatureError(
            f"online features: {model.table('labels')} has no rows; run the job ingest first"
        )
    return last


def _partitions(model: ModelDefinition, moments: pl.DataFrame, at: datetime) -> tuple[str, ...]:
    """The partition the moment is in, or the last one with entities before it, and those that
    features look back to from there, in order."""
    begun = [key for key in model.calendar.keys if model.calendar.begin(key) <= at]
    there = moments.filter(moments[PREDICTED_AT] <= at)["partition"].max()
    ends = tuple(str(key) for key in (*begun[-1:], there) if key is not None)
    return model.calendar.with_lookback(ends, model.spec.entities.lookback) if ends else ()


def _read_inputs(model: ModelDefinition, keys: Sequence[str], tables: TableStore) -> FeatureInputs:
    """All entities of the partitions, without label and outcome, and what features draw on."""
    history = tables.read(model.table("labels"), keys).drop("partition")
    sources = {
        source.name: tables.read(
            model.table(f"validated_{source.name}"), keys if source.partitioned_by else None
        ).drop("partition")
        for source in model.feature_sources
    }
    entities = history.drop(model.spec.label, KNOWN_AT)
    return FeatureInputs(entities, history, sources, model.timed_sources)
