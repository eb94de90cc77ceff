"""Raw files: what is wrong is named by file, column and line; what is right comes out whole."""

from __future__ import annotations

import gzip
import io
import zipfile
from collections import Counter
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlops_assets.lifecycle.calendar import Calendar
from mlops_assets.lifecycle.errors import SourceError
from mlops_assets.lifecycle.parsing import ParsedSource, decompress, parse_source
from mlops_assets.lifecycle.sources import LINE, UNPARTITIONED, Column, Source, SourceFile

CALENDAR = Calendar(date(2013, 1, 7), date(2013, 2, 4))
WEEK1, WEEK2, WEEK3, WEEK4 = CALENDAR.keys
SOURCE = Source(
    name="readings",
    path="readings.csv",
    key=("id",),
    columns={
        "id": Column("int"),
        "day": Column("date"),
        "count": Column("int", nullable=True),
        "share": Column("float", nullable=True),
        "open": Column("bool", nullable=True),
        "seen": Column("datetime", nullable=True),
        "name": Column("str", nullable=True),
    },
    partitioned_by=("day",),
)
PARTS = Source(
    "p", "p", ("id",), {name: Column("int") for name in ("id", "y", "m", "d")}, ("y", "m", "d")
)
NOTED = Source("p", "p", ("id",), {"id": Column("int"), "day": Column("date")}, ("day",))
HEADER = "id,day,count,share,open,seen,name\n"
GOOD = (
    HEADER
    + "1,2013-01-07,3,0.5,true,2013-01-07T05:30:00Z,a\n"
    + "2,2013-01-13,NA,-1e3,0,2013-01-13 23:00:00,é\n"
    + "3,2013-01-14,-4,,False,,NA\n"
    + "4,2013-03-01,5,1,1,2013-03-01T00:00:00.250Z,\n"
)


CELLS = dict(zip(SOURCE.columns, ["9", "2013-01-08", "1", "1", "1", "", "a"], strict=True))


def parse(
    data: bytes | str,
    source: Source = SOURCE,
    *,
    name: str = "readings.csv",
    keys: tuple[str, ...] = CALENDAR.keys,
) -> ParsedSource:
    raw = data.encode() if isinstance(data, str) else data
    return parse_source(SourceFile(name, raw), source, CALENDAR, keys)


