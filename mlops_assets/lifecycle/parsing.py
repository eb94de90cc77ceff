"""Raw files against what their source declares: right columns, right types, no duplicate keys.

What is wrong with a file as such fails the partitions it touches, before any table changes.
Values that are merely implausible are the business of ``validation``.
"""

from __future__ import annotations

import gzip
import io
import lzma
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlops_assets.lifecycle.errors import SourceError, did_you_mean
from mlops_assets.lifecycle.repeated_keys import find_repeated_keys, name_lines
from mlops_assets.lifecycle.sources import LINE, UNPARTITIONED, Column, Source, SourceFile

if TYPE_CHECKING:
    import polars as pl

    from mlops_assets.lifecycle.calendar import Calendar

_ARCHIVE_FAULTS = (
    OSError,
    EOFError,
    zlib.error,
    lzma.LZMAError,
    zipfile.BadZipFile,
    RuntimeError,  # encrypted, or (NotImplementedError) packed by a method zipfile does not know
    ValueError,  # a directory that contradicts itself
)


@dataclass(frozen=True)
class ParsedSource:
    """Good partitions with their rows, and what is wrong with the others."""

    partitions: Mapping[str, pl.DataFrame]
    errors: Mapping[str, SourceError]
    rows_elsewhere: int = 0


def parse_source(
    file: SourceFile, source: Source, calendar: Calendar, keys: Sequence[str]
) -> ParsedSource:
    """Split a raw file into the wanted partitions, each with all its rows, typed.

    A fault that touches some rows fails the partitions of those rows; a fault of the whole file
    (unreadable, a column missing, a row without a date) fails them all.
    """
    import polars as pl

    try:
        text = _read_columns(file, source)
        typed = _cast(text, source)
        typed = typed.with_columns(partition=_partition(source, calendar))
        _require_dates(file, source, text, typed)
    except SourceError as error:
        return ParsedSource({}, dict.fromkeys(keys, error))
    # A wrong value may be why two keys look the same: of both faults of a partition, it is told.
    faults = find_repeated_keys(file, source, typed) | _type_faults(file, source, text, typed)
    wanted = typed.filter(pl.col("partition").is_in(list(keys)))
    split = {
        str(key): rows.drop("partition")
        for (key,), rows in wanted.partition_by("partition", as_dict=True).items()
    }
    empty = typed.clear().drop("partition")
    return ParsedSource(
        {key: split.get(key, empty) for key in keys if key not in faults},
        {key: faults[key] for key in keys if key in faults},
        rows_elsewhere=typed.height - wanted.height,
    )


def _read_columns(file: SourceFile, source: Source) -> pl.DataFrame:
    """The declared columns as text, with the line each row came from."""
    import polars as pl

    data = decompress(file)
    read = _read_parquet if file.name.endswith(".parquet") else _read_csv
    try:
        lines, table = read(data, source)
    except pl.exceptions.PolarsError as error:
        reason = str(error).splitlines()[0]
        raise SourceError(f"{file.name}: the file cannot be read as a table: {reason}") from error
    missing = [name for name in source.columns if name not in table.columns]
    if missing:
        hint = did_you_mean(missing[0], table.columns)
        raise SourceError(
            f"{file.name}: column '{missing[0]}' is missing"
            f"{f' (and {len(missing) - 1} more)' if len(missing) > 1 else ''}, "
            f"the file has {', '.join(table.columns)}{hint}"
        )
    twice = [name for name in source.columns if f"{name}_duplicated_0" in table.columns]
    if twice:
        raise SourceError(
            f"{file.name}: column '{twice[0]}' stands more than once in the heading, so it cannot "
            "be told which is meant"
        )
    columns = [_without_nan(name, column) for name, column in source.columns.items()]
    rows = table.select(lines.cast(pl.UInt32).alias(LINE), *columns)
    return rows.drop_nulls(LINE)


def _without_nan(name: str, column: Column) -> pl.Expr:
    """The text of a column; of numbers, not a number is how some programs write a missing one."""
    import polars as pl

    value = pl.col(name)
    if column.type != "float":
        return value
    return pl.when(~value.str.contains(r"(?i)^[+-]?nan$")).then(value)


def _read_parquet(data: bytes, source: Source) -> tuple[pl.Series, pl.DataFrame]:
    """Row numbers as if below a header, and the columns with the declared ones as text."""
    import polars as pl

    table = pl.read_parquet(io.BytesIO(data))
    texts = [
        _as_text(name, table.schema[name], column)
        for name, column in source.columns.items()
        if name in table.columns
    ]
    return pl.int_range(2, table.height + 2, eager=True), table.with_columns(texts)


def _as_text(name: str, dtype: pl.DataType, column: Column) -> pl.Expr:
    """A column as the text ``_cast`` reads: dates and moments as declared, moments in UTC."""
    import polars as pl

    value = pl.col(name)
    if isinstance(dtype, pl.Datetime):
        if dtype.time_zone:
            value = value.dt.convert_time_zone("UTC")
        return value.dt.strftime(column.format or "%Y-%m-%d %H:%M:%S%.f")
    if dtype == pl.Date and column.format:
        return value.dt.strftime(column.format)
    return value.cast(pl.String, strict=False)


