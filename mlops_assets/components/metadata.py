"""What a person sees on a materialization: tables, numbers, sentences and pictures."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any

import dagster as dg

from mlops_assets.adapters.ports import TableVersion
from mlops_assets.lifecycle.sources import UNPARTITIONED, Source
from mlops_assets.lifecycle.verdicts import Verdict

Metadata = dict[str, Any]


def table_metadata(
    context: dg.AssetExecutionContext,
    key: dg.AssetKey,
    written: TableVersion,
    counts: Mapping[str, Mapping[str, int]] | None = None,
) -> Metadata:
    """What a step wrote; rows, fingerprint and ``counts`` go to each partition of a range."""
    whole: Metadata = {
        "delta_version": written.version,
        "rows_written": sum(written.rows.values()),
        "partitions_written": len(written.rows),
    }
    for partition, rows in written.rows.items():
        own = {
            "dagster/row_count": rows,
            "fingerprint": written.fingerprints[partition],
            **(counts or {}).get(partition, {}),
        }
        if partition == UNPARTITIONED:
            whole |= own
        else:
            context.add_asset_metadata(own, asset_key=key, partition_key=partition)
    return whole


def data_version(written: TableVersion) -> dg.DataVersion:
    """What Dagster compares to tell whether downstream assets are stale."""
    from mlops_assets.lifecycle.digests import digest_value

    return dg.DataVersion(digest_value(dict(written.fingerprints)))


def source_schema(source: Source) -> dg.TableSchema:
    """The columns a source declares, for the asset page, before anything has run."""
    return dg.TableSchema(
        columns=[
            dg.TableColumn(
                name,
                column.type,
                description=column.description or None,
                constraints=dg.TableColumnConstraints(
                    nullable=column.nullable, unique=source.key == (name,)
                ),
            )
            for name, column in source.columns.items()
        ]
    )


def source_lineage(source: Source, raw: dg.AssetKey) -> dg.TableColumnLineage:
    """Each validated column comes from the raw column of the same name."""
    return dg.TableColumnLineage({name: [dg.TableColumnDep(raw, name)] for name in source.columns})


def image(png: bytes) -> dg.MarkdownMetadataValue:
    """A picture shown in place."""
    data = base64.b64encode(png).decode()
    return dg.MetadataValue.md(f"![plot](data:image/png;base64,{data})")


def numbers(values: Mapping[str, float | None]) -> Metadata:
    """Metrics, one entry each, so that Dagster draws them over time."""
    return {name: dg.MetadataValue.float(v) for name, v in values.items() if v is not None}


def markdown_table(rows: Sequence[Mapping[str, Any]]) -> dg.MarkdownMetadataValue:
    """Rows as a Markdown table; the heading has every key, what a row lacks stays empty."""
    if not rows:
        return dg.MetadataValue.md("*none*")
    heading = list(dict.fromkeys(key for row in rows for key in row))
    cells = [[_cell(row.get(key, "")) for key in heading] for row in rows]
    lines = [heading, ["---"] * len(heading), *cells]
    return dg.MetadataValue.md("\n".join("| " + " | ".join(line) + " |" for line in lines))


def check_result(verdict: Verdict, key: dg.AssetKey) -> dg.AssetCheckResult:
    """A verdict as the result of a check: only ``passed`` is green, the rest blocks."""
    return dg.AssetCheckResult(
        passed=verdict.passed,
        check_name=verdict.name,
        asset_key=key,
        severity=dg.AssetCheckSeverity.ERROR,
        description=verdict.reason,
        metadata={"outcome": verdict.outcome, **_plain(verdict.evidence)},
    )


def tracking_link(url: str | None) -> Metadata:
    """The page of a tracking run, where it has one."""
    return {"tracking_run": dg.MetadataValue.url(url)} if url else {}


def pictures(images: Mapping[str, bytes]) -> Metadata:
    """Named pictures, shown in place."""
    return {name: image(png) for name, png in images.items()}


def _plain(evidence: Mapping[str, Any]) -> Metadata:
    simple = (int, float, str)
    return {
        name: value if isinstance(value, simple) else dg.MetadataValue.json(value)
        for name, value in evidence.items()
        if value is not None
    }


def _cell(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value).replace("|", "\\|")
