"""From raw files to features and labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlops_assets.adapters.ports import SourceFiles, TableStore, TableVersion
from mlops_assets.components.definition import ModelDefinition
from mlops_assets.lifecycle import features as feature_rules
from mlops_assets.lifecycle.calendar import Calendar
from mlops_assets.lifecycle.errors import SourceError
from mlops_assets.lifecycle.features import FeatureInputs
from mlops_assets.lifecycle.parsing import ParsedSource, parse_source
from mlops_assets.lifecycle.point_in_time import KNOWN_AT, PREDICTED_AT
from mlops_assets.lifecycle.repeated_keys import find_shared_keys
from mlops_assets.lifecycle.sources import Source
from mlops_assets.lifecycle.validation import (
    USUAL,
    judge_accounting,
    judge_quarantine,
    judge_volume,
    split_quarantine,
)
from mlops_assets.lifecycle.verdicts import Verdict

if TYPE_CHECKING:
    import polars as pl

STRAYS = "rows_are_in_their_own_file"
"""The check of sources that are delivered as one file per partition."""


@dataclass(frozen=True)
class Ingested:
    """What an ingestion wrote, and what is wrong with the partitions it did not write.

    ``strays``: whether each file held rows of its own partition only; None of one file for all.
    """

    version: TableVersion | None
    errors: Mapping[str, SourceError]
    rows_elsewhere: int
    strays: Verdict | None = None


@dataclass(frozen=True)
class Validated:
    """Both halves of a validation, with the verdicts on them."""

    validated: TableVersion
    quarantined: TableVersion
    accounting: Verdict
    quarantine: Verdict
    volume: tuple[Verdict, ...]
    reasons: Mapping[str, int]


@dataclass(frozen=True)
class BuiltFeatures:
    """The features written, with the verdicts that they know only the past, and enough of it."""

    version: TableVersion
    leaks: Verdict
    lookback: Verdict
    missing: Mapping[str, float]


def ingest_source(
    model: ModelDefinition,
    source: Source,
    keys: Sequence[str],
    files: SourceFiles,
    tables: TableStore,
) -> Ingested:
    """Read the partitions of a raw file; the good ones are written, in one commit."""
    parsed = parse_partitions(model, source, keys, files, tables)
    version = (
        tables.write(model.table(f"raw_{source.name}"), parsed.partitions)
        if parsed.partitions
        else None
    )
    one_for_all = "{partition}" not in source.path
    strays = None if one_for_all else _judge_strays(source, parsed.rows_elsewhere)
    return Ingested(version, parsed.errors, parsed.rows_elsewhere, strays)


def _judge_strays(source: Source, rows: int) -> Verdict:
    """Rows of another partition are left out here: they have to come in that partition's file."""
    said = "each row is in the file of its partition"
    if rows:
        said = (
            f"{source.path}: {rows} row(s) belong to other partitions than their file and are left "
            "out; deliver them in the files of their own"
        )
    return Verdict(STRAYS, "failed" if rows else "passed", said, {"rows": rows})


def validate_source(
    model: ModelDefinition, source: Source, keys: Sequence[str], tables: TableStore
) -> Validated:
    """Split raw rows into validated and quarantined ones."""
    raw = tables.read(model.table(f"raw_{source.name}"), keys)
    halves = split_quarantine(raw, source)
    validated = tables.write(
        model.table(f"validated_{source.name}"), by_partition(halves.validated, keys)
    )
    quarantined = tables.write(
        model.table(f"quarantined_{source.name}"), by_partition(halves.quarantined, keys)
    )
    kept, aside = halves.validated.height, halves.quarantined.height
    reasons = halves.quarantined["quarantine_reason"].value_counts(sort=True)
    return Validated(
        validated,
        quarantined,
        judge_accounting(raw.height, kept, aside),
        judge_quarantine(raw.height, aside, model.spec.validation),
        _judge_volume(model, source, keys, tables),
        dict(reasons.iter_rows()),
    )


def _judge_volume(
    model: ModelDefinition, source: Source, keys: Sequence[str], tables: TableStore
) -> tuple[Verdict, ...]:
    """None for a source without partitions: there are none before to compare with."""
    if not source.partitioned_by:
        return ()
    counts = count_rows(tables, model.table(f"raw_{source.name}"), model.calendar, keys)
    return (judge_volume(counts, keys, model.spec.validation),)


def count_rows(
    tables: TableStore, table: str, calendar: Calendar, keys: Sequence[str]
) -> dict[str, int]:
    """Rows by partition, of the partitions and of those that say what is usual for them."""
    wide = calendar.with_lookback(tuple(keys), USUAL)
    return dict(
        tables.read(table, wide, columns=["partition"])["partition"].value_counts().iter_rows()
    )


def build_labels(model: ModelDefinition, keys: Sequence[str], tables: TableStore) -> TableVersion:
    """Entities with their label and the moment it became known."""
    policy = model.spec.entities
    validated = tables.read(model.table(f"validated_{policy.source}"), keys)
    entities = feature_rules.build_entity_rows(
        model.function("build_entities"), validated.drop("partition"), policy
    )
    labels = feature_rules.build_label_rows(
        model.function("build_labels"),
        validated.drop("partition"),
        entities,
        policy,
        model.spec.label,
    )
    return tables.write(
        model.table("labels"), by_partition(labels.with_columns(validated["partition"]), keys)
    )


