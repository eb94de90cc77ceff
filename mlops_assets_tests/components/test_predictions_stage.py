"""Logged predictions reach their table exactly once, whatever happens on the way."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import dagster as dg
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlops_assets.adapters.delta_tables import DeltaTables
from mlops_assets.adapters.in_memory import FixedClock, InMemoryLedger, InMemoryTables
from mlops_assets.adapters.in_memory.telemetry import InMemoryTelemetry
from mlops_assets.adapters.journal import write_rollout
from mlops_assets.adapters.jsonl_telemetry import JsonlTelemetry
from mlops_assets.components.assets.monitoring import build_monitoring_assets
from mlops_assets.components.stages import predictions as stage
from mlops_assets.lifecycle.errors import RefusedError, TableConflict
from mlops_assets.lifecycle.rollout.state import RolloutState
from mlops_assets_tests.adapters import prediction_lines

WEEK, NEXT = "2013-05-20", "2013-05-27"
NOON = datetime(2013, 5, 21, 12, tzinfo=UTC)
TABLE = "flight_delays/predictions"
KEY = ["request_id", "row", "version", "arm"]


def line(request_id="r", at=NOON, **changes):
    usual = {
        "model": "flight_delays",
        "time": None,
        "entity": ["e"],
        "features": {"carrier": ["AA"]},
    }
    return prediction_lines.line(at, **{**usual, "request_id": request_id, **changes})


def failed(request_id="r", at=NOON, **changes):
    return prediction_lines.failing(line(request_id, at, **changes))


class Killed(BaseException):
    """The end of a process at a chosen point."""


class DyingTables:
    """Tables of which a write ends the process, before it or after it."""

    def __init__(self, tables, *, after: bool):
        self.tables, self.after = tables, after

    def write_after(self, *arguments):
        if self.after:
            self.tables.write_after(*arguments)
        raise Killed

    def __getattr__(self, name):
        return getattr(self.tables, name)


class BusyTables:
    """Tables that somebody else writes to between a read and the write that follows."""

    def __init__(self, tables, act: Callable[[], None], times: int = 1):
        self.tables, self.act, self.times = tables, act, times

    def write_after(self, *arguments):
        if self.times > 0:
            self.times -= 1
            self.act()
        return self.tables.write_after(*arguments)

    def __getattr__(self, name):
        return getattr(self.tables, name)


@pytest.fixture(params=["memory", "delta"])
def tables(request, tmp_path):
    return InMemoryTables() if request.param == "memory" else DeltaTables(str(tmp_path / "tables"))


@pytest.fixture
def log(world):
    return lambda *lines: world.telemetry.log("flight_delays", *lines)


@pytest.fixture
def collect(world, tables):
    def call(*keys, telemetry=None, store=None):
        keys = keys or (WEEK,)
        source, target = telemetry or world.telemetry, store or tables
        return stage.collect_predictions(world.model, keys, source, target)

    return call


@pytest.fixture
def kept(tables):
    """What of each row in the table tells it apart, sorted."""
    return lambda *keys: sorted(
        tables.read(TABLE, keys or None).select(KEY).rows(), key=lambda row: [*map(str, row)]
    )


class TestRows:
    def test_a_row_is_kept_in_the_partition_of_its_own_time(self, world, log, collect, kept):
        begin = world.model.calendar.begin(NEXT)
        before = (begin - timedelta(seconds=1)).isoformat()
        log(line("a", time=[before]), line("b", time=[begin.isoformat()]), line("c"))
        collect(WEEK, NEXT)
        assert [row[0] for row in kept(WEEK)] == ["a", "c"]
        assert [row[0] for row in kept(NEXT)] == ["b"]

    def test_an_answer_logged_twice_is_kept_once_and_each_version_and_arm_for_itself(
        self, log, collect, kept
    ):
        log(
            line("a", entity=["e", "f"], features={}, probability=[0.1, 0.2]),
            line("a"),
            line("a", version="v2", arm="canary"),
            line("a", version="v2", arm="shadow", routed=False),
            line("a", arm=None, routed=False),
            line("a", arm=None, routed=False),
        )
        collect()
        assert kept() == [
            ("a", 0, "v1", None),
            ("a", 0, "v1", "primary"),
            ("a", 0, "v2", "canary"),
            ("a", 0, "v2", "shadow"),
            ("a", 1, "v1", "primary"),
        ]

    def test_of_a_request_tried_again_the_earliest_answer_is_kept_whenever_it_is_found(
        self, log, collect, tables
    ):
        log(line("a", NOON + timedelta(seconds=1), probability=[0.2]))
        collect()
        log(line("a", NOON, probability=[0.1]), line("a", NOON + timedelta(hours=9)))
        collect()
        assert tables.read(TABLE)["probability"].to_list() == [0.1]

    def test_given_a_caller_who_gives_every_request_the_same_id_then_each_entity_and_time_is_kept(
        self, world, log, collect, tables
    ):
        asked = [("e", 0), ("f", 0), ("f", 1), ("f", 1)]
        for number, (entity, hours) in enumerate(asked):
            time = (NOON + timedelta(hours=hours)).isoformat()
            log(line("1", NOON + timedelta(seconds=number), entity=[entity], time=[time]))
        collect()
        rows = tables.read(TABLE)
        assert rows["entity"].to_list() == ["e", "f", "f"]
        read = stage.read_predictions(world.model, [WEEK], tables)
        assert stage.select_features(world.model, read).height == 3

    def test_before_anything_was_collected_reading_says_what_to_do(self, world, tables):
        with pytest.raises(RefusedError, match="materialize predictions first"):
            stage.read_predictions(world.model, [WEEK], tables)

    def test_attempts_that_failed_are_counted_and_not_kept(self, log, collect, kept):
        log(
            failed("a", version="v2", arm="canary"),
            line("a", routed=False),
            failed("b"),
            failed("b"),
            failed("c", version="v3", arm="shadow", routed=False),
        )
        counts = collect().counts[WEEK]
        assert kept() == [("a", 0, "v1", "primary")]
        assert counts == {
            "rows_new": 1,
            "rows_already_there": 0,
            "shadow_rows": 0,
            "failed_requests": 2,
        }

    def test_counts_are_told_per_partition(self, log, collect):
        log(line("a"), line("b", NOON + timedelta(days=7), arm="shadow"))
        collect(WEEK)
        log(line("c"))
        collected = collect(WEEK, NEXT)
        assert collected.attempts == 3
        told = {key: tuple(of.values()) for key, of in collected.counts.items()}
        assert told == {WEEK: (1, 1, 0, 0), NEXT: (1, 0, 1, 0)}

    def test_given_nothing_logged_then_the_partition_is_there_and_empty(
        self, world, collect, tables
    ):
        assert dict(collect().version.rows) == {WEEK: 0}
        features = {feature.name for feature in world.model.features}
        assert features | set(stage.LOG_COLUMNS) <= set(tables.read(TABLE).columns)

    def test_a_feature_that_was_not_logged_is_missing_not_an_error(self, log, collect, tables):
        log(line())
        collect()
        assert tables.read(TABLE).select("carrier", "distance").rows() == [("AA", None)]

    def test_collected_again_nothing_changes_and_the_data_version_stays(self, log, collect):
        log(*(line(f"r{n}", NOON + timedelta(seconds=n % 3)) for n in range(9)))
        assert collect().version.fingerprints == collect().version.fingerprints

    def test_rows_are_the_same_whichever_partitions_are_collected_together(self, world, log):
        log(line("a"), line("a", NOON + timedelta(days=7)), line("b", NOON + timedelta(days=7)))
        apart, together = InMemoryTables(), InMemoryTables()
        for key in (NEXT, WEEK):
            stage.collect_predictions(world.model, [key], world.telemetry, apart)
        stage.collect_predictions(world.model, [WEEK, NEXT], world.telemetry, together)
        rows = [each.read(TABLE).sort("partition", *KEY).rows() for each in (apart, together)]
        assert rows[0] == rows[1]
        assert len(rows[0]) == 3


class TestOlderTables:
    @pytest.fixture(autouse=True)
    def _older(self, world, log, tables):
        """A table from before there were units, with a feature that the model has no more."""
        log(line("old"))
        whole = InMemoryTables()
        stage.collect_predictions(world.model, [WEEK], world.telemetry, whole)
        rows = whole.read(TABLE).drop("partition", "routed", "unit", "canary", "weight")
        tables.write(TABLE, {WEEK: rows.with_columns(gone=pl.lit("kept"))})

    def test_their_rows_stay_with_all_they_had_and_nulls_for_what_is_new(
        self, log, collect, tables
    ):
        log(line("new", unit="u", canary="v2", weight=5))
        collect()
        rows = tables.read(TABLE).sort("request_id")
        assert rows.select("request_id", "unit", "canary", "weight", "gone").rows() == [
            ("new", "u", "v2", 5, None),
            ("old", None, None, None, "kept"),
        ]

    def test_they_are_read_as_they_are_with_nulls(self, world, tables):
        rows = stage.read_predictions(world.model, [WEEK], tables)
        assert rows.select("unit", "canary", "weight", "routed").rows() == [(None,) * 4]


class TestKilled:
    @pytest.mark.parametrize("after", [False, True])
    def test_killed_at_the_write_and_called_again_each_row_is_there_once(
        self, log, collect, kept, tables, after
    ):
        log(line("a"))
        collect()
        log(line("b"), line("a"), line("s", arm="shadow", routed=False))
        with pytest.raises(Killed):
            collect(store=DyingTables(tables, after=after))
        assert len(kept()) == (3 if after else 1)
        log(line("c"))
        collect()
        assert [row[0] for row in kept()] == ["a", "b", "c", "s"]

    @pytest.mark.parametrize("after", [False, True])
    def test_killed_at_the_very_first_write_and_called_again_all_is_there(
        self, log, collect, kept, tables, after
    ):
        log(line("a"))
        with pytest.raises(Killed):
            collect(store=DyingTables(tables, after=after))
        collect()
        assert kept() == [("a", 0, "v1", "primary")]


class TestAtTheSameTime:
    def test_what_another_collection_wrote_meanwhile_is_kept_although_its_log_is_gone(
        self, log, collect, kept, tables
    ):
        other = InMemoryTelemetry()
        other.log("flight_delays", line("theirs"))
        log(line("ours"))
        collected = collect(store=BusyTables(tables, lambda: collect(telemetry=other)))
        assert [row[0] for row in kept()] == ["ours", "theirs"]
        assert collected.counts[WEEK]["rows_already_there"] == 1

    def test_a_write_to_another_partition_meanwhile_costs_nothing(self, log, collect, kept, tables):
        log(line("a"), line("b", NOON + timedelta(days=7)))
        collect(store=BusyTables(tables, lambda: collect(NEXT)))
        assert (len(kept(WEEK)), len(kept(NEXT))) == (1, 1)

    def test_others_that_never_stop_writing_are_an_error_and_not_a_lost_row(
        self, log, collect, tables
    ):
        log(line("a"))
        with pytest.raises(TableConflict):
            collect(store=BusyTables(tables, collect, times=1000))

    def test_threads_that_collect_different_logs_into_one_partition_lose_nothing(
        self, world, tmp_path
    ):
        tables = DeltaTables(str(tmp_path / "real"))
        barrier = threading.Barrier(2)

        def collect(name: str) -> None:
            for turn in range(4):
                mine = InMemoryTelemetry()  # as if all earlier lines had been pruned
                mine.log("flight_delays", line(f"{name}{turn}"), line(f"both{turn}"))
                barrier.wait()
                stage.collect_predictions(world.model, [WEEK], mine, tables)

        with ThreadPoolExecutor(2) as pool:
            list(pool.map(collect, ["a", "b"]))
        expected = {f"{name}{turn}" for name in ("a", "b", "both") for turn in range(4)}
        found = tables.read(TABLE)["request_id"].to_list()
        assert sorted(found) == sorted(expected)


@settings(max_examples=40)
@given(st.data())
def test_however_often_and_wherever_it_is_cut_short_the_rows_end_the_same(world_model, data):
    """Lines arrive in any order, collections are killed, and what is collected is pruned."""
    numbers = st.integers(0, 6)
    one = st.builds(
        lambda n, late, arm, day: line(
            f"r{n}", NOON + timedelta(days=day, seconds=n, minutes=late), arm=arm
        ),
        numbers,
        st.integers(0, 2),
        st.sampled_from(["primary", "shadow", None]),
        st.sampled_from([0, 7]),
    )
    lines = data.draw(st.lists(one, max_size=12))
    whole, broken = InMemoryTelemetry(), InMemoryTelemetry()
    whole.log("flight_delays", *lines)
    unbroken, tables = InMemoryTables(), InMemoryTables()
    stage.collect_predictions(world_model, [WEEK, NEXT], whole, unbroken)
    clock = FixedClock(NOON + timedelta(days=400))
    for each in lines:
        broken.log("flight_delays", each)
        fate = data.draw(st.sampled_from(["nothing", "before", "after", "collected", "pruned"]))
        keys = data.draw(st.sampled_from([[WEEK], [NEXT], [WEEK, NEXT]]))
        if fate in ("before", "after"):
            dying = DyingTables(tables, after=fate == "after")
            with pytest.raises(Killed):
                stage.collect_predictions(world_model, keys, broken, dying)
        elif fate != "nothing":
            stage.collect_predictions(world_model, keys, broken, tables)
        if fate == "pruned":
            stage.prune_log(world_model, broken, tables, InMemoryLedger(), clock)
    stage.collect_predictions(world_model, [WEEK, NEXT], broken, tables)
    order = ["partition", *KEY]
    assert tables.read(TABLE).sort(order).rows() == unbroken.read(TABLE).sort(order).rows()


@pytest.fixture(scope="module")
def world_model(make_model):
    return make_model()


class TestPrune:
    """Files on a real disk, tables as they are."""

    @pytest.fixture
    def telemetry(self, tmp_path):
        return JsonlTelemetry(tmp_path / "log")

    @pytest.fixture
    def write(self, telemetry):
        def append(name, *lines):
            path = telemetry.root / "flight_delays" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("a") as file:
                file.writelines(json.dumps(each) + "\n" for each in lines)
            os.utime(path, (0, 0))

        return append

    @pytest.fixture
    def prune(self, world, telemetry, tables):
        world.clock.at = NOON + stage.KEEP_LOG + timedelta(hours=1)
        return lambda: stage.prune_log(world.model, telemetry, tables, world.ledger, world.clock)

    def left(self, telemetry):
        return sorted(path.name for path in telemetry.root.rglob("*.jsonl"))

    FILE, LATER = "20130521T12-1-a.jsonl", "20130521T13-1-b.jsonl"

    def test_before_anything_was_collected_nothing_goes(self, telemetry, write, prune):
        write(self.FILE, line("a"))
        assert (prune(), self.left(telemetry)) == (0, [self.FILE])

    def test_collected_files_go_after_their_time_and_the_rows_stay(
        self, telemetry, write, prune, collect, kept
    ):
        write(self.FILE, line("a"), failed("x"), line("s", arm="shadow"))
        write(self.LATER, line("b", NOON + timedelta(hours=1)))
        collect(telemetry=telemetry)
        assert (prune(), self.left(telemetry)) == (1, [self.LATER])
        collect(telemetry=telemetry)
        assert [row[0] for row in kept()] == ["a", "b", "s"]

    def test_a_file_with_one_row_that_is_not_collected_stays(
        self, telemetry, write, prune, collect
    ):
        write(self.FILE, line("a"))
        collect(telemetry=telemetry)
        write(self.FILE, line("late"))
        assert (prune(), self.left(telemetry)) == (0, [self.FILE])
        collect(telemetry=telemetry)
        assert (prune(), self.left(telemetry)) == (1, [])

    @pytest.mark.parametrize("other", [{"arm": None}, {"version": "v2"}, {"arm": "shadow"}])
    def test_the_row_of_another_version_or_arm_is_another_row(
        self, telemetry, write, prune, collect, other
    ):
        write(self.FILE, line("a"))
        collect(telemetry=telemetry)
        write(self.FILE, line("a", **other))
        assert prune() == 0

    def test_an_earlier_answer_that_has_yet_to_take_the_place_of_a_later_one_stays(
        self, telemetry, write, prune, collect, tables
    ):
        write(self.LATER, line("a", NOON + timedelta(hours=1), probability=[0.9]))
        collect(telemetry=telemetry)
        write(self.FILE, line("a", NOON, probability=[0.1]))
        assert prune() == 0
        collect(telemetry=telemetry)
        assert prune() == 1
        assert tables.read(TABLE)["probability"].to_list() == [0.1]

    def test_a_file_with_a_row_of_a_partition_that_was_not_collected_stays(
        self, telemetry, write, prune, collect
    ):
        write(self.FILE, line("a"), line("b", time=["2013-05-28T00:00:00Z"]))
        collect(WEEK, telemetry=telemetry)
        assert prune() == 0
        collect(NEXT, telemetry=telemetry)
        assert prune() == 1

    def test_what_a_rollout_in_progress_may_still_be_judged_by_stays(
        self, world, telemetry, write, prune, collect
    ):
        write(self.FILE, line("a"))
        collect(telemetry=telemetry)
        state = RolloutState(
            "v2", "b" * 64, WEEK, "progressing", 0, 5, NOON.isoformat(), "begun", baseline="v1"
        )
        write_rollout(world.ledger, "flight_delays", state, NOON)
        later = RolloutState(
            "v2", "b" * 64, WEEK, "progressing", 1, 25, world.clock.at.isoformat(), "went on"
        )
        write_rollout(world.ledger, "flight_delays", later, NOON)
        assert prune() == 0
        ended = RolloutState("v2", "b" * 64, WEEK, "failed", 1, 0, NOON.isoformat(), "ended")
        write_rollout(world.ledger, "flight_delays", ended, NOON)
        assert prune() == 1


def test_the_asset_says_what_it_did_and_prunes(world, tables, log, resources):
    log(line("a"), failed("b"), line("a", version="v2", arm="shadow", routed=False))
    world.clock.at = NOON + timedelta(days=400)
    (asset,) = (a for a in build_monitoring_assets(world.model) if a.key.path[-1] == "predictions")
    run = dg.materialize(
        [asset], partition_key=WEEK, resources={**resources(world), "tables": tables}
    )
    (event,) = run.asset_materializations_for_node(asset.node_def.name)
    told = {name: value.value for name, value in event.metadata.items()}
    expected = {
        "lines_read": 3,
        "log_files_removed": 1,
        "rows_new": 2,
        "rows_already_there": 0,
        "shadow_rows": 1,
        "failed_requests": 1,
        "dagster/row_count": 2,
    }
    assert told | expected == told
    assert world.telemetry.predictions("flight_delays").is_empty()


class TestFeaturesOfCallers:
    def test_copies_and_rows_asked_about_twice_are_no_further_requests(
        self, world, log, collect, tables
    ):
        log(
            line("a"),
            line("a", version="v2", arm="shadow", routed=False),
            line("unanswered", version="v2", arm="shadow", routed=False),
            line("b", version="v2", arm="canary"),
            line("c", arm=None, routed=False),
            line("c", version="v2", arm=None, routed=False),
        )
        collect()
        rows = stage.read_predictions(world.model, [WEEK], tables)
        features = stage.select_features(world.model, rows)
        assert features["carrier"].to_list() == ["AA"] * 3
        names = [feature.name for feature in world.model.features]
        assert features.columns == ["moment", *names]

    def test_a_feature_named_like_a_column_of_the_log_is_found_under_its_own_name(
        self, make_model, world, tables, log
    ):
        model = make_model({"- distance\n": "- distance\n      - weight\n"})
        log(line("a", canary="v2", weight=25, features={"weight": [7.5]}))
        stage.collect_predictions(model, [WEEK], world.telemetry, tables)
        rows = stage.read_predictions(model, [WEEK], tables)
        assert rows["weight"].to_list() == [25]
        assert stage.select_features(model, rows)["weight"].to_list() == [7.5]
