"""Models fitted as of many partitions, replayed by each rule of retraining."""

from __future__ import annotations

from statistics import fmean

import polars as pl
import pytest
from sklearn.metrics import roc_auc_score

from mlops_assets.lifecycle.errors import TrainingError
from mlops_assets.lifecycle.training import predict_probability
from mlops_assets_tests.components.bench import ALONE, MONTHS, NAME, Bench, make_bench

WATCHED = {
    "monitoring": {"minimum_rows": 20, "reference": 1, "drift_share": 0.8},
    "retraining": {"mode": "disabled", "windows": 1, "violated": 1, "cooldown": 1},
}
"""The mode says what a sensor does; a backtest asks what the policy would have said."""

TRAINED = MONTHS[8:]


def shift(bench: Bench, *months: str) -> None:
    """From some month on every feature lies elsewhere."""
    for month in months:
        rows = bench.tables.read(f"{NAME}/features", [month]).drop("partition")
        names = [feature.name for feature in bench.model.features]
        moved = rows.with_columns([pl.col(name) + 5 for name in names])
        bench.tables.write(f"{NAME}/features", {month: moved})


@pytest.fixture
def bench() -> Bench:
    """A model as of each of the last four months."""
    made = make_bench(ALONE | WATCHED)
    for as_of in TRAINED:
        made.make(as_of)
    return made


def test_each_strategy_takes_the_models_it_would_have_had(bench):
    done = bench.backtest()
    assert set(done["frozen"].answered_by.values()) == {TRAINED[0]}
    assert done["scheduled"].answered_by == {month: month for month in TRAINED}
    assert [of.models for of in done.values()][:2] == [1, 4]


def test_given_nothing_drifts_then_the_first_model_stays(bench):
    done = bench.backtest()
    assert done["drift_triggered"].models == 1
    assert done["drift_triggered"].metrics == done["frozen"].metrics


def test_given_a_month_that_drifts_then_the_next_ones_model_answers_from_then_on(bench):
    shift(bench, *TRAINED[1:])
    plan = bench.backtest()["drift_triggered"].answered_by
    assert list(plan.values()) == [TRAINED[0], TRAINED[0], TRAINED[2], TRAINED[2]]


def test_a_month_is_measured_by_the_model_that_answers_in_it(bench):
    done = bench.backtest()["frozen"]
    digest = next(iter(bench.world.rows("trained_model", TRAINED[0])))["digest"]
    model, signature = bench.files.load(digest)
    rows = bench.tables.read(f"{NAME}/features", [TRAINED[2]])
    labels = bench.tables.read(f"{NAME}/labels", [TRAINED[2]]).select("day", "rain")
    joined = rows.join(labels, on="day")
    answers = predict_probability(model, joined, signature.features)
    assert done.metrics[TRAINED[2]]["auc"] == pytest.approx(
        roc_auc_score(joined["rain"].to_numpy(), answers)
    )
    for metric in ("auc", "brier", "log_loss"):
        assert done.means[metric] == pytest.approx(
            fmean(found[metric] for found in done.metrics.values())
        )


def test_given_a_month_of_one_class_then_it_is_left_out_of_the_means(bench):
    rows = bench.tables.read(f"{NAME}/labels", [TRAINED[2]]).drop("partition")
    dry = rows.with_columns(pl.lit(value=False).alias("rain"))
    bench.tables.write(f"{NAME}/labels", {TRAINED[2]: dry})
    for replayed in bench.backtest().values():
        assert list(replayed.metrics) == [month for month in TRAINED if month != TRAINED[2]]
        assert TRAINED[2] in replayed.answered_by


def test_rows_without_a_label_are_not_measured(bench):
    rows = bench.tables.read(f"{NAME}/labels", [TRAINED[1]]).drop("partition")
    some = rows.with_columns(pl.when(pl.col("day").str.ends_with("1")).then("rain").alias("rain"))
    before = bench.backtest()["frozen"].metrics
    bench.tables.write(f"{NAME}/labels", {TRAINED[1]: some})
    after = bench.backtest()["frozen"].metrics
    assert [month for month in TRAINED if after[month] != before[month]] == [TRAINED[1]]


def test_what_was_found_is_recorded_once_and_said(bench):
    for _ in range(2):
        bench.backtest()
    (row,) = bench.world.rows("backtest", f"{TRAINED[0]}..{TRAINED[-1]}")
    assert set(row) == {"frozen", "scheduled", "drift_triggered"}
    assert [line.split(":")[0] for line in bench.said] == list(row) * 2
    assert bench.said[1].startswith("scheduled: 4 models, auc 0.")


def test_it_registers_and_deploys_nothing(bench):
    kinds = ("version", "verdict", "trained_model", "drift", "retraining", "promotion")
    before = {kind: bench.world.rows(kind) for kind in kinds}
    bench.backtest()
    assert {kind: bench.world.rows(kind) for kind in kinds} == before
    assert bench.world.registry.versions(NAME) == []


def test_given_bounds_then_only_models_and_months_within_count(bench):
    done = bench.backtest(TRAINED[1], TRAINED[2])
    assert done["scheduled"].answered_by == {month: month for month in TRAINED[1:3]}


def test_given_a_model_trained_twice_then_the_newest_counts(bench):
    bench.train(TRAINED[0], estimator="build_tree")
    newest = bench.world.rows("trained_model", TRAINED[0])[-1]["digest"]
    model, signature = bench.files.load(newest)
    rows = bench.tables.read(f"{NAME}/features", [TRAINED[0]])
    labels = bench.tables.read(f"{NAME}/labels", [TRAINED[0]]).select("day", "rain")
    joined = rows.join(labels, on="day")
    answers = predict_probability(model, joined, signature.features)
    expected = roc_auc_score(joined["rain"].to_numpy(), answers)
    assert bench.backtest()["frozen"].metrics[TRAINED[0]]["auc"] == pytest.approx(expected)


def test_given_fewer_than_two_models_then_what_to_launch_is_said():
    bench = make_bench(ALONE | WATCHED)
    with pytest.raises(TrainingError) as none:
        bench.backtest()
    assert str(none.value) == (
        "backtest: 0 model(s) trained as of the first partition to the last, 2 are needed; launch "
        "seattle_ensemble__walk_forward over a range"
    )
    bench.make(TRAINED[0])
    with pytest.raises(TrainingError, match=f"1 model.s. trained as of {TRAINED[0]} to the last"):
        bench.backtest(TRAINED[0])
