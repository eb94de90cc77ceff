"""Walking forward over a range of partitions in one run, and what becomes of it."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import polars as pl
import pytest
from sklearn.metrics import brier_score_loss, roc_auc_score

from mlops_assets.lifecycle.training import predict_probability
from mlops_assets_tests.loop.conftest import (
    RAIN,
    MakeWorld,
    World,
    failure,
    materialized,
    range_of,
)

MONTHS = tuple(f"2015-{month:02d}-01" for month in range(3, 9))
FIRST, LAST = MONTHS[0], MONTHS[-1]
UNEVEN = {
    "gates": {"minimum": {"auc": 0.72}, "minimum_rows": 150},
    "monitoring": {"minimum_rows": 20, "reference": 12, "drift_share": 0.5},
    "retraining": {"mode": "dry_run", "windows": 2, "violated": 2, "cooldown": 1},
}
"""Gates that some months pass and others do not."""


@dataclass
class Walked:
    """A world in which a range was walked over, and the run that did it."""

    world: World
    result: Any

    @property
    def described(self) -> dict[str, Any]:
        (shown,) = [
            event.materialization.metadata
            for event in self.result.get_asset_materialization_events()
            if event.asset_key.path[-1] == "backtest"
        ]
        return {name: value.value for name, value in shown.items()}


@pytest.fixture(scope="module")
def walked(make_world: MakeWorld, ingested: World) -> Walked:
    world = make_world(UNEVEN, rows_of=ingested)
    return Walked(world, world.over("walk_forward", FIRST, LAST))


def nothing_is_out(world: World) -> bool:
    rows = [world.rows(kind) for kind in ("version", "rollout", "promotion")]
    return rows == [[], [], []] and world.versions() == []


def test_one_run_fits_a_model_as_of_each_month(walked):
    assert walked.result.success, failure(walked.result)
    trained = walked.world.rows("trained_model")
    assert [row["as_of"] for row in trained] == list(MONTHS)
    assert len({row["digest"] for row in trained}) == len(MONTHS)
    instance = walked.world.instance
    for asset in ("training_set", "trained_model", "evaluation"):
        assert instance.get_materialized_partitions(walked.world.key(asset)) == set(MONTHS)


def test_each_month_has_a_tracking_run_of_its_own(walked):
    runs = walked.world.tracked(dagster_run_id=walked.result.run_id)
    assert [run.data.tags["dagster_partition"] for run in runs] == list(MONTHS)
    assert all("auc" in run.data.metrics for run in runs)


def test_a_month_that_fails_its_gates_stops_neither_the_others_nor_the_backtest(walked):
    outcomes = {row["outcome"] for row in walked.world.rows("verdict")}
    assert outcomes == {"passed", "failed"}
    assert len(walked.world.rows("verdict")) == len(MONTHS)
    assert "backtest" in materialized(walked.result)


def test_nothing_is_registered_or_deployed_although_models_passed(walked):
    assert nothing_is_out(walked.world)
    assert "model_version" not in materialized(walked.result)


def replayed(walked: Walked) -> dict[str, Any]:
    (row,) = walked.world.ledger.history("backtest", RAIN)
    assert row.subject == f"{FIRST}..{LAST}"
    return dict(row.body)


def test_each_strategy_answers_by_the_models_it_would_have_had(walked):
    done = replayed(walked)
    assert set(done["frozen"]["answered_by"].values()) == {FIRST}
    assert done["scheduled"]["answered_by"] == {month: month for month in MONTHS}
    plan = done["drift_triggered"]["answered_by"]
    assert plan[FIRST] == FIRST
    assert list(plan.values()) == sorted(plan.values())
    assert all(as_of <= month for month, as_of in plan.items())


def test_drift_asks_for_a_model_as_its_reports_say(walked):
    """Two months in a row have to drift; only then is the next month's model taken."""
    plan = replayed(walked)["drift_triggered"]["answered_by"]
    models = sorted(set(plan.values()))
    assert 1 < len(models) < len(MONTHS)
    for earlier, later in itertools.pairwise(models):
        assert MONTHS.index(later) - MONTHS.index(earlier) >= 2


def test_models_are_counted_and_so_are_the_fits_they_cost(walked):
    done = replayed(walked)
    counts = {strategy: of["models"] for strategy, of in done.items()}
    assert counts["frozen"] == 1
    assert counts["scheduled"] == len(MONTHS)
    assert counts["drift_triggered"] == len(set(done["drift_triggered"]["answered_by"].values()))
    table = walked.described["strategies"].splitlines()
    models = {line.split("|")[1].strip(): line.split("|")[2:4] for line in table[2:]}
    for strategy, count in counts.items():
        assert [int(cell) for cell in models[strategy.replace("_", " ")]] == [count, count]


def test_each_month_is_measured_by_the_model_that_would_have_answered(walked):
    """Counted again with scikit-learn from the files and the tables."""
    world, done = walked.world, replayed(walked)
    trained = {row["as_of"]: row["digest"] for row in world.rows("trained_model")}
    for replay in done.values():
        for month, as_of in replay["answered_by"].items():
            fitted, signature = world.resources["model_files"].load(trained[as_of])
            rows = labelled(world, month)
            answers = predict_probability(fitted, rows, signature.features)
            found, truth = replay["metrics"][month], rows["rain"].to_numpy()
            assert found["auc"] == pytest.approx(roc_auc_score(truth, answers))
            assert found["brier"] == pytest.approx(brier_score_loss(truth, answers))


