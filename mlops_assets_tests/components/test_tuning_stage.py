"""The search for parameters: one study per candidate, nothing tried twice, every trial told."""

from __future__ import annotations

from typing import Any

import pytest

from mlops_assets.adapters.in_memory import InMemoryStudies
from mlops_assets.components.stages.training_sets import read_recorded
from mlops_assets.components.stages.tuning import read_tuned
from mlops_assets.lifecycle.errors import TrainingError
from mlops_assets.lifecycle.tuning import Trial, TuningResult
from mlops_assets_tests.components.bench import (
    AS_OF,
    RECENT,
    SEASONAL,
    Bench,
    make_bench,
)

WIDE = {"classify__C": {"low": 0.01, "high": 50, "log": True}}


@pytest.fixture
def bench() -> Bench:
    made = make_bench()
    made.plan()
    return made


class RememberingStudies(InMemoryStudies):
    """Studies that keep under which name they were asked for, and with what."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def optimise(self, name: str, tuning: Any, objective: Any, report: Any) -> TuningResult:
        self.names.append(name)
        return super().optimise(name, tuning, objective, report)


class PruningStudies:
    """A study whose second trial is given up after its first fold."""

    def optimise(self, *asked: Any) -> TuningResult:
        *_, report = asked
        parameters = {"classify__C": 0.5}
        trials = (Trial(1, parameters, 0.6, (0.6,), 1.0), Trial(2, parameters, None, (0.9,), 1.0))
        for trial in trials:
            report(trial)
        return TuningResult(parameters, 0.6, trials)


class TestStudy:
    def test_only_candidates_with_a_space_are_searched(self, bench):
        results = bench.study()
        assert set(results) == {"recent"}
        assert set(results["recent"].parameters) == {"classify__C"}
        assert len(results["recent"].trials) == 2

    def test_a_space_may_come_from_a_function_of_model_py(self, bench):
        tree = {"estimator": "build_tree", "space_from": "build_space"}
        other = bench.stating(candidates={"recent": RECENT, "tree": tree})
        assert set(other.study()["tree"].parameters) == {"classify__max_depth"}

    def test_a_trial_is_judged_on_the_validation_rows_with_its_parameters(self, bench):
        """The loss of the best, computed again by the candidate fitted on the same fold."""
        (result,) = bench.study().values()
        assert result.value == min(trial.value for trial in result.trials)
        assert 0.3 < result.value < 0.8

    def test_what_was_found_is_recorded_for_the_training_set(self, bench):
        results = bench.study()
        (row,) = bench.world.rows("study", AS_OF)
        assert row["training_set"] == read_recorded(bench.model, AS_OF, bench.world.ledger).digest
        assert row["candidates"]["recent"]["parameters"] == results["recent"].parameters

    def test_the_log_says_each_trial_and_the_best(self, bench):
        bench.study()
        assert [line.split(": ")[0] for line in bench.said] == ["recent"] * 3
        assert "trial 2 of 2" in bench.said[1]
        assert "best" in bench.said[2]


class TestAgain:
    def test_given_nothing_changed_then_nothing_is_tried_and_the_same_is_found(self, bench):
        first, again = bench.study(), bench.study()
        assert again == first
        assert len(bench.world.rows("study")) == 1
        assert [len(run.children) for run in bench.tracking.runs] == [2, 0]

    def test_given_more_trials_then_only_those_are_made(self, bench):
        bench.study()
        more = bench.stating(tuning={"trials": 3})
        (result,) = more.study().values()
        assert len(result.trials) == 3
        assert list(bench.tracking.runs[-1].children) == ["recent trial 3"]

    @pytest.mark.parametrize(
        "changes",
        [
            {"candidates": {"recent": {**RECENT, "space": WIDE}, "seasonal": SEASONAL}},
            {"tuning": {"trials": 2, "seed": 8}},
            {
                "candidates": {
                    "recent": {**RECENT, "space": WIDE, "parameters": {"classify__tol": 0.1}},
                    "seasonal": SEASONAL,
                }
            },
        ],
        ids=["another space", "another seed", "another fixed parameter"],
    )
    def test_given_what_decides_it_changed_then_it_is_a_new_study(self, bench, changes):
        bench.studies = RememberingStudies()
        bench.study()
        other = bench.stating(**changes)
        other.study()
        assert len(set(bench.studies.names)) == 2
        assert len(bench.tracking.runs[-1].children) == 2

    def test_given_other_rows_then_it_is_a_new_study(self, bench):
        bench.studies = RememberingStudies()
        bench.study()
        bench.plan(rows="complete_cases")
        bench.study()
        assert len(set(bench.studies.names)) == 2
        assert all(
            name.startswith(f"seattle_ensemble-recent-{AS_OF}-") for name in bench.studies.names
        )


class TestTracking:
    def test_each_trial_is_a_child_with_its_parameters_and_loss(self, bench):
        (result,) = bench.study().values()
        (run,) = bench.tracking.runs
        assert run.status == "FINISHED"
        assert run.metrics == {"recent_log_loss": result.value}
        for trial in result.trials:
            child = run.children[f"recent trial {trial.number}"]
            assert (child.params, child.status) == (trial.parameters, "FINISHED")
            assert child.metrics == {"log_loss": trial.value}

    def test_a_trial_that_was_given_up_is_killed_and_has_no_loss(self, bench):
        bench.studies = PruningStudies()
        bench.study()
        children = bench.tracking.runs[-1].children
        assert [child.status for child in children.values()] == ["FINISHED", "KILLED"]
        assert children["recent trial 2"].metrics == {}

    def test_the_rows_searched_on_are_named(self, bench):
        bench.study()
        (dataset,) = bench.tracking.runs[-1].datasets
        assert (dataset.context, dataset.rows) == ("tuning", 240)

    def test_a_search_that_fails_leaves_a_failed_run_and_no_record(self, bench):
        broken = bench.stating(
            candidates={
                "recent": {**RECENT, "space": {"no_such_parameter": {"low": 0, "high": 1}}},
                "seasonal": SEASONAL,
            }
        )
        with pytest.raises((TrainingError, ValueError), match="no_such_parameter"):
            broken.study()
        assert bench.tracking.runs[-1].status == "FAILED"
        assert bench.world.rows("study") == []


class TestReadTuned:
    def tuned(self, bench):
        planned = read_recorded(bench.model, AS_OF, bench.world.ledger)
        return read_tuned(bench.world.ledger, bench.model, planned)

    def test_given_no_study_then_nothing_is_tuned(self, bench):
        assert self.tuned(bench) == {}

    def test_given_a_study_of_these_rows_then_its_best_parameters_are_read(self, bench):
        results = bench.study()
        assert self.tuned(bench) == {"recent": dict(results["recent"].parameters)}

    def test_given_a_study_of_other_rows_then_it_does_not_count(self, bench):
        bench.study()
        bench.plan(rows="complete_cases")
        assert self.tuned(bench) == {}

    def test_given_tuning_was_removed_from_the_yaml_then_what_it_found_does_not_count(self, bench):
        bench.study()
        without = bench.stating(tuning=None, candidates={"recent": RECENT, "seasonal": SEASONAL})
        assert self.tuned(without) == {}