def zipped(data: bytes, *names: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in names or ("readings.csv",):
            archive.writestr(name, data)
    return buffer.getvalue()


def parquet(table: pl.DataFrame) -> bytes:
    buffer = io.BytesIO()
    table.write_parquet(buffer)
    return buffer.getvalue()


def as_text(data: str) -> pl.DataFrame:
    return pl.read_csv(data.encode(), infer_schema=False, null_values=["NA", ""])


FORMATS: dict[str, Callable[[str], bytes]] = {
    "readings.csv": str.encode,
    "readings.csv.gz": lambda text: gzip.compress(text.encode()),
    "readings.csv.zip": lambda text: zipped(text.encode()),
    "readings.parquet": lambda text: parquet(as_text(text)),
}


# --- what is right ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FORMATS)
def test_each_format_gives_the_same_typed_rows_by_partition(name):
    parsed = parse(FORMATS[name](GOOD), name=name)
    assert not parsed.errors
    assert parsed.rows_elsewhere == 1
    assert parsed.partitions[WEEK1].rows() == [
        (2, 1, date(2013, 1, 7), 3, 0.5, True, datetime(2013, 1, 7, 5, 30, tzinfo=UTC), "a"),
        (3, 2, date(2013, 1, 13), None, -1000.0, False, datetime(2013, 1, 13, 23, tzinfo=UTC), "é"),
    ]
    assert parsed.partitions[WEEK2].rows() == [
        (4, 3, date(2013, 1, 14), -4, None, False, None, None)
    ]
    assert parsed.partitions[WEEK3].is_empty()


def test_every_partition_has_the_declared_types_even_without_rows():
    parsed = parse(HEADER)
    assert set(parsed.partitions) == set(CALENDAR.keys)
    schema = parsed.partitions[WEEK1].schema
    assert schema[LINE].is_integer()
    assert {name: schema[name] for name in SOURCE.columns} == {
        "id": pl.Int64,
        "day": pl.Date,
        "count": pl.Int64,
        "share": pl.Float64,
        "open": pl.Boolean,
        "seen": pl.Datetime("us", "UTC"),
        "name": pl.String,
    }
    assert parse(GOOD).partitions[WEEK1].schema == schema


def test_typed_parquet_columns_keep_their_values():
    table = pl.DataFrame(
        {
            "id": [1],
            "day": [date(2013, 1, 8)],
            "count": [2**60 + 1],
            "share": [0.1 + 0.2],
            "open": [True],
            "seen": [datetime(2013, 1, 8, 5, 0, 0, 123456)],
            "name": ["x"],
        }
    )
    (row,) = parse(parquet(table), name="r.parquet").partitions[WEEK1].iter_rows(named=True)
    assert (row["count"], row["share"], row["open"]) == (2**60 + 1, 0.1 + 0.2, True)
    assert row["seen"] == datetime(2013, 1, 8, 5, 0, 0, 123456, tzinfo=UTC)


def test_parquet_moments_that_know_their_zone_are_read():
    seen = datetime(2013, 1, 8, 5, tzinfo=UTC)
    table = as_text(GOOD).head(1).with_columns(pl.lit(seen).alias("seen"))
    for zone in ("UTC", "America/New_York"):
        there = table.with_columns(pl.col("seen").dt.convert_time_zone(zone))
        parsed = parse(parquet(there), name="r.parquet")
        assert parsed.partitions[WEEK1]["seen"].to_list() == [seen]


def test_parquet_dates_and_moments_are_read_whatever_format_is_declared():
    columns = {
        "day": Column("date", format="%d.%m.%Y"),
        "t": Column("datetime", format="%d/%m %Y %H:%M"),
    }
    source = Source("p", "p", ("day",), columns, ("day",))
    seen = datetime(2013, 1, 8, 5, 30, tzinfo=UTC)
    table = pl.DataFrame({"day": [date(2013, 1, 8)], "t": [seen]})
    parsed = parse(parquet(table), source, name="p.parquet")
    assert parsed.partitions[WEEK1].select("day", "t").rows() == [(date(2013, 1, 8), seen)]


def test_columns_nobody_declared_are_ignored_and_order_does_not_matter():
    shuffled = as_text(GOOD).select(pl.lit("x").alias("extra"), *reversed(SOURCE.columns))
    parsed = parse(shuffled.write_csv(null_value="NA"))
    assert parsed.partitions[WEEK1].equals(parse(GOOD).partitions[WEEK1])


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_blank_lines_are_no_rows_and_shift_no_line_numbers(end):
    lines = [
        "",
        HEADER.strip(),
        "1,2013-01-08,,,,,",
        "",
        "",
        "x,2013-01-15,,,,,",
        "2,2013-01-09,,,,,",
    ]
    parsed = parse(end.join([*lines, "", ""]))
    assert parsed.partitions[WEEK1][LINE].to_list() == [3, 7]
    assert "line 6 ('x')" in str(parsed.errors[WEEK2])
    assert parsed.rows_elsewhere == 0


def test_a_line_of_empty_cells_is_no_blank_line():
    message = whole_file_message(parse(GOOD + ",,,,,,\n\n"))
    assert "holds no date in line 6 (None)" in message


def test_line_breaks_within_quotes_shift_no_line_numbers():
    lines = '1,2013-01-08,,,,,"two\n\nlines"\n\nx,2013-01-15,,,,,"and\r\nmore"\n2,2013-01-09,,,,,\n'
    parsed = parse(HEADER + lines)
    assert parsed.partitions[WEEK1].select(LINE, "name").rows() == [(2, "two\n\nlines"), (8, None)]
    assert "line 6 ('x')" in str(parsed.errors[WEEK2])
    assert parse('"id",day,"a\nnote"\n1,2013-01-08,x\n', NOTED).partitions[WEEK1][LINE][0] == 3


def test_a_byte_order_mark_is_no_part_of_the_first_column_name():
    parsed = parse("\ufeff" + GOOD)
    assert not parsed.errors


def test_a_source_without_partitions_has_one_that_holds_all_rows():
    whole = Source("names", "names.csv", ("id",), {"id": Column("int"), "name": Column("str")})
    parsed = parse("id,name\n1,a\n2,b\n", whole, keys=(UNPARTITIONED,))
    assert parsed.partitions[UNPARTITIONED]["name"].to_list() == ["a", "b"]
    assert parsed.rows_elsewhere == 0


def test_partitions_may_follow_year_month_and_day_or_a_moment_where_the_calendar_lives():
    assert parse("id,y,m,d\n1,2013,1,20\n", PARTS).partitions[WEEK2].height == 1
    moment = Source("p", "p", ("id",), {"id": Column("int"), "t": Column("datetime")}, ("t",))
    there = Calendar(CALENDAR.start, CALENDAR.end, timezone="America/New_York")
    file = SourceFile("p.csv", b"id,t\n1,2013-01-14T04:59:59Z\n2,2013-01-14T05:00:00Z\n")
    split = parse_source(file, moment, there, there.keys).partitions
    assert split[WEEK1]["id"].to_list() == [1]
    assert split[WEEK2]["id"].to_list() == [2]


# --- what is wrong ------------------------------------------------------------------------------


def whole_file_message(parsed: ParsedSource) -> str:
    """The one message all partitions failed with."""
    assert not parsed.partitions
    assert set(parsed.errors) == set(CALENDAR.keys)
    (message,) = {str(error) for error in parsed.errors.values()}
    return message


@pytest.mark.parametrize("name", FORMATS)
def test_a_missing_column_fails_every_partition_and_names_what_was_meant(name):
    renamed = GOOD.replace("share", "shares", 1)
    message = whole_file_message(parse(FORMATS[name](renamed), name=name))
    assert message.startswith(f"{name}: column 'share' is missing, the file has id, day")
    assert message.endswith("; did you mean 'shares'?")


@pytest.mark.parametrize("name", ["share", "id"])
def test_a_column_that_stands_twice_in_the_heading_fails_every_partition(name):
    twice = "".join(f"{line},9\n" for line in GOOD.splitlines()).replace("name,9", f"name,{name}")
    assert whole_file_message(parse(twice)) == (
        f"readings.csv: column '{name}' stands more than once in the heading, so it cannot be told "
        "which is meant"
    )


def test_a_column_that_nobody_declared_may_stand_twice():
    twice = "".join(f"{line},9,9\n" for line in GOOD.splitlines()).replace("name,9,9", "name,x,x")
    assert not parse(twice).errors


@pytest.mark.parametrize("cell", ["NaN", "nan", "-nan", "NAN"])
def test_a_float_that_is_not_a_number_is_missing(cell):
    assert parse(GOOD.replace("0.5", cell)).partitions[WEEK1]["share"].to_list() == [None, -1e3]
    table = parse(GOOD).partitions[WEEK1].select(*SOURCE.columns)
    written = parquet(table.with_columns(share=pl.Series([float("nan"), 1.0])))
    assert parse(written, name="r.parquet").partitions[WEEK1]["share"].to_list() == [None, 1.0]


@pytest.mark.parametrize("column", ["count", "name"])
def test_not_a_number_is_no_integer_and_may_be_a_text(column):
    parsed = parse(HEADER + ",".join({**CELLS, column: "nan"}.values()))
    assert (WEEK1 in parsed.errors) == (column == "count")


def test_several_missing_columns_are_counted():
    message = whole_file_message(parse("id,day\n1,2013-01-07\n"))
    assert "column 'count' is missing (and 4 more)" in message


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "empty CSV"),
        (GOOD.encode("latin-1"), "utf-8"),
        (GOOD.encode() + b"5,2013-01-08,1,1,1,,a,one too many\n", "more fields"),
    ],
    ids=["empty", "not UTF-8", "long line"],
)
def test_a_file_that_is_no_table_fails_every_partition_and_says_why(data, said):
    message = whole_file_message(parse(data))
    assert message.startswith("readings.csv: the file cannot be read as a table:")
    assert said in message


