"""From a trained model to a verdict: bound by digests, on the same rows as the champion."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from sklearn.metrics import roc_auc_score

from mlops_assets.adapters.in_memory import InMemoryStagingServer
from mlops_assets.components.stages import evaluation
from mlops_assets.components.stages.evaluation import describe_gates
from mlops_assets.components.stages.training_sets import load_split
from mlops_assets.lifecycle.errors import FeatureError, TrainingError
from mlops_assets.lifecycle.staging import StagedAnswers
from mlops_assets.lifecycle.training import predict_probability
from mlops_assets.lifecycle.verdicts import Verdict
from mlops_assets_tests.components.bench import ALONE, AS_OF, Bench, make_bench
from mlops_assets_tests.examples.seattle_ensemble import model as science

CHAMPION = {"minimum_rows": 60, "champion": {"metric": "brier", "margin": 0.5}}


@pytest.fixture
def bench() -> Bench:
    made = make_bench(ALONE)
    made.make()
    return made


class Drifting(InMemoryStagingServer):
    """A server whose version answers a little more than it should."""

    def measure(self, signature: Any, digest: str, rows: Any, samples: int) -> StagedAnswers:
        said = super().measure(signature, digest, rows, samples)
        more = tuple(None if p is None else min(p + 0.01, 1.0) for p in said.probabilities)
        return replace(said, probabilities=more)


def judged(bench: Bench, **gates: Any) -> evaluation.Evaluated:
    """Evaluate the same model by other gates."""
    return bench.stating(**ALONE | {"gates": {"minimum_rows": 60, **gates}}).evaluate()


def gates_of(done: evaluation.Evaluated) -> dict[str, str]:
    return {gate.name: gate.outcome for gate in done.gates}


class TestVerdict:
    def test_it_binds_model_data_science_and_gates(self, bench):
        done = bench.evaluate()
        trained = done.trained
        (verdict,) = bench.world.rows("verdict", trained.digest)
        assert done.verdict.passed, done.verdict.reason
        assert verdict["model"] == trained.digest
        assert verdict["training_set"] == trained.training_set
        assert verdict["code"] == bench.model.code_digest
        assert verdict["policy"] == bench.model.policy_digest
        assert verdict["outcome"] == "passed"

    def test_there_is_one_gate_for_each_name_that_was_announced(self, bench):
        names = [gate.name for gate in bench.evaluate().gates]
        assert names == bench.model.spec.gates.names == ["auc_is_high_enough", "nothing_leaks"]

    def test_it_is_about_the_test_rows_measured_from_the_files(self, bench):
        done = bench.evaluate()
        split = load_split(bench.model, AS_OF, bench.tables, bench.world.ledger)[1]
        model, signature = bench.files.load(done.trained.digest)
        answers = predict_probability(model, split.test, signature.features)
        truth = split.test["rain"].cast(int).to_numpy()
        assert done.report.metrics["auc"] == pytest.approx(roc_auc_score(truth, answers))
        assert done.report.rows == split.test.height == 120

    def test_given_gates_that_fail_then_so_does_the_verdict_and_it_says_which(self, bench):
        done = judged(bench, minimum={"auc": 1.0})
        assert done.verdict.outcome == "failed"
        assert done.verdict.reason.startswith("auc_is_high_enough: auc 0.")

    def test_given_too_few_rows_then_it_is_inconclusive_and_that_is_no_pass(self, bench):
        done = judged(bench, minimum={"auc": 0.6}, minimum_rows=9000)
        assert (done.verdict.outcome, done.verdict.passed) == ("inconclusive", False)

    def test_given_no_model_then_what_to_materialize_is_said(self):
        bench = make_bench(ALONE)
        bench.plan()
        with pytest.raises(TrainingError, match="materialize trained_model first"):
            bench.evaluate()

    def test_gates_are_shown_as_rows_of_a_table(self):
        gate = Verdict("auc_is_high_enough", "failed", "auc 0.5")
        assert describe_gates([gate]) == [
            {"gate": "auc_is_high_enough", "outcome": "failed", "reason": "auc 0.5"}
        ]


class TestStands:
    """A verdict is given again only when something it rests on has changed."""

    def test_given_nothing_changed_then_it_stands(self, bench):
        first = bench.evaluate()
        again = bench.evaluate()
        assert (first.reused, again.reused) == (False, True)
        assert again.report.metrics == first.report.metrics
        assert [(g.name, g.outcome, g.reason) for g in again.gates] == [
            (g.name, g.outcome, g.reason) for g in first.gates
        ]
        assert (again.verdict.outcome, again.verdict.reason) == (
            first.verdict.outcome,
            first.verdict.reason,
        )
        assert len(bench.world.rows("verdict")) == 1

    def test_asked_for_again_it_is_judged_again(self, bench):
        bench.evaluate()
        assert not bench.evaluate(again=True).reused

    def test_given_a_failed_verdict_then_it_stands_too(self, bench):
        strict = bench.stating(**ALONE | {"gates": {"minimum": {"auc": 1.0}, "minimum_rows": 60}})
        strict.evaluate()
        again = strict.evaluate()
        assert again.reused
        assert again.verdict.outcome == "failed"

    def test_given_other_gates_then_it_is_judged_again(self, bench):
        bench.evaluate()
        assert not bench.stating(**ALONE | {"gates": {"minimum": {"auc": 0.5}}}).evaluate().reused

    def test_given_other_costs_or_slices_then_it_is_judged_again(self, bench):
        bench.evaluate()
        sliced = bench.stating(**ALONE | {"evaluation": {"slices": {"wet": "rain_rate_3d > 0.5"}}})
        done = sliced.evaluate()
        assert not done.reused
        assert done.report.slices

    def test_given_a_new_champion_then_it_is_judged_again(self, bench):
        bench.evaluate()
        other, _ = bench.train(estimator="build_tree")
        bench.world.crown("v1", other.digest, "2012-08-01")
        bench.train()
        assert not bench.evaluate().reused

    def test_given_another_model_then_it_is_judged_by_itself(self, bench):
        bench.evaluate()
        bench.train(estimator="build_tree")
        assert not bench.evaluate().reused
        assert len(bench.world.rows("verdict")) == 2


class TestChampion:
    def champion(self, bench: Bench, as_of: str) -> str:
        other, _ = bench.train(estimator="build_tree")
        bench.world.crown("v1", other.digest, as_of)
        bench.train()
        return other.digest

    def test_it_is_measured_on_the_same_rows(self, bench):
        digest = self.champion(bench, "2012-08-01")
        done = judged(bench, **CHAMPION)
        assert done.champion.rows == done.report.rows
        assert done.champion.metrics != done.report.metrics
        assert gates_of(done)["is_no_worse_than_champion"] == "passed"
        (verdict,) = bench.world.rows("verdict", done.trained.digest)
        assert verdict["champion"] == digest

    def test_given_one_trained_later_then_it_is_not_compared_with_on_rows_it_has_seen(self, bench):
        self.champion(bench, "2012-12-01")
        done = judged(bench, **CHAMPION)
        gate = next(g for g in done.gates if g.name == "is_no_worse_than_champion")
        assert done.champion is None
        assert (gate.outcome, gate.reason) == (
            "inconclusive",
            "v1 was trained later, as of 2012-12-01",
        )
        assert not done.verdict.passed

    def test_given_the_champion_itself_then_there_is_none_to_compare_with(self, bench):
        trained, _ = bench.train()
        bench.world.crown("v1", trained.digest)
        done = judged(bench, **CHAMPION)
        assert done.champion is None
        assert gates_of(done)["is_no_worse_than_champion"] == "passed"


class TestGates:
    def test_in_the_server_it_answers_as_it_did_in_the_test(self, bench):
        done = judged(bench, serving={"rows": 40, "samples": 30, "megabytes": 20})
        assert gates_of(done)["serves_what_was_tested"] == "passed"
        assert gates_of(done)["is_small_enough"] == "passed"

    def test_given_a_server_that_answers_something_else_then_it_fails(self, bench):
        gates = {"serving": {"rows": 40, "samples": 20}}
        w = bench.stating(**ALONE | {"gates": gates}).world
        server = Drifting(bench.files)
        done = evaluation.evaluate(
            w.model, AS_OF, bench.tables, w.ledger, bench.files, server, w.clock
        )
        assert gates_of(done)["serves_what_was_tested"] == "failed"
        assert not done.verdict.passed

    def test_given_no_serving_gate_then_no_server_is_asked(self, bench):
        w = bench.world
        done = evaluation.evaluate(
            w.model, AS_OF, bench.tables, w.ledger, bench.files, None, w.clock
        )
        assert done.verdict.passed

    def test_a_behaviour_is_asked_of_the_model(self, bench):
        done = judged(bench, behaviour=["rain_yesterday_raises_the_risk"])
        assert gates_of(done)["rain_yesterday_raises_the_risk"] == "passed"

    def test_given_a_model_that_does_the_opposite_then_the_behaviour_fails(self, bench):
        """The season alone knows nothing of yesterday, so nothing rises."""
        bench.train(estimator="build_seasonal")
        done = judged(bench, behaviour=["rain_yesterday_raises_the_risk"])
        assert gates_of(done)["rain_yesterday_raises_the_risk"] == "failed"

    def test_given_a_function_that_states_no_behaviour_then_it_is_named(self, bench, monkeypatch):
        name = "rain_yesterday_raises_the_risk"
        monkeypatch.setattr(science, name, lambda rows: rows)
        with pytest.raises(FeatureError, match=name):
            judged(bench, behaviour=[name])

    def test_given_a_row_fitted_on_among_those_tested_then_it_leaks(self, bench):
        """A day of the fitted months is put among those of the test."""
        for table in ("features", "labels"):
            name = f"{bench.model.name}/{table}"
            early = bench.tables.read(name, ["2012-02-01"]).drop("partition")
            late = bench.tables.read(name, ["2012-07-01"]).drop("partition")
            doubled = late.with_columns(day=early["day"])
            bench.tables.write(name, {"2012-07-01": doubled})
        bench.make()
        assert gates_of(bench.evaluate())["nothing_leaks"] == "failed"

    def test_slices_are_judged_beside_the_whole(self, bench):
        sections = {
            **ALONE,
            "evaluation": {"slices": {"wet": "case when rain_rate_3d > 0.5 then 1 else 0 end"}},
            "gates": {"minimum_rows": 60, "slices": {"limit": 0.9, "minimum_rows": 20}},
        }
        done = bench.stating(**sections).evaluate()
        assert gates_of(done)["no_slice_is_worse"] == "passed"
        assert set(done.report.slices["wet"]) == {"0", "1"}
