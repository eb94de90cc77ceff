"""Moving logged predictions to their table exactly once, and reading them from there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from mlops_assets.adapters.journal import read_rollout, read_rollout_history
from mlops_assets.adapters.ports import Clock, Ledger, TableStore, TableVersion
from mlops_assets.adapters.serving_ports import Telemetry
from mlops_assets.components.definition import ModelDefinition
from mlops_assets.components.stages.data import by_partition
from mlops_assets.lifecycle.errors import RefusedError, TableConflict

if TYPE_CHECKING:
    import polars as pl

SHADOW = "shadow"
"""The arm of copies, whose answers nobody got."""

KEEP_LOG = timedelta(days=30)
"""How long the files of the prediction log stay although their rows are in the table."""

ASKED_ROW = ("request_id", "row", "entity", "time")
"""What a row that was asked is told by. Callers may give every request the same id: rows of
different entities or times are none the less different rows."""

ONE_ANSWER = ("partition", *ASKED_ROW, "version", "arm")
"""What an answered row is told by: logged again, as its request was tried again, it is the same."""

LOG_COLUMNS = (
    "request_id",
    "row",
    "version",
    "digest",
    "arm",
    "routed",
    "unit",
    "canary",
    "weight",
    "received_at",
    "entity",
    "time",
    "probability",
    "milliseconds",
    "moment",
)
"""What the table holds beside the features. ``moment`` is the row's time, or when it was asked."""

_RENAMED = frozenset({*LOG_COLUMNS, "model"}) - {"moment"}
"""A feature of such a name is called ``feature_<name>`` by the log, and in the table."""

_ATTEMPTS = 20


@dataclass(frozen=True)
class CollectedPredictions:
    """What a collection wrote; ``attempts`` is what the log held in all.

    ``counts`` has per partition the rows that are new and those that were there before, how many
    of both are a shadow's, and how many logged requests a version failed.
    """

    version: TableVersion
    counts: Mapping[str, Mapping[str, int]]
    attempts: int


def collect_predictions(
    model: ModelDefinition, keys: Sequence[str], telemetry: Telemetry, tables: TableStore
) -> CollectedPredictions:
    """Move answered rows that fall into the partitions to their table, each once.

    A partition ends with the rows it had and those in the log; of one answer that was logged
    several times the earliest. It is the same whoever collects at the same time, whenever one of
    them is killed, and whatever of the log was removed after it was collected. Raises
    ``TableConflict`` when others write to the table without end.
    """
    import polars as pl

    logged = _with_partition(model, telemetry.predictions(model.name))
    wanted = logged.filter(pl.col("partition").is_in(list(keys)))
    answered = _with_features(model, wanted.drop_nulls("probability"))
    for attempt in range(1, _ATTEMPTS + 1):
        stored, at = _read_stored(model, keys, tables)
        merged = _merge(stored, answered)
        try:
            written = tables.write_after(model.table("predictions"), by_partition(merged, keys), at)
        except TableConflict:
            # Another collection wrote: what it added has to be among what is written here.
            if attempt == _ATTEMPTS:
                raise
            continue
        attempts = logged.unique(["request_id", "version", "arm", "received_at"]).height
        return CollectedPredictions(written, _count(keys, stored, merged, wanted), attempts)
    raise AssertionError("the last attempt returns or raises")


def prune_log(
    model: ModelDefinition, telemetry: Telemetry, tables: TableStore, ledger: Ledger, clock: Clock
) -> int:
    """Remove log files older than ``KEEP_LOG`` of which the table holds every answered row.

    A file stays as long as one of its rows falls into a partition that was never collected, and
    as long as it may hold requests of a rollout in progress. Returns how many were removed.
    """
    before = clock.now() - KEEP_LOG
    rollout = read_rollout(ledger, model.name)
    if rollout and rollout.active:
        first = read_rollout_history(ledger, model.name, rollout.version)[0]
        # An hour before it: the same grace with which its windows are read.
        before = min(before, datetime.fromisoformat(first.since) - timedelta(hours=1))

    def collected(rows: pl.DataFrame) -> bool:
        return _is_stored(model, rows.drop_nulls("probability"), tables)

    return telemetry.prune(model.name, before, collected)


def read_predictions(
    model: ModelDefinition, keys: Sequence[str], tables: TableStore
) -> pl.DataFrame:
    """The collected rows of partitions; columns that older tables lack are null.

    Raises ``RefusedError`` before any were collected.
    """
    table = model.table("predictions")
    if tables.version(table) is None:
        raise RefusedError(f"{table}: nothing was collected yet; materialize predictions first")
    rows = tables.read(table, keys)
    return _with_columns(model, rows)


