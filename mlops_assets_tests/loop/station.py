"""A weather station that delivers a file each month, ingested as the schedule asks."""

from __future__ import annotations

import gzip
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import dagster as dg
import polars as pl
from vega_datasets import data as vega

from mlops_assets.components.jobs import build_jobs
from mlops_assets.components.schedules import build_schedules
from mlops_assets_tests.examples.reading import written
from mlops_assets_tests.loop.conftest import EXAMPLE, RAIN, MakeWorld, World

MONTHS = [f"2012-{month:02d}-01" for month in range(1, 13)]
LAST = MONTHS[7]
"""August: the month that has just ended when the story of most tests begins."""
TABLES = ("raw_days", "validated_days", "quarantined_days", "labels", "features")
Lines = list[str]


def lines_of(month: str) -> Lines:
    """A month's lines of the published file, below its heading."""
    heading, *lines = Path(vega.seattle_weather.filepath).read_text().splitlines()
    return [heading, *(line for line in lines if line.startswith(month[:7].replace("-", "/")))]


def after(month: str) -> datetime:
    """Six in the morning on the first day after a month."""
    year, number = int(month[:4]), int(month[5:7])
    first = (year + 1, 1) if number == 12 else (year, number + 1)
    return datetime(*first, 1, 6, tzinfo=ZoneInfo("America/Los_Angeles"))


class Station:
    """A model whose months are delivered as one file each, and ingested as its schedule asks.

    With ``begun`` another station, it begins with a copy of all that one was delivered and made.
    """

    def __init__(self, make_world: MakeWorld, folder: Path, begun: Station | None = None) -> None:
        self.folder = folder
        if begun:
            shutil.copytree(begun.folder / "days", folder / "days")
        else:
            (folder / "days").mkdir()
        (folder / "model.py").write_text((EXAMPLE / "model.py").read_text())
        days = {**written(RAIN)["sources"]["days"], "path": "days/{partition}.csv.gz"}
        made: World = make_world(
            {"sources": {"days": days}}, folder=folder, rows_of=begun and begun.world
        )
        # A schedule finds its instance by reference, which one in memory has not.
        home = made.state / "dagster"
        if begun:
            shutil.copytree(begun.world.state / "dagster", home)
        else:
            home.mkdir()
        self.world = replace(made, instance=dg.DagsterInstance.local_temp(str(home)))

    def deliver(self, month: str, change: Callable[[Lines], Lines] = lambda lines: lines) -> None:
        text = "\n".join(change(lines_of(month)))
        (self.folder / "days" / f"{month}.csv.gz").write_bytes(gzip.compress(text.encode()))

    def ask(self, month: str) -> Sequence[dg.RunRequest]:
        """What the schedule asks for once a month has ended."""
        schedule, *_ = build_schedules(self.world.model, build_jobs(self.world.model))
        resources = {name: self.world.resources[name] for name in ("files", "tables")}
        # Not closed, its instance would be the current one for whatever loads definitions next.
        with dg.build_schedule_context(
            self.world.instance, resources=resources, scheduled_execution_time=after(month)
        ) as context:
            answer = schedule(context)
        return [] if isinstance(answer, dg.SkipReason) else answer

    def run(self, month: str) -> list[dg.ExecuteInProcessResult]:
        """Do what the schedule asks for, one run after the other."""
        return [self.world.job("ingest", None, **request.tags) for request in self.ask(month)]

    def begin(self, last: str = LAST) -> None:
        """All months up to one delivered in time and ingested."""
        months = [month for month in MONTHS if month <= last]
        for month in months:
            self.deliver(month)
        assert [run.success for run in self.run(last)] == [True]

    def tables(self) -> dict[str, pl.DataFrame]:
        return {table: self.world.read(table) for table in TABLES}


def spans(requests: Sequence[dg.RunRequest]) -> list[tuple[str, str]]:
    edges = [f"dagster/asset_partition_range_{edge}" for edge in ("start", "end")]
    return [tuple(request.tags[edge] for edge in edges) for request in requests]


def warnings(run: dg.ExecuteInProcessResult) -> dict[str, str]:
    """What the checks of a run that are not green say."""
    checks = run.get_asset_check_evaluations()
    return {check.check_name: check.description for check in checks if not check.passed}


def assert_as_in_time(station: Station, in_time: Station, *months: str) -> None:
    """Every table holds, row by row, what it holds where all came in time."""
    for table in TABLES:
        mine, theirs = (one.world.read(table, *months) for one in (station, in_time))
        assert mine.equals(theirs), table
