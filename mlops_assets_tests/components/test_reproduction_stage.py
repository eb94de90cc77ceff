"""Made again from what was recorded, the same files come out, or it is said which did not."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest

from mlops_assets.components.stages.reproduction import newest_trained
from mlops_assets.components.stages.training import TrainedModel
from mlops_assets.lifecycle.errors import TrainingError
from mlops_assets_tests.components.bench import ALONE, RECENT, Bench, make_bench

UNREPEATABLE = {"estimator": "build_unrepeatable"}


@pytest.fixture
def bench() -> Bench:
    return make_bench()


def test_given_candidates_and_an_ensemble_then_all_of_them_are_made_again(bench):
    trained = bench.make()
    verdict = bench.reproduce()
    assert (verdict.outcome, verdict.reason) == (
        "passed",
        "3 of 3 models came out byte for byte the same",
    )
    assert set(verdict.evidence["expected"]) == {"trained_model", "recent", "seasonal"}
    assert verdict.evidence["came"]["trained_model"] == trained.digest


def test_the_newest_model_is_found_and_nothing_trained_is_an_error(bench):
    world = bench.world
    with pytest.raises(TrainingError, match="nothing was trained yet"):
        newest_trained(world.model, world.ledger)
    trained = bench.make()
    assert newest_trained(world.model, world.ledger) == trained.as_of


def test_given_one_estimator_then_one_model_is_made_again():
    bench = make_bench(ALONE)
    bench.make()
    assert bench.reproduce().reason == "1 of 1 models came out byte for byte the same"


def test_given_an_experiment_then_what_the_run_asked_for_is_made_again(bench):
    bench.make()
    bench.train(estimator="build_tree")
    assert bench.reproduce().passed


def test_given_a_calibrated_model_then_it_is_calibrated_again():
    training = {
        "split": ALONE["training"]["split"],
        "estimator": "build_tree",
        "parameters": {"classify__max_depth": None, "classify__min_samples_leaf": 1},
        "calibration": "sigmoid",
    }
    bench = make_bench({**ALONE, "training": training})
    assert bench.make().calibration == "sigmoid"
    assert bench.reproduce().passed


def test_given_an_estimator_without_a_seed_then_it_is_named_and_the_others_are_not():
    candidates = {"recent": RECENT, "chance": UNREPEATABLE}
    bench = make_bench({"candidates": candidates, "tuning": None, "ensemble": None})
    bench.make()
    verdict = bench.reproduce()
    assert verdict.outcome == "failed"
    expected, came = verdict.evidence["expected"], verdict.evidence["came"]
    assert came["recent"] == expected["recent"]
    assert came["chance"] != expected["chance"]
    assert "chance" in verdict.reason
    assert "recent" not in verdict.reason


def test_given_tables_rewritten_since_then_the_rows_are_those_recorded(bench):
    bench.make()
    rows = bench.tables.read("seattle_ensemble/features", ["2012-02-01"]).drop("partition")
    bench.tables.write("seattle_ensemble/features", {"2012-02-01": rows.head(5)})
    assert bench.reproduce().passed


def test_given_model_py_was_changed_since_then_nothing_can_be_said(bench, tmp_path):
    trained = bench.make()
    written = (bench.model.folder / "model.py").read_text()
    (tmp_path / "model.py").write_text(f"{written}\n# changed\n")
    edited = replace(bench.model, folder=tmp_path)
    bench.world = SimpleNamespace(model=edited, ledger=bench.world.ledger)
    verdict = bench.reproduce()
    assert verdict.outcome == "inconclusive"
    assert verdict.evidence == {"trained_with": trained.code}


def test_it_writes_nothing_to_the_ledger(bench):
    trained = bench.make()
    before = bench.world.ledger.position()
    bench.reproduce()
    assert bench.world.ledger.position() == before
    (row,) = bench.world.rows("trained_model")
    assert TrainedModel(**row) == trained


def test_given_nothing_was_trained_then_what_to_materialize_is_said(bench):
    with pytest.raises(TrainingError, match="materialize trained_model first"):
        bench.reproduce()
