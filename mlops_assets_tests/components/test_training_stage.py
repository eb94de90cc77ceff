"""The one model that is judged: what it is made of, why, and when it is made again."""

from __future__ import annotations

from dataclasses import asdict

import pytest

from mlops_assets.components.definition import SOLE
from mlops_assets.components.stages.training import (
    Recipe,
    TrainedModel,
    choose_recipe,
    load_trained,
)
from mlops_assets.components.stages.training_sets import load_split, read_recorded
from mlops_assets.lifecycle.errors import TrainingError
from mlops_assets.lifecycle.training import predict_probability
from mlops_assets_tests.components.bench import (
    ALONE,
    AS_OF,
    RECENT,
    SEASONAL,
    SMALL,
    Bench,
    make_bench,
)

SPACE = {"classify__C": {"low": 0.01, "high": 1}}
SPLIT = SMALL["training"]["split"]


@pytest.fixture
def bench() -> Bench:
    return make_bench()


@pytest.fixture
def alone() -> Bench:
    made = make_bench(ALONE)
    made.plan()
    return made


def recipe_of(bench: Bench, estimator: str | None = None) -> Recipe:
    planned = read_recorded(bench.model, AS_OF, bench.world.ledger)
    return choose_recipe(bench.model, planned, bench.world.ledger, estimator)


def answers(bench: Bench, digest: str):
    split = load_split(bench.model, AS_OF, bench.tables, bench.world.ledger)[1]
    model, signature = bench.files.load(digest)
    return predict_probability(model, split.test, signature.features).tolist()


class TestRecipe:
    def test_given_no_candidates_then_it_is_the_only_estimator(self, alone):
        recipe = recipe_of(alone)
        assert (recipe.chosen, recipe.estimator) == (SOLE, "build_recent")
        assert (recipe.reason, recipe.members) == ("the only candidate", {})

    def test_given_a_study_of_the_only_estimator_then_its_best_parameters_are_taken(self):
        training = {**ALONE["training"], "parameters": {"classify__tol": 0.01}}
        stated = {"trials": 2, "space": SPACE}
        bench = make_bench({**ALONE, "training": training, "tuning": stated})
        bench.plan()
        (result,) = bench.study().values()
        expected = {"classify__tol": 0.01, **result.parameters}
        assert recipe_of(bench).parameters == expected
        assert bench.train()[0].parameters == expected

    def test_given_an_ensemble_that_is_better_then_it_is_its_members_and_weights(self, bench):
        trained = bench.make()
        (weighed,) = bench.world.rows("ensemble", AS_OF)
        assert trained.recipe["chosen"] == trained.estimator == "ensemble"
        assert trained.recipe["members"] == weighed["members"]
        assert trained.recipe["weights"] == weighed["weights"]
        assert trained.recipe["reason"] == weighed["verdict"]["reason"]

    def test_given_an_ensemble_that_is_no_better_then_it_is_the_member_that_was_chosen(self, bench):
        twice = {"recent": RECENT, "copy": {**RECENT, "parameters": {"classify__C": 0.9}}}
        stated = bench.stating(candidates=twice, tuning=None)
        trained = stated.make()
        (candidate,) = stated.world.rows("candidate", f"{AS_OF}/{trained.recipe['chosen']}")
        assert trained.estimator == "build_recent"
        assert trained.parameters == candidate["parameters"]
        assert trained.recipe["members"] == {trained.recipe["chosen"]: candidate["digest"]}
        assert answers(stated, trained.digest) == answers(stated, candidate["digest"])

    def test_given_no_ensemble_then_it_is_a_candidate_and_the_reason_says_which_loss(self, bench):
        stated = bench.stating(ensemble=None)
        trained = stated.make()
        (candidate,) = stated.world.rows("candidate", f"{AS_OF}/{trained.recipe['chosen']}")
        losses = {row["name"]: row["metrics"]["log_loss"] for row in stated.world.rows("candidate")}
        assert trained.recipe["chosen"] == min(losses, key=lambda name: losses[name])
        assert f"{candidate['metrics']['log_loss']:.4f}" in trained.recipe["reason"]

    def test_given_an_experiment_then_it_is_the_function_that_the_run_asked_for(self, bench):
        bench.make()
        recipe = recipe_of(bench, "build_tree")
        assert recipe == Recipe("experiment", "build_tree", "the run asked for build_tree")
        trained, _ = bench.train(estimator="build_tree")
        assert (trained.estimator, trained.recipe["members"]) == ("build_tree", {})

    def test_given_candidates_that_were_not_weighed_then_no_model_is_made(self, bench):
        bench.plan()
        bench.study()
        for name in ("recent", "seasonal"):
            bench.fit(name)
        with pytest.raises(TrainingError, match="were not weighed; materialize ensemble first"):
            bench.train()
        assert bench.world.rows("trained_model") == []

    def test_given_a_candidate_of_other_rows_then_no_model_is_made(self, bench):
        bench.make()
        bench.plan(rows="complete_cases")
        with pytest.raises(TrainingError, match="was not fitted on this training set"):
            bench.train()


