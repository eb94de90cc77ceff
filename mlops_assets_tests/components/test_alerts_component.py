"""The sensor that tells people, beside a real Dagster instance: runs, ticks and stale assets."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import dagster as dg
import pytest
from dagster._core.definitions.freshness_evaluator import TimeWindowFreshnessPolicyEvaluator
from dagster._core.definitions.run_request import InstigatorType
from dagster._core.loader import LoadingContextForTest
from dagster._core.remote_origin import RegisteredCodeLocationOrigin, RemoteRepositoryOrigin
from dagster._core.scheduler.instigation import (
    InstigatorState,
    InstigatorStatus,
    ScheduleInstigatorData,
    TickData,
    TickStatus,
)
from dagster._core.test_utils import freeze_time
from dagster_shared.error import SerializableErrorInfo

from mlops_assets.adapters.dagster_ui import DagsterUi
from mlops_assets.adapters.in_memory import FixedClock, InMemoryAlerts, InMemoryLedger
from mlops_assets.adapters.journal import write_cut_off
from mlops_assets.components.alerts import AlertsComponent
from mlops_assets.components.alerts.freshness import find_stale_assets
from mlops_assets.components.alerts.runs import explain_run, find_failed_runs, read_cause
from mlops_assets.components.alerts.ticks import find_failing_ticks
from mlops_assets.lifecycle.alerting import Occurrence
from mlops_assets.lifecycle.errors import EndpointError
from mlops_assets.lifecycle.rollout.state import CutOff

UI = DagsterUi("http://ui")
HERE = "this_location"
DAY = timedelta(days=1)


@dg.op(name="step")
def step():
    raise ValueError("no such file at db://me:hunter2@host")


@dg.job(name="m__train")
def train():
    step()


@dg.op(name="refuse")
def refuse():
    raise dg.Failure("3 partitions of raw failed")


@dg.job(name="m__release")
def release():
    refuse()


@dg.asset(
    key=["m", "features"], freshness_policy=dg.FreshnessPolicy.time_window(timedelta(hours=192))
)
def features() -> None: ...


@dg.asset(
    key=["m", "labels"], freshness_policy=dg.FreshnessPolicy.time_window(timedelta(hours=192))
)
def labels() -> None: ...


@dg.asset(key=["m", "study"])
def study() -> None: ...


@dg.asset(key=["m", "broken"])
def broken() -> None:
    raise ValueError("out of memory")


@dg.sensor(name="m__watch", job=train)
def watch():
    yield dg.SkipReason("nothing")


@dg.schedule(name="m__ingest", job=train, cron_schedule="0 6 * * 1")
def ingest():
    return dg.SkipReason("nothing")


def build_alerts(**attributes) -> dg.Definitions:
    return AlertsComponent(**attributes).build_defs(dg.ComponentTree.for_test().load_context)


class World:
    """A code location beside a Dagster instance of its own, and what was told."""

    def __init__(self, instance: dg.DagsterInstance) -> None:
        self.instance, self.ledger, self.alerts = instance, InMemoryLedger(), InMemoryAlerts()
        self.clock = FixedClock(datetime.now(UTC))
        self.definitions = dg.Definitions.merge(
            build_alerts(),
            dg.Definitions(
                assets=[features, labels, study, broken],
                jobs=[train, release],
                sensors=[watch],
                schedules=[ingest],
            ),
        )

    def tick(self, *, later: timedelta = timedelta(0)) -> str:
        """What the sensor says of a tick, that much later."""
        self.clock.at = datetime.now(UTC) + later
        context = dg.build_sensor_context(
            instance=self.instance,
            repository_def=self.definitions.get_repository_def(),
            resources={
                "ledger": self.ledger,
                "alerts": self.alerts,
                "ui": UI,
                "clock": self.clock,
            },
        )
        said = context.repository_def.get_sensor_def("alert")(context)
        return str(said.skip_message)

    def fail(self, job=train, **tags: str) -> str:
        failed = job.execute_in_process(instance=self.instance, raise_on_error=False, tags=tags)
        return failed.run_id

    def ticked(self, name, *letters, status=InstigatorStatus.RUNNING, location=HERE):
        """Ticks of a sensor or schedule as the daemon leaves them: w(ell), s(kipped), f(ailed)."""
        schedule = name == "m__ingest"
        kind = InstigatorType.SCHEDULE if schedule else InstigatorType.SENSOR
        origin = RemoteRepositoryOrigin(RegisteredCodeLocationOrigin(location), "__repository__")
        data = ScheduleInstigatorData("0 6 * * 1") if schedule else None
        state = InstigatorState(origin.get_instigator_origin(name), kind, status, data)
        if not self.instance.get_instigator_state(state.instigator_origin_id, state.selector_id):
            self.instance.add_instigator_state(state)
        in_a_row, began = 0, datetime.now(UTC).timestamp()
        for number, letter in enumerate(letters):
            in_a_row = in_a_row + 1 if letter == "f" else 0
            error = SerializableErrorInfo("ValueError: the log is away\n", [], "ValueError")
            outer = SerializableErrorInfo("Error in sensor\n", [], "SensorError", cause=error)
            self.instance.create_tick(
                TickData(
                    state.instigator_origin_id,
                    name,
                    kind,
                    {"w": TickStatus.SUCCESS, "s": TickStatus.SKIPPED, "f": TickStatus.FAILURE}[
                        letter
                    ],
                    timestamp=began + number,
                    run_ids=[],
                    selector_id=state.selector_id,
                    error=outer if letter == "f" else None,
                    consecutive_failure_count=in_a_row,
                )
            )

    @property
    def titles(self) -> list[str]:
        return [title for title, _ in self.alerts.sent]


@pytest.fixture(scope="module")
def instance():
    """Making one takes seconds: it is emptied between tests."""
    with dg.instance_for_test() as made:
        yield made


@pytest.fixture
def world(instance):
    yield World(instance)
    instance.wipe()
    instance.schedule_storage.wipe()


def test_with_nothing_wrong_it_says_that_there_is_no_news(world):
    assert world.tick() == "there is no news"
    assert world.alerts.sent == []


@pytest.mark.parametrize(
    ("tags", "title"),
    [({}, "m__train failed"), ({"dagster/partition": "2013-06-03"}, "m__train 2013-06-03 failed")],
)
def test_given_a_run_that_failed_then_one_message_names_job_partition_cause_and_link(
    world, tags, title
):
    run = world.fail(**tags)
    assert world.tick() == f"told: {title}"
    body = f"ValueError: no such file at db://***@host\nhttp://ui/runs/{run}"
    assert world.alerts.sent == [(title, body)]


def test_a_run_that_failed_is_told_once(world):
    world.fail()
    world.tick()
    for later in (timedelta(minutes=1), timedelta(hours=5), 2 * DAY, 7 * DAY):
        assert world.tick(later=later) == "there is no news"


def test_five_runs_of_a_backfill_are_one_message_and_another_job_is_one_more(world):
    for number in range(5):
        world.fail(**{"dagster/partition": f"2013-06-{number + 1:02}"})
    world.fail(release)
    world.tick()
    assert sorted(world.titles) == ["5 runs of m__train failed", "m__release failed"]
    body = dict(world.alerts.sent)["5 runs of m__train failed"]
    assert body.count("http://ui/runs/") == 3
    assert body.endswith("and 2 more")
    assert "m__train 2013-06-01 failed: ValueError: no such file" in body


def test_a_failure_that_says_what_happened_is_told_in_those_words(world):
    assert read_cause(world.instance, world.fail(release)) == "3 partitions of raw failed"


def test_a_run_whose_process_is_gone_is_told_with_what_dagster_says(world):
    run = world.instance.create_run_for_job(train, status=dg.DagsterRunStatus.STARTED)
    world.instance.report_run_failed(run, "its process has ended unexpectedly")
    world.tick()
    assert "its process has ended unexpectedly" in world.alerts.sent[0][1]


def test_runs_that_went_well_were_canceled_or_are_tried_again_are_not_told(world):
    dg.materialize([study], instance=world.instance)
    canceled = world.instance.create_run_for_job(train, status=dg.DagsterRunStatus.STARTED)
    world.instance.report_run_canceled(canceled)
    world.fail(**{"dagster/will_retry": "true"})
    assert world.tick() == "there is no news"


@pytest.mark.parametrize(
    ("picked", "named"), [([broken], "m/broken"), ([study, broken], "m/broken and 1 more")]
)
def test_assets_picked_by_hand_are_named_instead_of_their_job(world, picked, named):
    job = world.definitions.resolve_implicit_global_asset_job_def()
    keys = [asset.key for asset in picked]
    job.execute_in_process(instance=world.instance, raise_on_error=False, asset_selection=keys)
    (found,) = find_failed_runs(world.instance, UI, world.clock.at - DAY, None)
    assert (found.model, found.key.name, found.title) == ("m", named, f"{named} failed")
    assert explain_run(world.instance, found).detail == "ValueError: out of memory"


def test_a_job_that_is_of_no_model_is_told_all_the_same(world):
    @dg.job(name="tidy")
    def tidy():
        step()

    world.fail(tidy)
    (found,) = find_failed_runs(world.instance, UI, world.clock.at - DAY, None)
    assert (found.model, found.title) == ("platform", "tidy failed")


def test_what_is_no_run_is_explained_already(world):
    stale = Occurrence("stale", "m", "s", "s is stale", "why", "", world.clock.at)
    assert explain_run(world.instance, stale) is stale


@pytest.mark.parametrize(
    ("ticks", "told"),
    [
        ("wff", True),
        ("fff", True),
        ("sff", True),
        ("wf", False),
        ("ffw", False),
        ("ffs", False),
        ("fwf", False),
        ("", False),
    ],
)
def test_a_sensor_is_told_once_two_ticks_in_a_row_have_failed(world, ticks, told):
    world.ticked("m__watch", *ticks)
    world.tick()
    assert world.titles == (["sensor m__watch fails"] if told else [])


def test_a_schedule_is_told_with_its_first_tick_that_fails_and_leads_to_its_page(world):
    world.ticked("m__ingest", "w", "f")
    world.tick()
    link = f"http://ui/locations/{HERE}/schedules/m__ingest"
    assert world.alerts.sent == [
        ("schedule m__ingest fails", f"ValueError: the log is away\n{link}")
    ]


def test_a_sensor_that_goes_on_failing_is_told_once_a_day_and_again_when_it_was_well_between(world):
    world.ticked("m__watch", *"wff")
    for hours in (0, 1, 12, 23):
        world.ticked("m__watch", *"ff")
        world.tick(later=timedelta(hours=hours))
    assert world.titles == ["sensor m__watch fails"]
    world.tick(later=timedelta(hours=25))
    assert world.titles[1:] == ["still: sensor m__watch fails"]
    world.ticked("m__watch", *"wff")
    world.tick(later=timedelta(hours=26))
    assert world.titles[2:] == ["sensor m__watch fails"]


def test_a_sensor_that_is_stopped_or_gone_is_not_told(world):
    world.ticked("m__watch", *"fff", status=InstigatorStatus.STOPPED)
    world.ticked("m__removed", *"fff")
    assert world.tick() == "there is no news"


def test_sensors_of_another_location_are_not_told(world):
    world.ticked("m__watch", *"fff", location="another")
    assert find_failing_ticks(world.instance, UI, HERE, {"m__watch"}) == []
    assert find_failing_ticks(world.instance, UI, "another", {"m__watch"})


def test_its_own_failed_ticks_are_no_news(world):
    world.ticked("alert", *"fff")
    assert world.tick() == "there is no news"


def test_without_a_place_for_ticks_there_are_none():
    with dg.DagsterInstance.ephemeral() as instance:
        assert find_failing_ticks(instance, UI, None, {"m__watch"}) == []


def test_assets_that_are_overdue_are_one_message_with_their_pages(world):
    dg.materialize([features, labels, study], instance=world.instance)
    assert world.tick(later=7 * DAY) == "there is no news"
    world.tick(later=9 * DAY)
    ((title, body),) = world.alerts.sent
    assert title == "2 assets of m are stale"
    assert "m/features is stale: last made 216 hours ago, at most 192 hours are expected" in body
    assert "http://ui/assets/m/labels" in body


def test_an_asset_that_was_made_again_and_is_overdue_again_is_told_again(world):
    dg.materialize([features], instance=world.instance)
    world.tick(later=9 * DAY)
    dg.materialize([features], instance=world.instance)
    assert world.tick(later=timedelta(minutes=1)) == "there is no news"
    world.tick(later=10 * DAY)
    assert world.titles == ["m/features is stale"] * 2


@pytest.mark.parametrize("later", [0, 7.9, 8.1, 30])
def test_an_asset_is_stale_for_people_when_it_is_for_dagster(world, later):
    dg.materialize([features, study], instance=world.instance)
    now = datetime.now(UTC) + later * DAY
    graph = world.definitions.resolve_asset_graph()
    ours = {one.subject for one in find_stale_assets(world.instance, graph, UI, now)}
    with freeze_time(now):
        state = asyncio.run(
            TimeWindowFreshnessPolicyEvaluator().evaluate_freshness(
                LoadingContextForTest(world.instance), graph.get(features.key)
            )
        )
    assert (ours == {"m/features"}) is (state.value == "FAIL")


def test_what_was_never_made_is_not_stale(world):
    graph = world.definitions.resolve_asset_graph()
    far = datetime.now(UTC) + 1000 * DAY
    assert find_stale_assets(world.instance, graph, UI, far) == []


def test_what_the_ledger_says_is_told_too(world):
    write_cut_off(world.ledger, "m", CutOff("v2", "v2", "5 of 5 failed"), datetime.now(UTC))
    world.tick()
    assert world.titles == ["m: v2 was cut off"]


def test_when_nobody_can_be_told_then_the_tick_fails_and_the_next_tells(world):
    class Away(InMemoryAlerts):
        def send(self, *_):
            raise EndpointError("alerts: nobody")

    world.fail()
    alerts, world.alerts = world.alerts, Away()
    with pytest.raises(EndpointError, match="alerts: nobody"):
        world.tick()
    world.alerts = alerts
    world.tick()
    assert world.titles == ["m__train failed"]


def test_a_service_that_is_away_for_a_week_costs_no_message(world):
    world.fail()
    world.tick(later=timedelta(days=7, hours=23))
    assert world.titles == ["m__train failed"]


def test_kinds_pauses_and_pages_are_as_the_yaml_says(world):
    world.definitions = dg.Definitions.merge(
        build_alerts(kinds=["run_failed"], pages=["run_failed"], pause=0),
        dg.Definitions(assets=[features], jobs=[train]),
    )
    dg.materialize([features], instance=world.instance)
    world.fail()
    world.tick(later=timedelta(hours=1))
    world.fail()
    world.tick(later=timedelta(hours=1))
    assert world.titles == ["page: m__train failed"] * 2


@pytest.mark.parametrize("status", ["RUNNING", "STOPPED"])
def test_it_watches_from_the_start_as_defs_yaml_says(status):
    (sensor,) = build_alerts(default_status=status, interval_seconds=45).sensors
    assert (sensor.default_status.value, sensor.minimum_interval_seconds) == (status, 45)


def test_unless_told_otherwise_it_waits_to_be_started_and_looks_twice_a_minute():
    (sensor,) = build_alerts().sensors
    assert sensor.default_status is dg.DefaultSensorStatus.STOPPED
    assert sensor.minimum_interval_seconds == 30


@pytest.mark.parametrize(
    ("attributes", "said"),
    [
        ({"default_status": "running"}, "'RUNNING' or 'STOPPED'"),
        ({"kinds": ["run_fail"]}, "run_failed"),
        ({"remind_after": 0}, "remind_after must be above 0"),
        ({"drift": {"windows": 1, "violated": 2}}, "violated must lie between 1 and windows"),
        ({"interval_seconds": 0}, "greater than or equal to 1"),
    ],
)
def test_given_what_cannot_be_then_it_is_refused(attributes, said):
    with pytest.raises(ValueError, match=said):
        build_alerts(**attributes)
