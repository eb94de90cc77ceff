"""One asks for the partitions that have ended and are not there; one drills."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import dagster as dg
import pytest

from mlops_assets.adapters.in_memory import InMemoryTables
from mlops_assets.components.jobs import build_jobs
from mlops_assets.components.schedules import build_schedules
from mlops_assets.lifecycle.errors import SourceError
from mlops_assets.lifecycle.sources import SourceFile

NEW_YORK = ZoneInfo("America/New_York")


@pytest.fixture
def instance(tmp_path):
    with dg.DagsterInstance.local_temp(str(tmp_path)) as made:
        yield made


def local(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=NEW_YORK)


class Empty:
    """Raw files with a heading and no row; some cannot be read."""

    def __init__(self, model, hiding: str = "nothing") -> None:
        self.model, self.hiding = model, hiding

    def read(self, path, _folder):
        if self.hiding in path:
            raise SourceError(f"{self.hiding}.csv: the file cannot be read")
        (source,) = [one for one in self.model.sources.values() if one.path == path]
        return SourceFile(f"{source.name}.csv", ",".join(source.columns).encode())


def tick(model, instance, at: datetime):
    """The one run asked for at a moment, or why there is none."""
    answer = ask(model, instance, at)
    if isinstance(answer, dg.SkipReason):
        return answer
    (request,) = answer
    return request


def ask(model, instance, at: datetime, files=None):
    schedule, *_ = build_schedules(model, build_jobs(model))
    resources = {"files": files or Empty(model), "tables": InMemoryTables()}
    with dg.build_schedule_context(
        instance, resources=resources, scheduled_execution_time=at
    ) as context:
        return schedule(context)


def deliver(instance, *partitions: str, name: str = "features", rows: str | None = None) -> None:
    """Say that partitions were made, of ``rows`` by their fingerprint."""
    metadata = {"fingerprint": rows} if rows else {}
    for partition in partitions:
        key = dg.AssetKey(["flight_delays", name])
        made = dg.AssetMaterialization(key, partition=partition, metadata=metadata)
        instance.report_runless_asset_event(made)


def span(request) -> tuple[str, str]:
    """The first and last partition that a request asks for."""
    edges = ("dagster/asset_partition_range_start", "dagster/asset_partition_range_end")
    return tuple(request.tags[edge] for edge in edges)


@pytest.fixture
def ingested(model, instance):
    """An instance that has every week up to the one of 2013-05-27."""
    deliver(instance, *(key for key in model.calendar.keys if key <= "2013-05-27"))
    return instance


@pytest.mark.parametrize(
    ("at", "wanted"),
    [
        (local(2013, 6, 10, 6), ("2013-06-03", "2013-06-03")),
        (local(2013, 6, 10, 0), ("2013-06-03", "2013-06-03")),
        (local(2013, 7, 1, 6), ("2013-06-03", "2013-06-24")),
    ],
)
def test_what_has_ended_since_is_asked_for_as_one_run(model, ingested, at, wanted):
    request = tick(model, ingested, at)
    assert span(request) == wanted
    assert request.run_key == (f"flight_delays/ingest/{wanted[0]}/{wanted[1]}/{at:%Y-%m-%dT%H:%M}")


def test_given_nothing_is_there_then_everything_that_has_ended_is_asked_for(model, instance):
    assert span(tick(model, instance, local(2013, 6, 10, 6))) == ("2012-12-31", "2013-06-03")


def test_given_a_gap_then_it_is_filled_and_what_looks_back_on_it_is_built_again(model, instance):
    there = [key for key in model.calendar.keys if key <= "2013-06-03" and key != "2013-03-11"]
    deliver(instance, *there)
    assert span(tick(model, instance, local(2013, 6, 10, 6))) == ("2013-03-11", "2013-04-15")


@pytest.mark.parametrize("table", ["labels", "validated_weather"])
def test_given_a_week_was_mended_by_hand_then_what_looked_back_on_it_is_built_again(
    model, ingested, table
):
    deliver(ingested, "2013-03-11", name=table)
    assert span(tick(model, ingested, local(2013, 6, 3, 6))) == ("2013-03-11", "2013-04-15")


def test_given_a_week_was_made_again_with_the_same_rows_then_nothing_is_asked_for(model, instance):
    deliver(instance, "2013-03-11", name="labels", rows="of then")
    deliver(instance, *(key for key in model.calendar.keys if key <= "2013-05-27"))
    deliver(instance, "2013-03-11", name="labels", rows="of then")
    at = local(2013, 6, 3, 6)
    assert "is there" in tick(model, instance, at).skip_message
    deliver(instance, "2013-03-11", name="labels", rows="of now")
    assert span(tick(model, instance, at)) == ("2013-03-11", "2013-04-15")


def test_given_weeks_that_cannot_be_read_then_each_is_asked_for_alone_and_once(model, ingested):
    at, later = local(2013, 6, 17, 6), local(2013, 6, 24, 6)
    first = ask(model, ingested, at, Empty(model, hiding="weather"))
    assert [span(request) for request in first] == [("2013-06-03",) * 2, ("2013-06-10",) * 2]
    assert all("/refused/" in request.run_key for request in first)
    again = ask(model, ingested, later, Empty(model, hiding="weather"))
    assert {request.run_key for request in first} < {request.run_key for request in again}


def test_given_one_week_alone_is_due_then_its_run_says_what_is_wrong(model, ingested):
    request = ask(model, ingested, local(2013, 6, 10, 6), Empty(model, hiding="weather"))
    assert [span(one) for one in request] == [("2013-06-03", "2013-06-03")]


def test_given_a_moment_in_another_zone_then_the_calendars_own_midnight_counts(model, ingested):
    just_before = datetime(2013, 6, 10, 3, 59, tzinfo=ZoneInfo("UTC"))
    at_midnight = datetime(2013, 6, 10, 4, 0, tzinfo=ZoneInfo("UTC"))
    said = tick(model, ingested, just_before).skip_message
    assert said == "partition 2013-05-27, the last that has ended, is there"
    assert span(tick(model, ingested, at_midnight)) == ("2013-06-03", "2013-06-03")


def test_given_only_its_labels_are_there_then_it_is_asked_for(model, ingested):
    deliver(ingested, "2013-06-03", name="labels")
    assert span(tick(model, ingested, local(2013, 6, 10, 6))) == ("2013-06-03", "2013-06-03")


def test_given_nothing_has_ended_yet_then_the_tick_says_so(model, instance):
    said = tick(model, instance, local(2013, 1, 6, 6))
    assert said.skip_message == "no partition has ended yet"


@pytest.mark.parametrize("year", [2014, 2026])
def test_given_the_calendar_has_ended_then_nothing_after_its_last_partition_is_asked_for(
    model, ingested, year
):
    at = local(year, 9, 7, 6)
    assert span(tick(model, ingested, at)) == ("2013-06-03", "2013-12-30")
    deliver(ingested, *model.calendar.keys)
    assert "2013-12-30, the last that has ended, is there" in tick(model, ingested, at).skip_message


def test_it_runs_when_where_and_as_defs_yaml_says(make_model):
    model = make_model(
        {
            'cron: "0 6 * * 1", timezone: America/New_York, default_status: RUNNING': (
                'cron: "30 4 * * *", timezone: Europe/Berlin, default_status: STOPPED'
            )
        }
    )
    schedule, *_ = build_schedules(model, build_jobs(model))
    assert schedule.name == "flight_delays__ingest_schedule"
    assert schedule.cron_schedule == "30 4 * * *"
    assert schedule.execution_timezone == "Europe/Berlin"
    assert schedule.default_status is dg.DefaultScheduleStatus.STOPPED
    assert schedule.job_name == "flight_delays__ingest"


def drill(model):
    _, schedule, *_ = build_schedules(model, build_jobs(model))
    return schedule


def test_online_features_are_refreshed_each_hour_once_somebody_starts_it(make_model, model):
    *_, schedule = build_schedules(model, build_jobs(model))
    assert (schedule.name, schedule.job_name) == (
        "flight_delays__refresh_schedule",
        "flight_delays__refresh",
    )
    assert schedule.cron_schedule == "7 * * * *"
    assert schedule.default_status is dg.DefaultScheduleStatus.STOPPED
    stated = make_model({"  schedules:\n": '  schedules:\n    refresh: {cron: "0 4 * * *"}\n'})
    *_, schedule = build_schedules(stated, build_jobs(stated))
    assert schedule.cron_schedule == "0 4 * * *"


def test_given_nothing_is_said_of_a_drill_then_it_is_weekly_and_stopped(model):
    schedule = drill(model)
    assert (schedule.name, schedule.job_name) == (
        "flight_delays__drill_schedule",
        "flight_delays__drill",
    )
    assert (schedule.cron_schedule, schedule.execution_timezone) == ("0 5 * * 1", "UTC")
    assert schedule.default_status is dg.DefaultScheduleStatus.STOPPED


@pytest.mark.parametrize(
    ("stated", "cron", "status"),
    [
        ("{default_status: RUNNING}", "0 5 * * 1", "RUNNING"),
        ('{cron: "0 3 1 * *", default_status: RUNNING}', "0 3 1 * *", "RUNNING"),
    ],
)
def test_a_drill_runs_as_defs_yaml_says(make_model, stated, cron, status):
    schedule = drill(make_model({"  schedules:\n": f"  schedules:\n    drill: {stated}\n"}))
    assert (schedule.cron_schedule, schedule.default_status.value) == (cron, status)
