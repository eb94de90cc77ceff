"""Assets from raw files to features and labels."""

from collections.abc import Iterator

import dagster as dg

from mlops_assets.adapters.ports import SourceFiles, TableStore
from mlops_assets.components.assets.wiring import (
    ONE_RUN,
    asset_arguments,
    blocking_check,
    key_of,
)
from mlops_assets.components.definition import ModelDefinition
from mlops_assets.components.metadata import (
    check_result,
    data_version,
    markdown_table,
    source_lineage,
    source_schema,
    table_metadata,
)
from mlops_assets.components.partitions import (
    build_partitions,
    keys_of,
    source_partitions,
)
from mlops_assets.components.stages import data as stage
from mlops_assets.lifecycle.sources import Source
from mlops_assets.lifecycle.verdicts import Verdict

TABLE = ("polars", "deltalake")


def build_data_assets(model: ModelDefinition) -> list[dg.AssetsDefinition]:
    """Raw, validated and quarantined tables per source, then labels and features."""
    sources = model.sources.values()
    return [
        *(_build_raw(model, source) for source in sources),
        *(_build_validated(model, source) for source in sources),
        _build_labels(model),
        _build_features(model),
    ]


def _build_raw(model: ModelDefinition, source: Source) -> dg.AssetsDefinition:
    key = key_of(model, f"raw_{source.name}")

    @dg.asset(
        key=key,
        partitions_def=source_partitions(model, source),
        backfill_policy=ONE_RUN,
        description=f"{source.description or source.name}, as delivered, from `{source.path}`.",
        metadata={"dagster/column_schema": source_schema(source), "path": source.path},
        check_specs=_stray_checks(key, source),
        **asset_arguments(model, TABLE),
    )
    def raw(
        context: dg.AssetExecutionContext,
        files: dg.ResourceParam[SourceFiles],
        tables: dg.ResourceParam[TableStore],
    ) -> dg.MaterializeResult:
        ingested = stage.ingest_source(model, source, keys_of(context, source), files, tables)
        if ingested.errors:
            raise _partitions_failed(context, key, ingested)
        assert ingested.version is not None
        elsewhere = {"rows_of_other_partitions": ingested.rows_elsewhere}
        return dg.MaterializeResult(
            metadata=table_metadata(context, key, ingested.version) | elsewhere,
            data_version=data_version(ingested.version),
            check_results=[_warning(ingested.strays, key)] if ingested.strays else [],
        )

    return raw


def _stray_checks(key: dg.AssetKey, source: Source) -> list[dg.AssetCheckSpec]:
    said = "No file holds rows of another partition; warns."
    own = "{partition}" in source.path
    return [dg.AssetCheckSpec(stage.STRAYS, asset=key, description=said)] if own else []


def _warning(verdict: Verdict, key: dg.AssetKey) -> dg.AssetCheckResult:
    return check_result(verdict, key)._replace(severity=dg.AssetCheckSeverity.WARN)


def _partitions_failed(
    context: dg.AssetExecutionContext, key: dg.AssetKey, ingested: stage.Ingested
) -> dg.Failure:
    """The failure of a step in which some partitions are bad; the good ones are recorded."""
    good = ingested.version.rows if ingested.version else {}
    for partition, rows in good.items():
        context.log_event(
            dg.AssetMaterialization(key, partition=partition, metadata={"dagster/row_count": rows})
        )
    said = [f"{partition}: {error}" for partition, error in ingested.errors.items()]
    shown = "\n".join(list(dict.fromkeys(map(str, ingested.errors.values())))[:5])
    return dg.Failure(
        description=f"{len(said)} partition(s) of {key.to_user_string()} not written, "
        f"{len(good)} written.\n{shown}",
        metadata={"failed_partitions": dg.MetadataValue.json(said)},
        allow_retries=False,
    )