def _read_csv(data: bytes, source: Source) -> tuple[pl.Series, pl.DataFrame]:
    """The line each row begins on, null for a blank line, and all columns as text.

    A quoted cell may hold line breaks: lines are counted as an editor counts them.
    """
    import polars as pl

    table = pl.read_csv(data, infer_schema=False, null_values=list(source.null_values))
    above = data[: len(data) - len(data.lstrip(b"\r\n"))].count(b"\n")
    first = 2 + above + sum(name.count("\n") for name in table.columns)
    breaks = table.select(
        pl.sum_horizontal(pl.all().str.count_matches("\n", literal=True)).cast(pl.Int64)
    ).to_series()
    lines = breaks.cum_sum() - breaks + pl.int_range(first, first + table.height, eager=True)
    empty = lines.filter(table.select(pl.all_horizontal(pl.all().is_null())).to_series())
    written = data.split(b"\n") if empty.len() else []
    blank = [line for line in empty if not written[line - 1].strip()]
    return lines.set(lines.is_in(blank), None), table


def decompress(file: SourceFile) -> bytes:
    """The content of a .gz or .zip file (its one member), or the bytes as they are."""
    try:
        if file.name.endswith(".gz"):
            return gzip.decompress(file.data)
        if file.name.endswith(".zip"):
            with zipfile.ZipFile(io.BytesIO(file.data)) as archive:
                names = archive.namelist()
                if len(names) != 1:
                    raise SourceError(f"{file.name}: expected one file inside, found {names}")
                return archive.read(names[0])
    except _ARCHIVE_FAULTS as error:
        raise SourceError(
            f"{file.name}: the archive is truncated or damaged ({error}); deliver it again"
        ) from error
    return file.data


def _cast(text: pl.DataFrame, source: Source) -> pl.DataFrame:
    """Each column in its declared type, null where the text does not fit it."""
    import polars as pl

    def parsed(name: str, column: Column) -> pl.Expr:  # noqa: PLR0911 - one return per type
        value = pl.col(name)
        match column.type:
            case "int":
                return value.cast(pl.Int64, strict=False)
            case "float":
                return value.cast(pl.Float64, strict=False)
            case "bool":
                names = {"true": True, "false": False, "1": True, "0": False}
                return value.str.to_lowercase().replace_strict(
                    names, default=None, return_dtype=pl.Boolean
                )
            case "date":
                return value.str.to_date(column.format or "%Y-%m-%d", strict=False)
            case "datetime" if column.format:
                return value.str.to_datetime(
                    column.format, time_unit="us", time_zone="UTC", strict=False
                )
            case "datetime":
                moment = value.str.strip_suffix("Z").str.replace("T", " ", literal=True)
                return moment.str.to_datetime(
                    "%Y-%m-%d %H:%M:%S%.f", time_unit="us", time_zone="UTC", strict=False
                )
            case "str":
                return value

    return text.with_columns(parsed(name, column) for name, column in source.columns.items())


def _partition(source: Source, calendar: Calendar) -> pl.Expr:
    import polars as pl

    if not source.partitioned_by:
        return pl.lit(UNPARTITIONED)
    if len(source.partitioned_by) == 3:
        # Through text: of a day that does not exist pl.date() makes an error, this makes a null.
        parts = [pl.col(name).cast(pl.Int64, strict=False) for name in source.partitioned_by]
        day = pl.format("{}-{}-{}", *parts).str.to_date("%Y-%m-%d", strict=False)
        return calendar.assign(day)
    (name,) = source.partitioned_by
    if source.columns[name].type == "date":
        return calendar.assign(pl.col(name))
    return calendar.assign_moment(pl.col(name))


def _require_dates(
    file: SourceFile, source: Source, text: pl.DataFrame, typed: pl.DataFrame
) -> None:
    """A row that belongs to no partition would be lost in silence: refuse the file."""
    undated = typed["partition"].is_null()
    if undated.any():
        values = text.filter(undated).select(LINE, *source.partitioned_by)
        raise SourceError(
            f"{file.name}: column {', '.join(source.partitioned_by)} holds no date in "
            f"{name_lines(values)}, so {values.height} row(s) belong to no partition"
        )


def _type_faults(
    file: SourceFile, source: Source, text: pl.DataFrame, typed: pl.DataFrame
) -> dict[str, SourceError]:
    """One error per partition that holds values of a wrong type."""
    import polars as pl

    faults: dict[str, SourceError] = {}
    for name, column in source.columns.items():
        wrong = text[name].is_not_null() & typed[name].is_null()
        if not wrong.any():
            continue
        rows = text.select(LINE, name).with_columns(typed["partition"]).filter(wrong)
        for (key,), group in rows.partition_by("partition", as_dict=True).items():
            faults.setdefault(
                str(key),
                SourceError(
                    f"{file.name}: column '{name}' must be {column.type}, "
                    f"{group.height} row(s) are not: {name_lines(group.select(LINE, pl.col(name)))}"
                ),
            )
    return faults
