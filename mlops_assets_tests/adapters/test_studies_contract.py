"""Studies: the same seed finds the same, and an interrupted one goes on."""

from __future__ import annotations

import signal
import subprocess
import sys
from dataclasses import replace

import pytest

from mlops_assets.adapters.in_memory import InMemoryStudies
from mlops_assets.adapters.optuna_studies import OptunaStudies
from mlops_assets.lifecycle.errors import TrainingError
from mlops_assets.lifecycle.tuning import Dimension, Tuning

TUNING = Tuning(
    space={
        "rate": Dimension(0.01, 1.0, log=True),
        "share": Dimension(-1.0, 1.0),
        "leaves": Dimension(2, 9, int=True),
        "loss": Dimension(choices=("log", "square")),
    },
    trials=8,
    seed=7,
)

KILLED = """
import os, signal, sys
from pathlib import Path
from mlops_assets.adapters.optuna_studies import OptunaStudies
from mlops_assets.lifecycle.tuning import Dimension, Tuning
trials = []
def objective(parameters):
    if len(trials) == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    trials.append(parameters)
    print(parameters["share"], flush=True)
    return parameters["share"] ** 2
tuning = Tuning({"share": Dimension(-1.0, 1.0)}, trials=8)
OptunaStudies(Path(sys.argv[1])).optimise("study", tuning, objective, lambda message: None)
"""


class StoppedError(Exception):
    """Somebody stopped the study."""


def loss(parameters):
    return parameters["share"] ** 2 + parameters["leaves"] + (parameters["loss"] == "log")


def run(studies, tuning=TUNING, *, name="study", objective=loss):
    """The result, what was tried and what was reported."""
    tried, said = [], []

    def noted(parameters):
        value = objective(parameters)
        tried.append(dict(parameters))
        return value

    return studies.optimise(name, tuning, noted, said.append), tried, said


def interrupt(studies, after, *, name="study", tuning=TUNING):
    """What was tried before a study was interrupted in the middle of a trial."""
    tried = []

    def objective(parameters):
        if len(tried) == after:
            raise StoppedError
        tried.append(dict(parameters))
        return loss(parameters)

    with pytest.raises(StoppedError):
        studies.optimise(name, tuning, objective, lambda _: None)
    return tried


