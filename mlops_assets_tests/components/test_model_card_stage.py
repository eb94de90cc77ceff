"""The model card says of a model what was recorded about it, and nothing else."""

from __future__ import annotations

from datetime import timedelta

import pytest

from mlops_assets_tests.components.bench import ALONE, AS_OF, Bench, make_bench

GATES = {"minimum": {"auc": 0.6}, "minimum_rows": 60}


@pytest.fixture
def bench() -> Bench:
    made = make_bench()
    made.make()
    return made


def test_it_names_model_data_verdict_and_owners(bench):
    done = bench.evaluate()
    card = bench.card(done)
    assert card.startswith(f"# seattle_ensemble, as of {AS_OF}")
    assert done.trained.digest[:12] in card
    assert done.trained.training_set[:12] in card
    assert "Verdict **passed**: 2 of 2 passed" in card
    assert "team:weather" in card
    assert bench.model.spec.description in card


def test_it_says_what_the_model_is_made_of_and_why(bench):
    card = bench.card(bench.evaluate())
    (weighed,) = bench.world.rows("ensemble", AS_OF)
    assert weighed["verdict"]["reason"] in card
    for name in ("recent", "seasonal"):
        assert name in card


def test_it_counts_the_rows_of_each_part_and_from_when_to_when(bench):
    card = bench.card(bench.evaluate())
    assert "| fit | 240 | 2012-01-01 | 2012-04-01 |" in card
    assert "| calibration | 120 | 2012-05-01 | 2012-06-01 |" in card
    assert "| test | 120 | 2012-07-01 | 2012-08-01 |" in card


def test_given_no_rows_for_calibration_then_it_does_not_speak_of_them():
    split = {**ALONE["training"]["split"], "calibration": 0}
    bench = make_bench(ALONE | {"training": {"split": split, "estimator": "build_recent"}})
    bench.make()
    assert "| calibration |" not in bench.card(bench.evaluate())


def test_it_has_every_gate_with_its_reason(bench):
    done = bench.evaluate()
    card = bench.card(done)
    for gate in done.gates:
        assert gate.name in card
        assert gate.reason in card


def test_the_card_of_a_verdict_that_stands_is_the_same(bench):
    first = bench.card(bench.evaluate())
    again = bench.evaluate()
    assert again.reused
    assert bench.card(again) == first


def test_given_a_champion_then_it_is_compared_with_by_its_version(bench):
    trained, _ = bench.train(estimator="build_tree")
    bench.world.crown("v7", trained.digest, "2012-08-01")
    bench.train()
    assert "v7" in bench.card(bench.evaluate())


def test_given_an_override_then_it_says_by_whom_and_why():
    bench = make_bench({"gates": {**GATES, "minimum": {"auc": 1.0}}})
    bench.make()
    done = bench.evaluate()
    assert "the flight desk" not in bench.card(done)
    until = bench.world.clock.now() + timedelta(days=1)
    bench.world.override(done.trained.digest, until)
    card = bench.card(done)
    assert "the flight desk" in card
    assert "the drop is known and accepted" in card
    assert "Verdict **failed**" in card
