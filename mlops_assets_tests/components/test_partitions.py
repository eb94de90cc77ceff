"""Dagster's partitions are the calendar's: the same keys, the same moments, the same look-back."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from types import SimpleNamespace

import dagster as dg
import pytest
from dagster._core.test_utils import freeze_time
from hypothesis import given, settings
from hypothesis import strategies as st

from mlops_assets.components.assets.data import build_data_assets
from mlops_assets.components.assets.training import build_training_set
from mlops_assets.components.partitions import (
    build_partitions,
    build_training_partitions,
    build_version_partitions,
    earlier,
    keys_of,
    source_partitions,
)
from mlops_assets.lifecycle.calendar import Calendar
from mlops_assets.lifecycle.errors import TrainingError
from mlops_assets.lifecycle.splits import SplitPolicy, plan_training_set

CALENDARS = {
    "daily over the beginning of summer time": Calendar(
        date(2013, 3, 8), date(2013, 3, 14), "daily", "America/New_York"
    ),
    "daily over the end of summer time": Calendar(
        date(2013, 11, 1), date(2013, 11, 7), "daily", "America/New_York"
    ),
    "daily where a midnight does not exist": Calendar(
        date(2013, 10, 18), date(2013, 10, 23), "daily", "America/Sao_Paulo"
    ),
    "weekly over a year": Calendar(date(2012, 12, 31), date(2014, 1, 6)),
    "weekly in local time": Calendar(
        date(2012, 12, 31), date(2014, 1, 6), "weekly", "America/New_York"
    ),
    "monthly over a leap year": Calendar(date(2012, 1, 1), date(2013, 3, 1), "monthly"),
    "monthly east of Greenwich": Calendar(
        date(2012, 12, 1), date(2013, 6, 1), "monthly", "Asia/Kolkata"
    ),
    "a single day": Calendar(date(2013, 5, 5), date(2013, 5, 6), "daily"),
}
ZONES = ("UTC", "America/New_York", "Europe/Berlin", "Asia/Kolkata", "Australia/Lord_Howe")


def windows(partitions: dg.TimeWindowPartitionsDefinition) -> dict[str, tuple[datetime, datetime]]:
    """The moments each Dagster partition begins and ends, in UTC."""
    found = {key: partitions.time_window_for_partition_key(key) for key in keys(partitions)}
    return {key: (w.start.astimezone(UTC), w.end.astimezone(UTC)) for key, w in found.items()}


def keys(partitions: dg.PartitionsDefinition) -> list[str]:
    return list(partitions.get_partition_keys())


def mapped(mapping, model, key: str, downstream=None) -> list[str]:
    """The upstream partitions a mapping asks for; downstream are all of the calendar by default."""
    partitions = build_partitions(model.calendar)
    downstream = downstream or partitions
    asked = mapping.get_upstream_mapped_partitions_result_for_partitions(
        downstream_partitions_subset=downstream.subset_with_partition_keys([key]),
        downstream_partitions_def=downstream,
        upstream_partitions_def=partitions,
    )
    return sorted(asked.partitions_subset.get_partition_keys())


def mapping_of(asset: dg.AssetsDefinition, upstream: str) -> dg.PartitionMapping:
    """The mapping an asset declares for one of its upstreams."""
    (spec,) = asset.specs
    (dep,) = (dep for dep in spec.deps if dep.asset_key.path[-1] == upstream)
    return dep.partition_mapping


def asset_named(assets: list[dg.AssetsDefinition], name: str) -> dg.AssetsDefinition:
    (found,) = (asset for asset in assets if any(key.path[-1] == name for key in asset.keys))
    return found


@pytest.mark.parametrize("calendar", CALENDARS.values(), ids=CALENDARS)
def test_keys_and_moments_are_the_calendars(calendar):
    expected = {key: (calendar.begin(key), calendar.finish(key)) for key in calendar.keys}
    assert windows(build_partitions(calendar)) == expected


@pytest.mark.parametrize("calendar", CALENDARS.values(), ids=CALENDARS)
def test_partitions_follow_one_another_without_gap_or_overlap(calendar):
    found = list(windows(build_partitions(calendar)).values())
    assert [end for _, end in found[:-1]] == [begin for begin, _ in found[1:]]


@settings(max_examples=30)
@given(
    cadence=st.sampled_from(["daily", "weekly", "monthly"]),
    zone=st.sampled_from(ZONES),
    start=st.dates(date(2005, 1, 1), date(2015, 1, 1)),
    length=st.integers(1, 20),
)
def test_any_calendar_gives_the_same_partitions_on_both_sides(cadence, zone, start, length):
    if cadence == "weekly":
        start -= timedelta(days=start.weekday())
        end = start + timedelta(weeks=length)
    elif cadence == "monthly":
        start = start.replace(day=1)
        months = start.year * 12 + start.month - 1 + length
        end = date(months // 12, months % 12 + 1, 1)
    else:
        end = start + timedelta(days=length)
    calendar = Calendar(start, end, cadence, zone)
    found = windows(build_partitions(calendar))
    assert tuple(found) == calendar.keys
    assert found[calendar.keys[-1]][1] == calendar.finish(calendar.keys[-1])


def test_given_a_calendar_that_ends_in_the_future_then_there_is_nothing_before_its_time():
    today = datetime.now(UTC).date()
    calendar = Calendar(today - timedelta(days=3), today + timedelta(days=30), "daily")
    found = keys(build_partitions(calendar))
    assert found == [key for key in calendar.keys if calendar.finish(key) <= datetime.now(UTC)]


def test_versions_are_partitions_named_after_the_model(model):
    assert build_version_partitions(model).name == "flight_delays__versions"


def test_a_source_without_a_date_has_no_partitions(model):
    assert source_partitions(model, model.sources["planes"]) is None
    partitioned = source_partitions(model, model.sources["weather"])
    assert keys(partitioned) == list(model.calendar.keys)


def test_a_step_materializes_the_partitions_of_its_range_and_an_undated_source_all_it_has(model):
    asked: list[tuple[str, ...]] = []

    @dg.asset(
        partitions_def=build_partitions(model.calendar),
        backfill_policy=dg.BackfillPolicy.single_run(),
    )
    def step(context) -> dg.MaterializeResult:
        for source in (None, model.sources["flights"], model.sources["planes"]):
            asked.append(keys_of(context, source))
        return dg.MaterializeResult()

    first, last = "2013-02-04", "2013-02-18"
    tags = {"dagster/asset_partition_range_start": first, "dagster/asset_partition_range_end": last}
    assert dg.materialize([step], tags=tags).success
    assert asked == [(first, "2013-02-11", last), (first, "2013-02-11", last), ("all",)]


def test_features_say_how_far_they_look_back_and_depend_partition_by_partition(model):
    asset = asset_named(build_data_assets(model), "features")
    (spec,) = asset.specs
    assert spec.description.endswith("; looks back 5 partitions.")
    assert [dep.partition_mapping for dep in spec.deps] == [None] * len(spec.deps)


def test_given_a_range_then_selecting_features_widens_it_by_nothing(model):
    assets = build_data_assets(model)
    platform = dict.fromkeys(("files", "tables"), object())
    graph = dg.Definitions(assets=assets, resources=platform).resolve_asset_graph()
    features, labels = (dg.AssetKey([model.name, name]) for name in ("features", "labels"))
    key_range = dg.PartitionKeyRange("2013-06-03", "2013-06-24")
    mapping = graph.get_partition_mapping(features, labels)
    partitions = build_partitions(model.calendar)
    asked = partitions.get_partition_keys_in_range(key_range)
    assert [mapped(mapping, model, key) for key in asked] == [[key] for key in asked]


@pytest.mark.parametrize("key", ["2013-03-04", "2013-06-03", "2013-12-30"])
@pytest.mark.parametrize("upstream", ["labels", "features"])
def test_a_training_set_depends_on_all_partitions_before_it_and_never_on_its_own(
    model, key, upstream
):
    asset = build_training_set(model)
    mapping = mapping_of(asset, upstream)
    assert mapped(mapping, model, key, asset.partitions_def) == list(model.calendar.before(key))


def test_a_model_can_be_trained_as_of_every_partition_with_enough_history_and_no_other(model):
    offered = keys(build_training_partitions(model))
    split = model.spec.training.split
    for key in model.calendar.keys:
        stated = {"rows": "all", "versions": {}, "fingerprint": ""}
        if key in offered:
            assert plan_training_set(model.calendar, key, split, **stated).as_of == key
        else:
            with pytest.raises(TrainingError):
                plan_training_set(model.calendar, key, split, **stated)
    assert offered == list(model.calendar.keys[split.needed :])


@pytest.mark.parametrize(
    ("now", "last", "ended"),
    [
        (datetime(2013, 5, 28, 9, tzinfo=UTC), "2013-05-27", "2013-05-20"),
        (datetime(2014, 2, 1, tzinfo=UTC), "2013-12-30", "2013-12-30"),
    ],
)
def test_given_a_partition_that_has_begun_then_a_model_can_be_trained_as_of_it(
    model, now, last, ended
):
    with freeze_time(now):
        assert keys(build_training_partitions(model))[-1] == last
        assert keys(build_partitions(model.calendar))[-1] == ended


@settings(max_examples=30)
@given(length=st.integers(1, 12), minimum=st.integers(1, 4), calibration=st.integers(0, 3))
def test_partitions_to_train_as_of_are_the_last_of_the_calendar_and_at_least_one(
    length, minimum, calibration
):
    begin = date(2013, 1, 7)
    calendar = Calendar(begin, begin + timedelta(weeks=length))
    split = SplitPolicy(minimum_fit=minimum, calibration=calibration)
    training = SimpleNamespace(split=split)
    model = SimpleNamespace(calendar=calendar, spec=SimpleNamespace(training=training))
    offered = keys(build_training_partitions(model))
    # Dagster needs one: a calendar that is too short offers its last, whose training set says so.
    assert offered == list(calendar.keys[split.needed :] or calendar.keys[-1:])


def test_training_partitions_begin_and_end_as_those_of_the_calendar(model):
    every = windows(build_partitions(model.calendar))
    for key, window in windows(build_training_partitions(model)).items():
        assert window == every[key]


def test_earlier_reaches_as_far_as_partitions_exist(model):
    assert mapped(earlier(-3, -1), model, "2013-01-07") == ["2012-12-31"]
    assert mapped(earlier(-2, -1), model, "2013-02-04") == ["2013-01-21", "2013-01-28"]