def labelled(world: World, month: str) -> pl.DataFrame:
    labels = world.read("labels", month).select("day", "rain").drop_nulls()
    return world.read("features", month).join(labels, on="day")


def test_the_asset_shows_means_of_each_strategy_and_draws_them(walked):
    described, done = walked.described, replayed(walked)
    for strategy, replay in done.items():
        for metric, mean in replay["means"].items():
            months = replay["metrics"].values()
            assert mean == pytest.approx(sum(of[metric] for of in months) / len(months))
            assert described[f"{strategy}_{metric}"] == pytest.approx(mean)
    assert described["partitions"] == len(MONTHS)
    models = sorted(set(done["drift_triggered"]["answered_by"].values()))
    assert described["retrained_on_drift"] == ", ".join(models[1:])
    for picture in ("auc", "brier"):
        assert "data:image/png" in described[picture]


def test_a_backtest_of_a_part_looks_at_that_part_alone(walked):
    result = walked.world.materialize("backtest", first=MONTHS[2], last=MONTHS[3])
    assert result.success, failure(result)
    row = walked.world.ledger.latest("backtest", RAIN, f"{MONTHS[2]}..{MONTHS[3]}")
    assert row.body["scheduled"]["answered_by"] == {month: month for month in MONTHS[2:4]}


def test_a_backtest_of_one_model_says_what_is_needed(walked):
    said = failure(walked.world.materialize("backtest", first=LAST, last=LAST))
    assert (
        f"backtest: 1 model(s) trained as of {LAST} to {LAST}, 2 are needed; launch "
        f"{RAIN}__walk_forward over a range"
    ) in said


def test_walking_over_the_same_range_again_fits_nothing(walked):
    """After the tests above: nothing they did changes what the models are made of."""
    before = len(walked.world.rows("trained_model"))
    again = walked.world.over("walk_forward", FIRST, LAST)
    assert again.success, failure(again)
    assert walked.world.tracked(dagster_run_id=again.run_id) == []
    assert len(walked.world.rows("trained_model")) == before
    assert len(walked.world.ledger.history("backtest", RAIN, f"{FIRST}..{LAST}")) == 1


def test_versions_over_the_range_are_registered_where_a_model_passed_and_refused_elsewhere(walked):
    """The last test of this world: somebody asks by hand for what walking forward leaves out."""
    world = walked.world
    done = world.select(["model_version"], tags=range_of(FIRST, LAST))
    outcomes = {row["model"]: row["outcome"] for row in world.rows("verdict")}
    passed = [
        row["as_of"] for row in world.rows("trained_model") if outcomes[row["digest"]] == "passed"
    ]
    count = len(MONTHS) - len(passed)
    summary = f"{count} partition(s) of {RAIN}/model_version failed, {len(passed)} done."
    assert failure(done).startswith(summary)
    assert [row["train_as_of"] for row in world.rows("version")] == passed
    assert (world.rows("rollout"), world.rows("promotion")) == ([], [])


# A month that fails -------------------------------------------------------------------------

SHORT = {
    "training": {"split": {"test": 2, "validation": 1, "minimum_fit": 6, "maximum_fit": 6}},
    "gates": {"minimum": {"auc": 0.5}, "minimum_rows": 20},
}
LOST = "2012-03-01"
"""The month whose rows are gone: models as of the three first months need it, later ones do not."""

AFFECTED = ("2012-10-01", "2012-11-01", "2012-12-01")
SOUND = ("2013-01-01", "2013-02-01")


@pytest.fixture(scope="module")
def torn(make_world: MakeWorld, ingested: World) -> World:
    world = make_world(SHORT, rows_of=ingested)
    empty = world.read("features", LOST).drop("partition").clear()
    world.tables.write(world.model.table("features"), {LOST: empty})
    return world


def test_a_month_that_fails_costs_none_of_the_others(torn):
    done = torn.over("walk_forward", AFFECTED[0], SOUND[-1])
    said = failure(done).splitlines()
    assert said[0] == f"3 partition(s) of {RAIN}/training_set failed, 2 done."
    assert [line.split(": ")[0] for line in said[1:]] == list(AFFECTED)
    assert f"hold no rows: {LOST}; materialize them first" in said[1]
    planned = torn.instance.get_materialized_partitions(torn.key("training_set"))
    assert planned == set(SOUND)
    assert torn.instance.get_materialized_partitions(torn.key("trained_model")) == set()


def test_the_sound_months_can_be_walked_over_alone(torn):
    done = torn.over("walk_forward", *SOUND)
    assert done.success, failure(done)
    assert [row["as_of"] for row in torn.rows("trained_model")] == list(SOUND)


def test_a_month_without_a_training_set_fails_its_model_alone(torn):
    months = [AFFECTED[-1], *SOUND]
    again = {"trained_model": {"again": True}}
    done = torn.select(["trained_model"], None, again, range_of(months[0], months[-1]))
    assert failure(done).splitlines() == [
        f"1 partition(s) of {RAIN}/trained_model failed, 2 done.",
        f"{AFFECTED[-1]}: training set: none as of {AFFECTED[-1]}; materialize training_set first",
    ]
    runs = torn.tracked(dagster_run_id=done.run_id)
    assert [run.data.tags["dagster_partition"] for run in runs] == list(SOUND)