@pytest.mark.parametrize("name", ["readings.csv.gz", "readings.csv.zip"])
@settings(max_examples=25)
@given(share=st.floats(0, 1))
def test_a_truncated_archive_fails_every_partition_wherever_it_was_cut(name, share):
    data = FORMATS[name](GOOD)
    cut = data[: 1 + int(share * (len(data) - 2))]
    message = whole_file_message(parse(cut, name=name))
    assert message.startswith(f"{name}: the archive is truncated or damaged")
    assert message.endswith("deliver it again")


@settings(max_examples=25)
@given(share=st.floats(0, 1, exclude_max=True))
def test_a_truncated_parquet_file_fails_every_partition_wherever_it_was_cut(share):
    data = FORMATS["readings.parquet"](GOOD)
    message = whole_file_message(parse(data[: int(share * len(data))], name="r.parquet"))
    assert message.startswith("r.parquet: the file cannot be read as a table")


@pytest.mark.parametrize("name", ["readings.csv.gz", "readings.csv.zip"])
def test_a_damaged_byte_is_reported_or_did_not_matter_wherever_it_is(name):
    sound = FORMATS[name](GOOD)
    for place in range(len(sound)):
        broken = sound[:place] + bytes([sound[place] ^ 0x04]) + sound[place + 1 :]
        try:
            content = decompress(SourceFile(name, broken)).decode()
        except SourceError as error:
            content = str(error).split(" (")[0]
        assert content in (GOOD, f"{name}: the archive is truncated or damaged"), place