class StudiesContract:
    def test_a_study_runs_its_trials_and_the_lowest_value_wins(self, studies):
        result, tried, _ = run(studies)
        assert result.values == tuple(loss(parameters) for parameters in tried)
        assert len(tried) == 8
        assert result.value == min(result.values)
        assert result.parameters == tried[result.values.index(result.value)]

    def test_parameters_lie_in_their_ranges_and_have_their_types(self, studies):
        _, tried, _ = run(studies, replace(TUNING, trials=30))
        for parameters in tried:
            assert list(parameters) == list(TUNING.space)
            assert 0.01 <= parameters["rate"] <= 1
            assert -1 <= parameters["share"] <= 1
            assert parameters["leaves"] in range(2, 10)
            assert type(parameters["leaves"]) is int
        assert {parameters["loss"] for parameters in tried} == {"log", "square"}
        assert min(parameters["rate"] for parameters in tried) < 0.1

    def test_choices_keep_their_types(self, studies):
        space = {"choice": Dimension(choices=(True, 0.5, "text"))}
        _, tried, _ = run(studies, Tuning(space, trials=20), objective=len)
        assert {repr(parameters["choice"]) for parameters in tried} == {"True", "0.5", "'text'"}

    def test_the_same_seed_gives_the_same_best(self, studies, elsewhere):
        here, tried, _ = run(studies)
        there, tried_there, _ = run(elsewhere)
        assert there == here
        assert tried_there == tried

    def test_another_seed_tries_something_else(self, studies, elsewhere):
        _, tried, _ = run(studies)
        _, other, _ = run(elsewhere, replace(TUNING, seed=8))
        assert other != tried

    def test_each_trial_is_reported_with_its_number(self, studies):
        result, _, said = run(studies)
        assert len(said) == 8
        for number, (message, value) in enumerate(zip(said, result.values, strict=True), start=1):
            assert f"{number} of 8" in message
            assert f"{value:.5f}" in message

    @pytest.mark.parametrize("after", [0, 1, 5])
    def test_given_an_interrupted_study_when_it_runs_again_then_only_the_rest_is_tried(
        self, studies, after
    ):
        before = interrupt(studies, after)
        result, tried, said = run(studies)
        assert len(tried) == len(said) == 8 - after
        assert result.values == tuple(loss(parameters) for parameters in before + tried)
        assert result.value == min(result.values)

    def test_given_an_interrupted_study_then_the_rest_is_as_if_nothing_had_happened(
        self, studies, elsewhere
    ):
        before = interrupt(studies, 3)
        _, tried, _ = run(studies)
        _, whole, _ = run(elsewhere)
        assert before + tried == whole

    def test_given_an_interrupted_study_when_it_goes_on_then_nothing_is_tried_twice(self, studies):
        before = interrupt(studies, 4)
        _, tried, _ = run(studies)
        assert len({parameters["share"] for parameters in before + tried}) == 8

    def test_given_an_interrupted_study_then_its_reports_count_on(self, studies):
        interrupt(studies, 3)
        interrupt(studies, 0)
        _, _, said = run(studies)
        assert [message.split(":")[0] for message in said] == [
            f"trial {n} of 8" for n in range(4, 9)
        ]

    def test_a_name_may_have_a_folder(self, studies):
        before = interrupt(studies, 3, name="model/2013-W10")
        result, tried, _ = run(studies, name="model/2013-W10")
        assert result.values == tuple(loss(parameters) for parameters in before + tried)

    def test_given_a_complete_study_then_nothing_more_is_tried(self, studies):
        first, _, _ = run(studies)
        second, tried, said = run(studies)
        assert second == first
        assert (tried, said) == ([], [])

    def test_given_a_complete_study_when_more_trials_are_asked_for_then_it_goes_on(self, studies):
        first, _, _ = run(studies)
        second, tried, _ = run(studies, replace(TUNING, trials=11))
        assert second.values[:8] == first.values
        assert len(tried) == 3

    def test_studies_of_other_names_do_not_mix(self, studies):
        first, tried, _ = run(studies, name="model-2013-W10-0123456789ab")
        second, tried_again, _ = run(studies, name="model-2013-W11-0123456789ab")
        assert tried_again == tried
        assert second == first


class TestInMemoryStudies(StudiesContract):
    @pytest.fixture
    def studies(self):
        return InMemoryStudies()

    @pytest.fixture
    def elsewhere(self):
        return InMemoryStudies()


class TestOptunaStudies(StudiesContract):
    @pytest.fixture
    def studies(self, tmp_path):
        return OptunaStudies(tmp_path / "deep" / "here")

    @pytest.fixture
    def elsewhere(self, tmp_path):
        return OptunaStudies(tmp_path / "deep" / "there")

    @pytest.mark.parametrize("after", [1, 11, 15])
    def test_a_long_interrupted_study_is_as_if_nothing_had_happened(
        self, studies, elsewhere, after
    ):
        # Optuna draws its first ten trials at random and learns from then on.
        tuning = replace(TUNING, trials=16)
        before = interrupt(studies, after, tuning=tuning)
        again = interrupt(studies, 0, tuning=tuning)
        result, tried, _ = run(studies, tuning)
        whole, all_tried, _ = run(elsewhere, tuning)
        assert before + again + tried == all_tried
        assert result == whole

    @pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
    def test_an_objective_that_is_not_finite_is_an_error_that_names_the_parameters(
        self, studies, value
    ):
        with pytest.raises(TrainingError, match=r"'share': ") as raised:
            run(studies, objective=lambda _: value)
        assert str(value) in str(raised.value)
        assert len(run(studies)[0].values) == 8

    def test_when_a_study_is_killed_then_its_finished_trials_are_kept(self, studies):
        killed = subprocess.run(
            [sys.executable, "-c", KILLED, str(studies.root)],
            capture_output=True,
            text=True,
            check=False,
        )
        assert killed.returncode == -signal.SIGKILL
        before = tuple(float(line) ** 2 for line in killed.stdout.split())
        tuning = Tuning({"share": Dimension(-1.0, 1.0)}, trials=8)
        result, tried, _ = run(studies, tuning, objective=lambda p: p["share"] ** 2)
        assert len(before) == 3
        assert result.values[:3] == before
        assert len(result.values) == 8
        assert len(tried) == 5
