"""The features that were answered with, beside those that are built offline."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from mlops_assets.adapters.ports import Ledger, TableStore
from mlops_assets.components.definition import ModelDefinition
from mlops_assets.components.stages.predictions import logged_column, read_predictions
from mlops_assets.lifecycle.skew import SkewReport, compare_features

if TYPE_CHECKING:
    import polars as pl


def measure_skew(
    model: ModelDefinition, keys: Sequence[str], tables: TableStore, ledger: Ledger
) -> SkewReport:
    """Collected rows of partitions against the offline features of the same entity and time.

    Whoever sent a feature, the caller or the endpoint's own look-up, it is compared: what was
    looked up in a table that is too old differs here.
    """
    import polars as pl

    offline = _read_offline(model, keys, tables)
    features = [feature for feature in model.features if feature.name in offline.columns]
    online = read_predictions(model, keys, tables).select(
        "entity",
        "time",
        "version",
        "digest",
        *(pl.col(logged_column(feature.name)).alias(feature.name) for feature in features),
    )
    digests = dict(online.select("version", "digest").unique().drop_nulls().iter_rows())
    return compare_features(
        online.drop("digest"),
        offline,
        features,
        model.spec.skew,
        known=_read_known(model, digests, ledger),
    )


def _read_offline(model: ModelDefinition, keys: Sequence[str], tables: TableStore) -> pl.DataFrame:
    """Entity, time, and the features that the table has."""
    import polars as pl

    entity, time = model.spec.entities.key, model.spec.entities.time
    table = model.table("features")
    moment = pl.Datetime("us", "UTC")
    if tables.version(table) is None:
        return pl.DataFrame(schema={"entity": pl.String, "time": moment})
    rows = tables.read(table, keys)
    names = [feature.name for feature in model.features if feature.name in rows.columns]
    return rows.select(
        pl.col(entity).cast(pl.String).alias("entity"),
        pl.col(time).cast(moment).alias("time"),
        *names,
    )


def _read_known(
    model: ModelDefinition, digests: dict[str, str], ledger: Ledger
) -> dict[str, frozenset[str]]:
    """The features of each version: those whose importance its evaluation measured. A version
    without one is taken to know all."""
    found = {
        version: ledger.latest("evaluation", model.name, digest)
        for version, digest in digests.items()
    }
    return {
        version: frozenset(row.body["importance"])
        for version, row in found.items()
        if row and row.body.get("importance")
    }