@pytest.mark.parametrize(("offset", "value"), [(8, 1), (10, 99)], ids=["encrypted", "method 99"])
def test_a_zip_that_cannot_be_opened_fails_its_partitions(offset, value):
    data = bytearray(FORMATS["readings.csv.zip"](GOOD))
    directory = data.find(b"PK\x01\x02")
    data[directory + offset] = data[offset - 2] = value
    whole_file_message(parse(bytes(data), name="readings.csv.zip"))


def test_a_zip_with_several_members_is_refused_with_their_names():
    message = whole_file_message(parse(zipped(b"x", "a.csv", "b.csv"), name="r.zip"))
    assert message == "r.zip: expected one file inside, found ['a.csv', 'b.csv']"


@pytest.mark.parametrize("day", ["NA", "", "2013-02-30", "07.01.2013", "yesterday"])
def test_a_row_without_a_date_fails_the_whole_file_because_it_would_be_lost(day):
    message = whole_file_message(parse(GOOD + f"9,{day},1,1,1,,a\n"))
    assert message.startswith("readings.csv: column day holds no date in line 6 (")
    assert message.endswith("so 1 row(s) belong to no partition")


@pytest.mark.parametrize(("month", "day"), [(2, 30), (13, 1), (0, 1), (1, 0)])
def test_a_date_that_does_not_exist_in_parts_fails_the_whole_file_with_its_line(month, day):
    message = whole_file_message(parse(f"id,y,m,d\n1,2013,1,20\n2,2013,{month},{day}\n", PARTS))
    assert "line 3" in message


@pytest.mark.parametrize(
    ("column", "cell", "kind"),
    [
        ("id", "1.5", "int"),
        ("count", "many", "int"),
        ("count", "99999999999999999999", "int"),
        ("share", "0;5", "float"),
        ("open", "perhaps", "bool"),
        ("seen", "noon", "datetime"),
        ("seen", "2013-01-07", "datetime"),
    ],
)
def test_a_wrong_type_fails_its_partition_alone_and_names_file_column_and_line(column, cell, kind):
    cells = dict(zip(SOURCE.columns, ["9", "2013-01-16", "1", "1", "1", "", "a"], strict=True))
    line = ",".join({**cells, column: cell}.values())
    parsed = parse(GOOD + line + "\n")
    assert set(parsed.errors) == {WEEK2}
    assert str(parsed.errors[WEEK2]) == (
        f"readings.csv: column '{column}' must be {kind}, 1 row(s) are not: line 6 ('{cell}')"
    )
    assert parsed.partitions[WEEK1].height == 2