def build_features(
    model: ModelDefinition, keys: Sequence[str], tables: TableStore
) -> BuiltFeatures:
    """Features of the partitions, and the proof that they know only the past."""
    inputs, partition = _feature_inputs(model, keys, tables, model.spec.entities.lookback)
    build, policy = model.function("build_features"), model.spec.entities
    built = feature_rules.build_feature_rows(build, inputs, model.features, policy)
    version = tables.write(
        model.table("features"), by_partition(built.with_columns(partition), keys)
    )
    nulls = built.select(model_names(model)).null_count().row(0, named=True)
    missing = {name: count / max(built.height, 1) for name, count in nulls.items()}
    return BuiltFeatures(
        version,
        _judge_leaks(model, inputs, built),
        _judge_lookback(model, keys, tables, built),
        missing,
    )


def _judge_leaks(model: ModelDefinition, inputs: FeatureInputs, built: pl.DataFrame) -> Verdict:
    """Build the earlier half again without what came later; without rows there is nothing to."""
    cut = built[PREDICTED_AT].median()
    if cut is None:
        return Verdict("features_know_only_the_past", "passed", "no row, so nothing is known")
    build, policy = model.function("build_features"), model.spec.entities
    leaks = feature_rules.find_leaks(build, inputs, built, model.features, policy, cut)  # type: ignore[arg-type]
    early = int((built[PREDICTED_AT] <= cut).sum())
    return feature_rules.judge_leaks(leaks, cut, early)  # type: ignore[arg-type]


def _judge_lookback(
    model: ModelDefinition, keys: Sequence[str], tables: TableStore, built: pl.DataFrame
) -> Verdict:
    """Build the earliest partition again with one more partition of history."""
    policy = model.spec.entities
    inputs, _ = _feature_inputs(model, [min(keys)], tables, policy.lookback + 1)
    build = model.function("build_features")
    again = feature_rules.build_feature_rows(build, inputs, model.features, policy)
    changes = feature_rules.count_changes(built, again, model.features, policy)
    return feature_rules.judge_lookback(changes, policy.lookback)


def by_partition(frame: pl.DataFrame, keys: Sequence[str]) -> dict[str, pl.DataFrame]:
    """Rows by their ``partition`` column, without it; keys that have none get an empty frame."""
    found = {
        str(key): rows.drop("partition")
        for (key,), rows in frame.partition_by(
            "partition", as_dict=True, maintain_order=True
        ).items()
    }
    empty = frame.clear().drop("partition")
    return {key: found.get(key, empty) for key in keys}


def model_names(model: ModelDefinition) -> list[str]:
    """The names of the model's features, in order."""
    return [feature.name for feature in model.features]


def parse_partitions(
    model: ModelDefinition,
    source: Source,
    keys: Sequence[str],
    files: SourceFiles,
    tables: TableStore,
) -> ParsedSource:
    """One file for all partitions, or one file for each: a row may stand in one of them only, of
    these and of those that are in the table.
    """
    if "{partition}" not in source.path:
        try:
            file = files.read(source.path, model.folder)
        except SourceError as error:
            return ParsedSource({}, dict.fromkeys(keys, error))
        return parse_source(file, source, model.calendar, keys)
    partitions: dict[str, pl.DataFrame] = {}
    errors: dict[str, SourceError] = {}
    elsewhere = 0
    for key in keys:
        try:
            file = files.read(source.path.replace("{partition}", key), model.folder)
        except SourceError as error:
            errors[key] = error
            continue
        parsed = parse_source(file, source, model.calendar, [key])
        partitions.update(parsed.partitions)
        errors.update(parsed.errors)
        elsewhere += parsed.rows_elsewhere
    shared = find_shared_keys(source, partitions, _read_other_keys(model, source, keys, tables))
    good = {key: rows for key, rows in partitions.items() if key not in shared}
    return ParsedSource(good, errors | shared, elsewhere)


def _read_other_keys(
    model: ModelDefinition, source: Source, keys: Sequence[str], tables: TableStore
) -> pl.DataFrame | None:
    """The keys of the raw rows of all other partitions, None before there are any."""
    import polars as pl

    table = model.table(f"raw_{source.name}")
    if tables.version(table) is None:
        return None
    rows = tables.read(table, columns=["partition", *source.key])
    return rows.filter(~pl.col("partition").is_in(list(keys)))


def _feature_inputs(
    model: ModelDefinition, keys: Sequence[str], tables: TableStore, lookback: int
) -> tuple[FeatureInputs, pl.Series]:
    """What ``build_features`` may look at, and the partition of each entity."""
    wide = model.calendar.with_lookback(tuple(keys), lookback)
    history = tables.read(model.table("labels"), wide)
    # The entities come without label and outcome: what is not handed over cannot leak.
    entities = history.filter(history["partition"].is_in(list(keys)))
    sources = {
        source.name: tables.read(
            model.table(f"validated_{source.name}"), wide if source.partitioned_by else None
        ).drop("partition")
        for source in model.feature_sources
    }
    unlabelled = entities.drop("partition", model.spec.label, KNOWN_AT)
    inputs = FeatureInputs(unlabelled, history.drop("partition"), sources, model.timed_sources)
    return inputs, entities["partition"]