def _build_validated(model: ModelDefinition, source: Source) -> dg.AssetsDefinition:
    raw, good, aside = (
        key_of(model, f"{p}_{source.name}") for p in ("raw", "validated", "quarantined")
    )
    schema = source_schema(source)

    @dg.multi_asset(
        name=f"{model.name}__validate_{source.name}",
        specs=[
            dg.AssetSpec(
                good,
                deps=[raw],
                description=f"Rows of {source.name} that keep every rule of their schema.",
                metadata={
                    "dagster/column_schema": schema,
                    "dagster/column_lineage": source_lineage(source, raw),
                },
                **asset_arguments(model, ("polars", "deltalake", "pandera")),
            ),
            dg.AssetSpec(
                aside,
                deps=[raw],
                description=f"Rows of {source.name} that break a rule, with the rules they break.",
                **asset_arguments(model, ("polars", "deltalake", "pandera")),
            ),
        ],
        check_specs=[
            blocking_check(
                good, "rows_are_accounted_for", "Each raw row is validated or set aside."
            ),
            blocking_check(good, "quarantine_is_small", "Few enough rows were set aside."),
            *_volume_check(good, source),
        ],
        partitions_def=source_partitions(model, source),
        backfill_policy=ONE_RUN,
    )
    def validated(
        context: dg.AssetExecutionContext, tables: dg.ResourceParam[TableStore]
    ) -> Iterator[dg.MaterializeResult | dg.AssetCheckResult]:
        done = stage.validate_source(model, source, keys_of(context, source), tables)
        accounts = _accounts(done)
        reasons = {
            "reasons": markdown_table([{"rule": r, "rows": n} for r, n in done.reasons.items()])
        }
        for key, version, more in ((good, done.validated, {}), (aside, done.quarantined, reasons)):
            metadata = table_metadata(context, key, version, accounts) | more
            yield dg.MaterializeResult(key, metadata=metadata, data_version=data_version(version))
        yield check_result(done.accounting, good)
        yield check_result(done.quarantine, good)
        yield from [_warning(verdict, good) for verdict in done.volume]

    return validated


def _volume_check(good: dg.AssetKey, source: Source) -> list[dg.AssetCheckSpec]:
    """None for a source without partitions: there are none before to compare with."""
    said = "Not many fewer rows than in the partitions before; warns."
    spec = dg.AssetCheckSpec("rows_are_as_many_as_usual", asset=good, description=said)
    return [spec] if source.partitioned_by else []


def _accounts(done: stage.Validated) -> dict[str, dict[str, int]]:
    """Per partition: how many rows were validated, set aside, and there at first."""
    return {
        key: {
            "validated": rows,
            "quarantined": done.quarantined.rows[key],
            "raw": rows + done.quarantined.rows[key],
        }
        for key, rows in done.validated.rows.items()
    }


def _build_labels(model: ModelDefinition) -> dg.AssetsDefinition:
    key = key_of(model, "labels")

    @dg.asset(
        key=key,
        deps=[key_of(model, f"validated_{model.spec.entities.source}")],
        partitions_def=build_partitions(model.calendar),
        backfill_policy=ONE_RUN,
        code_version=model.code_digest[:12],
        description=f"Each `{model.spec.entities.key}` with its label `{model.spec.label}` "
        "(null where there is none) and the moment it became known.",
        **asset_arguments(model, TABLE),
    )
    def labels(
        context: dg.AssetExecutionContext, tables: dg.ResourceParam[TableStore]
    ) -> dg.MaterializeResult:
        version = stage.build_labels(model, keys_of(context), tables)
        return dg.MaterializeResult(
            metadata=table_metadata(context, key, version), data_version=data_version(version)
        )

    return labels


def _build_features(model: ModelDefinition) -> dg.AssetsDefinition:
    key, lookback = key_of(model, "features"), model.spec.entities.lookback
    # Partition to partition, although features look back: with a mapping that says so Dagster
    # widens a selected range by the look-back and splits it into several runs (docs/adr/0003).
    sources = [f"validated_{source.name}" for source in model.feature_sources]
    deps = [key_of(model, name) for name in ("labels", *sources)]
    columns = [dg.TableColumn(feature.name, feature.kind) for feature in model.features]

    @dg.asset(
        key=key,
        deps=deps,
        partitions_def=build_partitions(model.calendar),
        backfill_policy=ONE_RUN,
        code_version=model.code_digest[:12],
        description=f"What was known of each `{model.spec.entities.key}` "
        f"{model.spec.entities.lead} minutes before `{model.spec.entities.time}`; looks back "
        f"{lookback} partitions.",
        metadata={"dagster/column_schema": dg.TableSchema(columns)},
        check_specs=[
            blocking_check(
                key,
                "features_know_only_the_past",
                "Built again without what came later, no feature changes.",
            ),
            blocking_check(
                key,
                "lookback_is_long_enough",
                "Built again with one more partition of history, no feature changes.",
            ),
        ],
        **asset_arguments(model, TABLE),
    )
    def features(
        context: dg.AssetExecutionContext, tables: dg.ResourceParam[TableStore]
    ) -> dg.MaterializeResult:
        built = stage.build_features(model, keys_of(context), tables)
        version = built.version
        missing = [{"feature": name, "missing": share} for name, share in built.missing.items()]
        return dg.MaterializeResult(
            metadata=table_metadata(context, key, version) | {"missing": markdown_table(missing)},
            data_version=data_version(version),
            check_results=[check_result(built.leaks, key), check_result(built.lookback, key)],
        )

    return features