def test_many_wrong_cells_are_counted_and_the_first_five_shown():
    lines = "".join(f"{n},2013-01-0{n % 2 + 8},x{n},1,1,,a\n" for n in range(10, 18))
    message = str(parse(HEADER + lines).errors[WEEK1])
    assert "8 row(s) are not: line 2 ('x10'), line 3 ('x11')" in message
    assert message.endswith("line 6 ('x14') and 3 more")


def test_a_key_that_stands_twice_fails_every_partition_it_stands_in():
    lines = "7,2013-01-08,1,1,1,,a\n8,2013-01-15,1,1,1,,a\n7,2013-01-22,1,1,1,,a\n"
    parsed = parse(HEADER + lines)
    assert set(parsed.errors) == {WEEK1, WEEK3}
    assert str(parsed.errors[WEEK3]) == (
        "readings.csv: key (id) must be unique, 2 row(s) share one: line 2 (7), line 4 (7)"
    )
    assert parsed.partitions[WEEK2].height == 1


def test_a_key_of_several_columns_is_unique_when_any_of_them_differs():
    source = Source("p", "p", ("id", "day"), SOURCE.columns, ("day",))
    lines = "7,2013-01-08,1,1,1,,a\n7,2013-01-09,1,1,1,,a\n"
    assert not parse(HEADER + lines, source).errors
    assert set(parse(HEADER + lines + lines, source).errors) == {WEEK1}


def test_broken_key_cells_are_called_wrong_not_duplicates():
    message = str(parse(HEADER + "x,2013-01-08,,,,,\ny,2013-01-09,,,,,\n").errors[WEEK1])
    assert "column 'id' must be int, 2 row(s) are not" in message


def test_a_broken_key_cell_does_not_fail_the_partition_of_a_missing_one():
    parsed = parse(HEADER + "x,2013-01-08,,,,,\nNA,2013-01-15,,,,,\n")
    assert set(parsed.errors) == {WEEK1}


@pytest.mark.parametrize("name", ["partition", LINE, "quarantine_reason", "__row"])
def test_a_column_named_like_one_of_ours_is_refused_with_its_source(name):
    with pytest.raises(ValueError, match=f"source 'p': a column cannot be named '{name}'"):
        Source("p", "p", ("id",), {"id": Column("int"), name: Column("str")})


def test_a_column_of_the_file_that_nobody_declared_may_be_named_like_one_of_ours():
    source = Source("p", "p", ("id",), {"id": Column("int")})
    parsed = parse(f"id,{LINE},partition\n1,abc,x\n", source, keys=(UNPARTITIONED,))
    assert parsed.partitions[UNPARTITIONED].rows() == [(2, 1)]


# --- rules over any file ------------------------------------------------------------------------

BROKEN = {"count": "many", "share": "half", "open": "ajar", "seen": "noon"}


@st.composite
def files(draw: st.DrawFn, *, last_id: int = 10_000) -> list[dict[str, Any]]:
    """Rows over seven weeks, three of which no calendar holds; some cells are broken."""
    ids = st.integers(0, last_id)
    row = st.fixed_dictionaries(
        {
            "id": ids,
            "day": st.dates(date(2012, 12, 31), date(2013, 2, 17)),
            "broken": st.sets(st.sampled_from(sorted(BROKEN)), max_size=2)
            if draw(st.booleans())
            else st.just(set()),
        }
    )
    unique = {"unique_by": lambda made: made["id"]} if last_id > 100 else {}
    return draw(st.lists(row, max_size=25, **unique))