def select_features(model: ModelDefinition, predictions: pl.DataFrame) -> pl.DataFrame:
    """Rows that callers got, each asked row once, as features under their own names with
    ``moment``: a copy is no request, nor is a row that two versions were asked about two rows."""
    import polars as pl

    asked = predictions.filter(pl.col("arm").ne_missing(SHADOW)).unique(
        ASKED_ROW, keep="first", maintain_order=True
    )
    names = [feature.name for feature in model.features]
    return asked.select("moment", *(pl.col(logged_column(name)).alias(name) for name in names))


def _read_stored(
    model: ModelDefinition, keys: Sequence[str], tables: TableStore
) -> tuple[pl.DataFrame, int | None]:
    """The rows there are, and the version they were read at."""
    import polars as pl

    table = model.table("predictions")
    at = tables.version(table)
    if at is None:
        return pl.DataFrame(schema={"partition": pl.String}), None
    return tables.read(table, keys, version=at), at


def _merge(stored: pl.DataFrame, answered: pl.DataFrame) -> pl.DataFrame:
    """Both, one row per answer, in an order that does not tell how they came together."""
    import polars as pl

    both = pl.concat([answered.clear(), stored, answered], how="diagonal_relaxed")
    earliest = both.sort("received_at", maintain_order=True).unique(
        ONE_ANSWER, keep="first", maintain_order=True
    )
    return earliest.sort("received_at", *ONE_ANSWER)


def _is_stored(model: ModelDefinition, answered: pl.DataFrame, tables: TableStore) -> bool:
    import polars as pl

    if answered.is_empty():
        return True
    if tables.version(model.table("predictions")) is None:
        return False
    rows = _with_partition(model, answered).select(*ONE_ANSWER, "received_at")
    keys = rows["partition"].unique().to_list()
    stored = tables.read(
        model.table("predictions"), keys, columns=[*ONE_ANSWER, "received_at"]
    ).rename({"received_at": "kept_at"})
    both = rows.join(stored, on=ONE_ANSWER, how="left", nulls_equal=True)
    # A later answer to the same request is there: the earlier one has yet to take its place.
    kept = (pl.col("kept_at") <= pl.col("received_at")).fill_null(value=False)
    return bool(both.select(kept.all()).item())


def _count(
    keys: Sequence[str], stored: pl.DataFrame, merged: pl.DataFrame, wanted: pl.DataFrame
) -> dict[str, dict[str, int]]:
    import polars as pl

    shadow = pl.col("arm").eq_missing(SHADOW)
    failed = wanted.filter(pl.col("probability").is_null() & ~shadow)

    def rows(frame: pl.DataFrame, key: str) -> pl.DataFrame:
        return frame.filter(pl.col("partition") == key)

    return {
        key: {
            "rows_new": rows(merged, key).height - rows(stored, key).height,
            "rows_already_there": rows(stored, key).height,
            "shadow_rows": rows(merged, key).filter(shadow).height,
            "failed_requests": rows(failed, key)["request_id"].n_unique(),
        }
        for key in keys
    }


def _with_partition(model: ModelDefinition, logged: pl.DataFrame) -> pl.DataFrame:
    import polars as pl

    moment = pl.coalesce("time", "received_at")
    return logged.with_columns(
        moment.alias("moment"), model.calendar.assign_moment(moment).alias("partition")
    )


def _with_features(model: ModelDefinition, rows: pl.DataFrame) -> pl.DataFrame:
    """The log's columns and every feature of today's model, null where a version had none."""
    whole = _with_columns(model, rows)
    features = [logged_column(feature.name) for feature in model.features]
    return whole.select("partition", *LOG_COLUMNS, *features)


def _with_columns(model: ModelDefinition, rows: pl.DataFrame) -> pl.DataFrame:
    """The rows with all columns of today, and their features of today's types."""
    import polars as pl

    later = {
        "routed": pl.Boolean(),
        "unit": pl.String(),
        "canary": pl.String(),
        "weight": pl.Int64(),
    }
    kinds = {
        logged_column(feature.name): pl.Float64() if feature.kind == "numeric" else pl.String()
        for feature in model.features
    }
    absent = {n: t for n, t in {**later, **kinds}.items() if n not in rows.columns}
    there = {n: t for n, t in kinds.items() if n in rows.columns}
    return rows.with_columns(
        *(pl.col(name).cast(kind, strict=False) for name, kind in there.items()),
        *(pl.lit(None, kind).alias(name) for name, kind in absent.items()),
    )


def logged_column(feature: str) -> str:
    """The column of the log, and of the table, that holds a feature."""
    return f"feature_{feature}" if feature in _RENAMED else feature