class TestCalibration:
    @pytest.mark.parametrize("method", ["sigmoid", "isotonic"])
    def test_what_was_asked_for_is_applied_or_the_reason_says_why_not(self, method):
        training = {**ALONE["training"], "calibration": method}
        bench = make_bench({**ALONE, "training": training})
        trained = bench.make()
        assert trained.calibration in (method, "none")
        assert trained.calibrated.startswith(f"{method}: log loss ")
        better = " better by " in trained.calibrated
        assert better or trained.calibration == "none"

    def test_given_a_model_that_is_much_too_sure_then_it_is_calibrated_on_the_later_rows(self):
        """A tree that learned its rows by heart, and is asked about others."""
        training = {
            "split": SPLIT,
            "estimator": "build_tree",
            "parameters": {"classify__max_depth": None, "classify__min_samples_leaf": 1},
            "calibration": "sigmoid",
        }
        bench = make_bench({**ALONE, "training": training})
        trained = bench.make()
        assert trained.calibration == "sigmoid"
        assert trained.calibration_rows == 120
        model, _ = bench.files.load(trained.digest)
        assert type(model).__name__ == "CalibratedClassifierCV"

    def test_given_no_rows_for_it_then_nothing_is_calibrated(self):
        split = {**SPLIT, "calibration": 0}
        bench = make_bench({**ALONE, "training": {"split": split, "estimator": "build_recent"}})
        trained = bench.make()
        assert (trained.calibration, trained.calibrated) == (
            "none",
            "no rows are kept for calibration",
        )


class TestTrain:
    def test_given_no_plan_then_what_to_materialize_first_is_said(self, bench):
        with pytest.raises(TrainingError) as error:
            bench.train()
        assert str(error.value) == (
            "training set: none as of 2012-09-01; materialize training_set first"
        )

    def test_what_was_made_is_recorded_and_its_files_are_kept(self, alone):
        trained, reused = alone.train()
        assert not reused
        (row,) = alone.world.rows("trained_model", AS_OF)
        assert TrainedModel(**row) == trained
        assert load_trained(alone.model, AS_OF, alone.world.ledger) == trained
        _, signature = alone.files.load(trained.digest)
        assert signature.training_set == trained.training_set

    def test_its_tracking_run_names_data_parameters_and_digest(self, alone):
        trained, _ = alone.train()
        (run,) = alone.tracking.runs
        assert (run.run_id, run.status) == (trained.tracking_run, "FINISHED")
        assert run.params["digest"] == trained.digest
        assert run.params["code"] == alone.model.code_digest
        assert [of.context for of in run.datasets] == ["training"]
        assert run.metrics == {"fit_rows": 240, "test_rows": 120}
        assert trained.model_uri in run.models

    def test_given_no_model_then_loading_says_what_to_materialize(self, alone):
        with pytest.raises(TrainingError) as error:
            load_trained(alone.model, AS_OF, alone.world.ledger)
        assert str(error.value) == (
            "trained model: none as of 2012-09-01; materialize trained_model first"
        )

    def test_an_estimator_that_fails_leaves_a_failed_run_and_no_record(self, alone):
        with pytest.raises(TypeError):
            alone.train(estimator="build_space")
        assert [run.status for run in alone.tracking.runs] == ["FAILED"]
        assert alone.world.rows("trained_model") == []


class TestAgain:
    def test_given_nothing_changed_then_it_is_not_made_again(self, bench):
        first = bench.make()
        runs = len(bench.tracking.runs)
        assert bench.train() == (first, True)
        assert len(bench.tracking.runs) == runs
        assert len(bench.world.rows("trained_model")) == 1

    def test_asked_for_again_it_is_made_again_to_the_same_files(self, bench):
        first = bench.make()
        again, reused = bench.train(again=True)
        assert not reused
        assert (again.digest, again.identity) == (first.digest, first.identity)
        assert again.tracking_run != first.tracking_run

    @pytest.mark.parametrize(
        "training",
        [
            {**ALONE["training"], "seed": 8},
            {**ALONE["training"], "parameters": {"classify__C": 0.1}},
            {**ALONE["training"], "calibration": "sigmoid"},
            {**ALONE["training"], "estimator": "build_tree"},
        ],
        ids=["another seed", "another parameter", "another calibration", "another estimator"],
    )
    def test_given_what_decides_it_changed_then_it_is_made_again(self, alone, training):
        first, _ = alone.train()
        other, reused = alone.stating(**{**ALONE, "training": training}).train()
        assert not reused
        assert other.identity != first.identity

    def test_given_gates_changed_then_it_is_not_made_again(self, alone):
        alone.train()
        stricter = {**ALONE, "gates": {"minimum": {"auc": 0.9}}}
        assert alone.stating(**stricter).train()[1]

    def test_given_other_rows_then_it_is_made_again(self, alone):
        first, _ = alone.train()
        alone.plan(rows="complete_cases")
        other, reused = alone.train()
        assert (reused, other.training_set == first.training_set) == (False, False)

    def test_given_its_files_are_gone_then_it_is_made_again(self, alone):
        first, _ = alone.train()
        alone.files.folders.clear()
        again, reused = alone.train()
        assert (reused, again.digest) == (False, first.digest)

    def test_given_all_stages_run_again_then_no_record_or_version_is_added(self, bench):
        for _ in range(2):
            bench.make()
            bench.evaluate()
            bench.register()
        kinds = ("training_set", "study", "candidate", "ensemble", "trained_model")
        assert [len(bench.world.rows(kind)) for kind in kinds] == [1, 1, 2, 1, 1]
        assert [len(bench.world.rows(kind)) for kind in ("evaluation", "verdict", "version")] == [
            *(1, 1, 1)
        ]
        assert len(bench.world.registry.versions(bench.model.name)) == 1
        assert len(bench.files.folders) == 3

    def test_after_an_experiment_the_model_of_the_yaml_is_made_again(self, bench):
        first = bench.make()
        bench.train(estimator="build_tree")
        again, reused = bench.train()
        assert (reused, again.digest) == (False, first.digest)


def test_a_candidate_alone_needs_no_other(bench):
    """With one candidate named there is nothing to weigh, and it is taken."""
    one = bench.stating(candidates={"seasonal": SEASONAL}, ensemble=None, tuning=None)
    trained = one.make()
    assert asdict(trained)["recipe"]["chosen"] == "seasonal"