def written(rows: list[dict[str, Any]]) -> str:
    good = {"count": "1", "share": "0.5", "open": "true", "seen": "", "name": "x"}
    lines = []
    for row in rows:
        cells = {**good, **{column: BROKEN[column] for column in row["broken"]}}
        lines.append(f"{row['id']},{row['day']}," + ",".join(cells.values()))
    return HEADER + "\n".join(lines)


def week(day: date) -> str:
    return (day - timedelta(days=day.weekday())).isoformat()


@settings(max_examples=50)
@given(rows=files())
def test_partitions_without_a_broken_cell_have_exactly_their_rows(rows):
    parsed = parse(written(rows))
    touched = {week(row["day"]) for row in rows if row["broken"]} & set(CALENDAR.keys)
    assert set(parsed.errors) == touched
    assert set(parsed.partitions) == set(CALENDAR.keys) - touched
    for key, table in parsed.partitions.items():
        expected = [
            (line, row["id"], row["day"])
            for line, row in enumerate(rows, start=2)
            if week(row["day"]) == key
        ]
        assert table.select(LINE, "id", "day").rows() == expected


@settings(max_examples=50)
@given(rows=files())
def test_a_broken_partition_names_the_line_of_its_first_broken_cell(rows):
    parsed = parse(written(rows))
    for key, error in parsed.errors.items():
        column = next(name for name in SOURCE.columns if f"column '{name}'" in str(error))
        lines = [
            line
            for line, row in enumerate(rows, start=2)
            if column in row["broken"] and week(row["day"]) == key
        ]
        assert f"{len(lines)} row(s) are not: line {lines[0]} ('{BROKEN[column]}')" in str(error)


@settings(max_examples=50)
@given(rows=files(last_id=12))
def test_a_partition_fails_exactly_when_it_holds_a_broken_cell_or_a_shared_key(rows):
    times = Counter(row["id"] for row in rows)
    faulty = {week(row["day"]) for row in rows if row["broken"] or times[row["id"]] > 1}
    assert set(parse(written(rows)).errors) == faulty & set(CALENDAR.keys)


@settings(max_examples=50)
@given(rows=files(last_id=30), keys=st.sets(st.sampled_from(CALENDAR.keys), min_size=1))
def test_no_row_is_lost(rows, keys):
    parsed = parse(written(rows), keys=tuple(sorted(keys)))
    assert set(parsed.partitions) | set(parsed.errors) == keys
    failed = sum(week(row["day"]) in parsed.errors for row in rows)
    good = sum(table.height for table in parsed.partitions.values())
    assert good + failed + parsed.rows_elsewhere == len(rows)


@settings(max_examples=25)
@given(rows=files())
def test_asking_for_one_partition_gives_what_asking_for_all_gives(rows):
    parsed = parse(written(rows))
    for key in CALENDAR.keys:
        alone = parse(written(rows), keys=(key,))
        assert {k: str(e) for k, e in alone.errors.items()} == {
            k: str(e) for k, e in parsed.errors.items() if k == key
        }
        assert all(alone.partitions[k].equals(parsed.partitions[k]) for k in alone.partitions)


# --- columns ------------------------------------------------------------------------------------


def test_bounds_that_exclude_everything_are_refused():
    with pytest.raises(ValueError, match="ge must not be above le, got ge=2 and le=1"):
        Column("int", ge=2, le=1)
    assert Column("int", ge=1, le=1).ge == 1


@pytest.mark.parametrize("kind", ["str", "bool", "date", "datetime"])
@pytest.mark.parametrize("bound", [{"ge": 0}, {"le": 0}, {"ge": 0, "le": 1}])
def test_bounds_on_a_column_without_order_are_refused(kind, bound):
    with pytest.raises(ValueError, match=f"ge and le are for int and float.*this one is {kind}"):
        Column(kind, **bound)


@pytest.mark.parametrize("kind", ["int", "float", "bool", "date", "datetime"])
def test_a_choice_of_texts_for_a_column_of_another_type_is_refused(kind):
    with pytest.raises(ValueError, match=f"isin is for str columns, this one is {kind}"):
        Column(kind, isin=("a",))
