"""The schedule asks for the partition that ended last, once."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import dagster as dg
import pytest

from mlops_assets.components.jobs import build_jobs
from mlops_assets.components.schedules import build_schedules

NEW_YORK = ZoneInfo("America/New_York")


@pytest.fixture
def instance(tmp_path):
    with dg.DagsterInstance.local_temp(str(tmp_path)) as made:
        yield made


def local(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=NEW_YORK)


def tick(model, instance, at: datetime):
    (schedule,) = build_schedules(model, build_jobs(model))
    return schedule(dg.build_schedule_context(instance, scheduled_execution_time=at))


def deliver(instance, *partitions: str, name: str = "features") -> None:
    for partition in partitions:
        key = dg.AssetKey(["flight_delays", name])
        instance.report_runless_asset_event(dg.AssetMaterialization(key, partition=partition))


@pytest.mark.parametrize(
    ("at", "ended"),
    [
        (local(2013, 1, 7, 6), "2012-12-31"),
        (local(2013, 3, 11, 6), "2013-03-04"),
        (local(2013, 6, 10, 6), "2013-06-03"),
        (local(2013, 6, 9, 23, 59), "2013-05-27"),
        (local(2013, 6, 10, 0), "2013-06-03"),
    ],
)
def test_the_partition_that_ended_last_is_asked_for(model, instance, at, ended):
    request = tick(model, instance, at)
    assert request.partition_key == ended
    assert request.run_key == f"flight_delays/ingest/{ended}"


def test_given_a_moment_in_another_zone_then_the_calendars_own_midnight_counts(model, instance):
    just_before = datetime(2013, 6, 10, 3, 59, tzinfo=ZoneInfo("UTC"))
    at_midnight = datetime(2013, 6, 10, 4, 0, tzinfo=ZoneInfo("UTC"))
    assert tick(model, instance, just_before).partition_key == "2013-05-27"
    assert tick(model, instance, at_midnight).partition_key == "2013-06-03"


def test_given_it_is_there_then_the_tick_says_so(model, instance):
    deliver(instance, "2013-06-03")
    said = tick(model, instance, local(2013, 6, 10, 6))
    assert said.skip_message == "partition 2013-06-03, the last that has ended, is there"


def test_given_only_its_labels_are_there_then_it_is_asked_for(model, instance):
    deliver(instance, "2013-06-03", name="labels")
    assert tick(model, instance, local(2013, 6, 10, 6)).partition_key == "2013-06-03"


def test_given_other_partitions_are_there_then_it_is_asked_for_all_the_same(model, instance):
    deliver(instance, "2013-05-27", "2013-06-10")
    assert tick(model, instance, local(2013, 6, 10, 6)).partition_key == "2013-06-03"


def test_given_nothing_has_ended_yet_then_the_tick_says_so(model, instance):
    said = tick(model, instance, local(2013, 1, 6, 6))
    assert said.skip_message == "no partition has ended yet"


@pytest.mark.parametrize("year", [2014, 2026])
def test_given_the_calendar_has_ended_then_only_its_last_partition_is_asked_for(
    model, instance, year
):
    at = local(year, 9, 7, 6)
    assert tick(model, instance, at).partition_key == "2013-12-30"
    deliver(instance, "2013-12-30")
    assert "2013-12-30, the last that has ended, is there" in tick(model, instance, at).skip_message


def test_it_runs_when_where_and_as_defs_yaml_says(make_model):
    model = make_model(
        {
            'cron: "0 6 * * 1", timezone: America/New_York, default_status: RUNNING': (
                'cron: "30 4 * * *", timezone: Europe/Berlin, default_status: STOPPED'
            )
        }
    )
    (schedule,) = build_schedules(model, build_jobs(model))
    assert schedule.name == "flight_delays__ingest_schedule"
    assert schedule.cron_schedule == "30 4 * * *"
    assert schedule.execution_timezone == "Europe/Berlin"
    assert schedule.default_status is dg.DefaultScheduleStatus.STOPPED
    assert schedule.job_name == "flight_delays__ingest"
