"""Workers: every fold is fitted once, and no process outlives the one that asked."""

from __future__ import annotations

import importlib
import multiprocessing
import os
import signal
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_assets.adapters.fold_workers import InProcess, Task, open_workers
from mlops_assets.lifecycle.errors import TrainingError

SOURCE = '''
"""Objectives that workers import, and a program that is killed while they work."""

import os, signal, sys, time
from dataclasses import dataclass


@dataclass(frozen=True)
class Called:
    """It does what the parameters name."""

    folds: int = 2

    def __call__(self, parameters, fold):
        return globals()[parameters["do"]](parameters, fold)


def process(parameters, fold):
    return os.getpid()


def weigh(parameters, fold):
    return parameters["weight"] + fold / 10


def threads(parameters, fold):
    from threadpoolctl import threadpool_info
    import sklearn.linear_model

    return max(pool["num_threads"] for pool in threadpool_info())


def fail(parameters, fold):
    raise ZeroDivisionError("the estimator failed")


def die(parameters, fold):
    os.kill(os.getpid(), signal.SIGKILL)


def hang(parameters, fold):
    print("hanging", flush=True)
    time.sleep(120)


if __name__ == "__main__":
    from mlops_assets.adapters.fold_workers import Task, open_workers

    import fold_objectives

    with open_workers("study", fold_objectives.Called(), 2) as workers:
        workers.run([Task(n, {"do": "hang"}, 0) for n in range(2)], lambda *_: [])
'''


@pytest.fixture(scope="module")
def objectives(tmp_path_factory):
    """A module that workers can import, as a model.py is one."""
    folder = tmp_path_factory.mktemp("importable")
    (folder / "fold_objectives.py").write_text(SOURCE)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        yield importlib.import_module("fold_objectives")
        del sys.modules["fold_objectives"]


@pytest.fixture(scope="module")
def two(objectives):
    with open_workers("study", objectives.Called(), 2) as workers:
        yield workers


def tasks(do, count=6, **parameters):
    return [Task(n // 2, {"do": do, **parameters}, n % 2) for n in range(count)]


def measured(workers, tasks):
    """What the tasks came to, by trial and fold."""
    found = {}

    def follow(task, of):
        assert (task.trial, task.fold) not in found
        assert of.seconds >= 0
        found[task.trial, task.fold] = of.value
        return []

    workers.run(tasks, follow)
    return found


def test_folds_are_fitted_in_two_processes_that_are_not_this_one(two):
    found = measured(two, tasks("process", count=40))
    assert len(set(found.values())) == 2
    assert float(os.getpid()) not in found.values()


def test_one_worker_is_this_process(objectives):
    with open_workers("study", objectives.Called(), 1) as workers:
        assert set(measured(workers, tasks("process")).values()) == {float(os.getpid())}


def test_several_workers_measure_what_one_does(two, objectives):
    asked = tasks("weigh", weight=3)
    expected = {(trial, fold): 3 + fold / 10 for trial in range(3) for fold in range(2)}
    assert measured(two, asked) == measured(InProcess(objectives.Called()), asked) == expected


def test_what_follows_a_fold_is_fitted_too(two):
    def follow(task, of):
        seen.append(of.value)
        return [Task(0, {**task.parameters, "weight": of.value + 1}, 0)] if of.value < 8 else []

    seen = []
    two.run([Task(0, {"do": "weigh", "weight": 5}, 0)], follow)
    assert seen == [5.0, 6.0, 7.0, 8.0]


@given(st.integers(1, 5), st.integers(1, 4))
def test_in_one_process_a_trial_ends_before_the_next_begins(trials, folds):
    seen = []

    def follow(task, _):
        seen.append((task.trial, task.fold))
        return [Task(task.trial, {}, task.fold + 1)] if task.fold + 1 < folds else []

    InProcess(lambda *_: 0.5).run([Task(n, {}, 0) for n in range(trials)], follow)
    assert seen == [(trial, fold) for trial in range(trials) for fold in range(folds)]


def test_workers_share_the_cores(two):
    found = measured(two, tasks("threads"))
    assert set(found.values()) == {float(max(1, os.cpu_count() // 2))}


def test_what_an_objective_raises_is_raised_here(two):
    with pytest.raises(ZeroDivisionError, match="the estimator failed"):
        measured(two, tasks("fail"))
    assert len(measured(two, tasks("process"))) == 6


def test_a_worker_that_is_killed_is_an_error_that_says_what_to_do(objectives):
    with (
        pytest.raises(TrainingError, match="tuning delays: a worker process ended while it fitted"),
        open_workers("delays", objectives.Called(), 2) as workers,
    ):
        measured(workers, tasks("die"))


def test_an_objective_that_cannot_be_sent_is_refused():
    with (
        pytest.raises(TrainingError, match="tuning delays: the objective cannot be sent"),
        open_workers("delays", lambda *_: 0.5, 2),
    ):
        pass


class EnoughError(Exception):
    """Whoever asked wants no more."""


def test_leaving_ends_workers_in_the_middle_of_a_fold(objectives):
    def follow(*_):
        raise EnoughError

    before = set(multiprocessing.active_children())
    with pytest.raises(EnoughError), open_workers("study", objectives.Called(), 2) as workers:
        workers.run([Task(0, {"do": "hang"}, 0), Task(1, {"do": "process"}, 0)], follow)
    assert set(multiprocessing.active_children()) <= before


def test_kill_9_of_the_process_ends_its_workers_in_the_middle_of_a_fold(objectives):
    program = subprocess.Popen(
        [sys.executable, objectives.__file__], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert [program.stdout.readline() for _ in range(2)] == [b"hanging\n"] * 2
    os.kill(program.pid, signal.SIGKILL)
    # The workers hold the same output: it ends when the last of them has.
    program.communicate(timeout=60)
    assert program.returncode == -signal.SIGKILL
