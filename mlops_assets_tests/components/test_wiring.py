"""One partition or a range of them: what is done, recorded, judged and refused."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import dagster as dg
import pytest

from mlops_assets.adapters.dagster_ui import DagsterUi
from mlops_assets.components.assets.wiring import (
    ONE_RUN,
    Outcome,
    asset_arguments,
    blocking_check,
    key_of,
    materialize_each,
    only_partition,
    tracking_tags,
)
from mlops_assets.lifecycle.errors import TrainingError
from mlops_assets.lifecycle.verdicts import Verdict

KEY, AFTER = dg.AssetKey(["m", "fitted"]), dg.AssetKey(["m", "after"])
WEEKS = ["w1", "w2", "w3"]
GATE = "auc_is_high_enough"

Work = Callable[[str], Outcome]


def passed(week: str) -> Verdict:
    return Verdict(GATE, "passed", f"{week} is good", {"auc": 0.7})


def failed(week: str) -> Verdict:
    return Verdict(GATE, "failed", f"{week} is bad", {"auc": 0.4})


def fine(week: str) -> Outcome:
    return Outcome({"week": week}, f"version of {week}", [passed(week)])


def second_is_bad(week: str) -> Outcome:
    verdict = failed(week) if week == "w2" else passed(week)
    return Outcome({"week": week}, f"version of {week}", [verdict])


def second_fails(week: str) -> Outcome:
    if week == "w2":
        raise TrainingError(f"{week}: no rows")
    return fine(week)


def run(work: Work, *weeks: str, **options: bool) -> tuple[Any, dg.DagsterInstance]:
    """Materialize an asset with a blocking check, and one that comes after it."""
    over = dg.StaticPartitionsDefinition(WEEKS)

    @dg.asset(
        key=KEY,
        partitions_def=over,
        backfill_policy=ONE_RUN,
        check_specs=[blocking_check(KEY, GATE, "Good enough.")],
    )
    def fitted(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        return materialize_each(context, KEY, work, **options)

    @dg.asset(key=AFTER, deps=[KEY], partitions_def=over, backfill_policy=ONE_RUN)
    def after() -> None: ...

    instance = dg.DagsterInstance.ephemeral()
    single = len(weeks) == 1
    bounds = {"start": weeks[0], "end": weeks[-1]}
    tags = {f"dagster/asset_partition_range_{end}": week for end, week in bounds.items()}
    done = dg.materialize(
        [fitted, after],
        partition_key=weeks[0] if single else None,
        tags=None if single else tags,
        instance=instance,
        raise_on_error=False,
    )
    return done, instance


def recorded(done: Any) -> dict[str, dict[str, Any]]:
    """What each partition of the asset shows."""
    return {
        event.partition: {
            name: value.value for name, value in event.materialization.metadata.items()
        }
        for event in done.get_asset_materialization_events()
        if event.asset_key == KEY
    }


def check(done: Any) -> dg.AssetCheckEvaluation:
    """The check over all partitions of the run."""
    return done.get_asset_check_evaluations()[0]


def reason(done: Any) -> str:
    (event, *_) = [event for event in done.all_node_events if event.is_step_failure]
    data = event.step_failure_data
    return str(data.user_failure_data.description if data.user_failure_data else data.error.message)


class TestOnePartition:
    def test_it_shows_what_was_done_and_its_version_names_it(self):
        done, instance = run(fine, "w2")
        assert done.success
        assert recorded(done) == {"w2": {"week": "w2"}}
        (event,) = instance.fetch_materializations(KEY, limit=1).records
        tags = event.asset_materialization.tags
        assert tags["dagster/data_version"] == "version of w2"

    def test_the_verdict_is_the_result_of_its_check(self):
        done, _ = run(fine, "w2")
        assert (check(done).passed, check(done).description) == (True, "w2 is good")

    def test_a_verdict_that_did_not_pass_stops_what_comes_after(self):
        done, instance = run(second_is_bad, "w2")
        assert not done.success
        assert instance.get_materialized_partitions(AFTER) == set()

    def test_a_verdict_that_is_only_advice_warns_and_stops_nothing(self):
        done, instance = run(second_is_bad, "w2", advisory=True)
        assert done.success
        assert not check(done).passed
        assert check(done).severity is dg.AssetCheckSeverity.WARN
        assert instance.get_materialized_partitions(AFTER) == {"w2"}

    def test_a_failure_fails_the_step_in_its_own_words(self):
        done, instance = run(second_fails, "w2")
        assert not done.success
        assert instance.get_materialized_partitions(KEY) == set()


class TestRange:
    def test_each_partition_is_done_and_shows_its_own(self):
        done, instance = run(fine, *WEEKS)
        assert done.success
        assert {week: shown["week"] for week, shown in recorded(done).items()} == {
            week: week for week in WEEKS
        }
        assert instance.get_materialized_partitions(AFTER) == set(WEEKS)

    def test_they_are_done_in_order_and_no_others(self):
        seen: list[str] = []

        def work(week: str) -> Outcome:
            seen.append(week)
            return fine(week)

        run(work, "w2", "w3")
        assert seen == ["w2", "w3"]

    def test_one_that_fails_costs_none_of_the_others(self):
        done, instance = run(second_fails, *WEEKS)
        assert reason(done).splitlines() == [
            "1 partition(s) of m/fitted failed, 2 done.",
            "w2: w2: no rows",
        ]
        assert instance.get_materialized_partitions(KEY) == {"w1", "w3"}
        shown = instance.fetch_materializations(KEY, limit=9).records
        assert {of.partition_key for of in shown} == {"w1", "w3"}
        assert {of.asset_materialization.metadata["week"].value for of in shown} == {"w1", "w3"}
        assert instance.get_materialized_partitions(AFTER) == set()

    def test_a_fault_of_ours_is_not_taken_for_a_partition_that_fails(self):
        def work(week: str) -> Outcome:
            raise KeyError(week)

        done, _ = run(work, *WEEKS)
        assert "Error occurred while executing op" in reason(done)

    def test_one_verdict_over_all_names_the_partition_to_blame(self):
        done, instance = run(second_is_bad, *WEEKS)
        assert not done.success
        assert not check(done).passed
        assert "w2: w2 is bad" in check(done).description
        assert instance.get_materialized_partitions(AFTER) == set()

    @pytest.mark.parametrize("option", [{"blocks_in_range": False}, {"advisory": True}])
    def test_where_a_range_blocks_nothing_then_what_comes_after_runs(self, option):
        done, instance = run(second_is_bad, *WEEKS, **option)
        assert done.success
        assert (check(done).passed, check(done).severity) == (False, dg.AssetCheckSeverity.WARN)
        assert instance.get_materialized_partitions(AFTER) == set(WEEKS)

    def test_a_partition_alone_still_blocks_where_a_range_does_not(self):
        done, _ = run(second_is_bad, "w2", blocks_in_range=False)
        assert not done.success

    def test_given_other_outcomes_then_the_version_of_the_whole_is_another(self):
        def again(week: str) -> Outcome:
            version = f"{week} anew" if week == "w3" else f"version of {week}"
            return Outcome({}, version, [passed(week)])

        def versions(work: Work) -> set[str]:
            _, instance = run(work, *WEEKS)
            found = instance.fetch_materializations(KEY, limit=9).records
            return {of.asset_materialization.tags["dagster/data_version"] for of in found}

        assert versions(fine) == versions(fine) != versions(again)
        assert len(versions(fine)) == 1


class TestOnlyPartition:
    def test_given_one_then_it_is_that(self):
        context = SimpleNamespace(partition_keys=["w2"], asset_key=KEY)
        assert only_partition(context) == "w2"

    def test_given_a_range_then_it_is_refused_and_not_the_first_taken(self):
        context = SimpleNamespace(partition_keys=WEEKS, asset_key=KEY)
        with pytest.raises(dg.Failure) as refused:
            only_partition(context)
        assert refused.value.description == (
            "m/fitted: w1 to w3 in one run, it takes one partition at a time; launch them as one "
            "run each"
        )
        assert not refused.value.allow_retries


def test_the_key_of_an_asset_is_below_its_model(model):
    assert key_of(model, "evaluation") == dg.AssetKey(["flight_delays", "evaluation"])


def test_every_asset_has_the_group_and_owners_of_its_model(model):
    assert asset_arguments(model, ("mlflow",)) == {
        "group_name": "flight_delays",
        "owners": ["team:flight-delays"],
        "kinds": {"mlflow"},
    }


def test_a_blocking_check_stops_what_comes_after():
    spec = blocking_check(KEY, GATE, "Good enough.")
    assert (spec.asset_key, spec.name, spec.blocking) == (KEY, GATE, True)


def test_a_tracking_run_is_named_by_run_asset_and_partition_and_leads_back(model):
    context = SimpleNamespace(run=SimpleNamespace(run_id="r-1"))
    assert tracking_tags(model, context, KEY, "w1", DagsterUi("http://dagster.example")) == {
        "dagster_run_id": "r-1",
        "dagster_asset": "m/fitted",
        "dagster_partition": "w1",
        "dagster_run_url": "http://dagster.example/runs/r-1",
        "code_version": model.code_digest,
    }
