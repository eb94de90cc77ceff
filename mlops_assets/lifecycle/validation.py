"""Rows against their Pandera schema: plausible rows go on, the others go to quarantine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING

from mlops_assets.lifecycle.sources import LINE, Column, Source
from mlops_assets.lifecycle.verdicts import Verdict

if TYPE_CHECKING:
    import pandera.polars as pa
    import polars as pl

REASON = "quarantine_reason"
_ROW = "__row"


USUAL = 8
"""How many partitions before one say how many rows are usual."""

_LEAST = 4
"""With fewer partitions than this before it nothing is usual yet."""


@dataclass(frozen=True)
class ValidationPolicy:
    """``max_quarantined``: the share of a partition's rows that may be set aside.
    ``usual_rows``: fewer rows than this share of the median of the last 8 partitions is a warning
    that some have not arrived; 0 never warns. Half of a busy partition is less than 0.6 of a
    usual one, and the quietest day of a year of flights had 0.65 of it.
    """

    max_quarantined: float = 0.01
    usual_rows: float = 0.6

    def __post_init__(self) -> None:
        for name in ("max_quarantined", "usual_rows"):
            value = getattr(self, name)
            if not 0 <= value <= 1:
                raise ValueError(f"{name} must lie in [0, 1], got {value}")


@dataclass(frozen=True)
class ValidatedRows:
    """The two halves of a raw table. ``quarantined`` has a column saying which rules broke."""

    validated: pl.DataFrame
    quarantined: pl.DataFrame


def build_schema(source: Source) -> pa.DataFrameSchema:
    """The Pandera schema of a source: types, null rules, bounds, and its rules over rows."""
    import pandera.polars as pa
    import polars as pl

    types = {
        "int": pl.Int64(),
        "float": pl.Float64(),
        "str": pl.String(),
        "bool": pl.Boolean(),
        "date": pl.Date(),
        "datetime": pl.Datetime("us", "UTC"),
    }
    columns = {
        name: pa.Column(
            types[column.type],
            checks=_column_checks(column),
            nullable=column.nullable,
            description=column.description or None,
        )
        for name, column in source.columns.items()
    }
    checks = [_row_check(name, rule) for name, rule in source.rules.items()]
    return pa.DataFrameSchema(columns, checks=checks, name=source.name)


def split_quarantine(raw: pl.DataFrame, source: Source) -> ValidatedRows:
    """Validate all rows at once and set aside those that break a rule; no row is lost."""
    import pandera.errors
    import polars as pl

    rows = raw.with_row_index(_ROW)
    reasons = pl.DataFrame(schema={_ROW: rows.schema[_ROW], REASON: pl.String})
    try:
        build_schema(source).validate(rows, lazy=True)
    except pandera.errors.SchemaErrors as error:
        reasons = _reasons(error, rows)
    marked = rows.join(reasons, on=_ROW, how="left", maintain_order="left").drop(_ROW)
    return ValidatedRows(
        marked.filter(pl.col(REASON).is_null()).drop(REASON, LINE, strict=False),
        marked.filter(pl.col(REASON).is_not_null()),
    )


def judge_quarantine(raw: int, quarantined: int, policy: ValidationPolicy) -> Verdict:
    """Whether so few rows were set aside that the rest can be trusted."""
    share = quarantined / raw if raw else 0.0
    return Verdict(
        "quarantine_is_small",
        "passed" if share <= policy.max_quarantined else "failed",
        f"{quarantined} of {raw} rows quarantined ({share:.2%}, "
        f"at most {policy.max_quarantined:.2%} allowed)",
        {"quarantined": quarantined, "raw": raw, "share": share},
    )


def find_thin(
    rows: Mapping[str, int], keys: Sequence[str], policy: ValidationPolicy
) -> dict[str, float]:
    """Those of ``keys`` with too few rows, and how many would be usual.

    ``rows`` counts them by partition; a partition without rows makes nothing usual.
    """
    known = sorted(key for key, count in rows.items() if count)
    thin = {}
    for key in keys:
        before = [rows[other] for other in known if other < key][-USUAL:]
        if len(before) >= _LEAST and rows.get(key, 0) < policy.usual_rows * median(before):
            thin[key] = median(before)
    return thin


def judge_volume(rows: Mapping[str, int], keys: Sequence[str], policy: ValidationPolicy) -> Verdict:
    """Whether each of ``keys`` has about as many rows as the partitions before it."""
    name = "rows_are_as_many_as_usual"
    thin = find_thin(rows, keys, policy)
    least = f"at least {policy.usual_rows:.0%} of the median of the {USUAL} before"
    if not thin:
        return Verdict(name, "passed", f"{len(keys)} of {len(keys)} partitions have {least}")
    said = "; ".join(
        f"{key} has {rows.get(key, 0)} rows, about {usual:.0f} are usual"
        for key, usual in list(thin.items())[:5]
    )
    more = f"; and {len(thin) - 5} more partitions" if len(thin) > 5 else ""
    return Verdict(name, "failed", f"{said}{more} ({least} expected)", {"partitions": list(thin)})


def judge_accounting(raw: int, validated: int, quarantined: int) -> Verdict:
    """Whether each raw row is either validated or quarantined."""
    return Verdict(
        "rows_are_accounted_for",
        "passed" if raw == validated + quarantined else "failed",
        f"raw {raw} = validated {validated} + quarantined {quarantined}",
        {"raw": raw, "validated": validated, "quarantined": quarantined},
    )


def _column_checks(column: Column) -> list[pa.Check]:
    import pandera.polars as pa

    checks = [pa.Check(_is_finite, name="is_finite")] if column.type == "float" else []
    if column.ge is not None:
        checks.append(pa.Check.ge(column.ge))
    if column.le is not None:
        checks.append(pa.Check.le(column.le))
    if column.isin is not None:
        checks.append(pa.Check.isin(list(column.isin)))
    return checks


def _is_finite(data: pa.PolarsData) -> pl.LazyFrame:
    """No number is infinite: no bound need be stated for that."""
    import polars as pl

    finite = ~pl.col(data.key or "*").is_infinite()
    return data.lazyframe.select(finite.fill_null(value=True))


def _row_check(name: str, rule: str) -> pa.Check:
    """A rule over whole rows; a rule that comes out null for missing values holds."""
    import pandera.polars as pa
    import polars as pl

    def holds(data: pa.PolarsData) -> pl.LazyFrame:
        return data.lazyframe.select(pl.sql_expr(rule).fill_null(True).alias(name))

    return pa.Check(holds, name=name)


def _reasons(error: pandera.errors.SchemaErrors, rows: pl.DataFrame) -> pl.DataFrame:
    """One row per broken row: its index and the rules it broke, in words."""
    import polars as pl

    cases = error.failure_cases
    unplaced = cases.filter(pl.col("index").is_null())
    if unplaced.height:
        raise error  # a fault of the whole table, not of rows: parse_source lets none through
    said = (
        pl.when(pl.col("schema_context") == "Column")
        .then(pl.format("{}: {}", "column", "check"))
        .otherwise(pl.col("check"))
    )
    reasons: pl.DataFrame = (
        cases.with_columns(pl.col("index").cast(rows.schema[_ROW]).alias(_ROW), said=said)
        .group_by(_ROW, maintain_order=True)
        .agg(pl.col("said").unique(maintain_order=True).str.join("; ").alias(REASON))
    )
    return reasons


if TYPE_CHECKING:
    import pandera.errors
