"""A search draws, prunes and stores the same, whichever worker is faster and wherever it stops."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from itertools import accumulate
from random import Random
from statistics import median
from types import SimpleNamespace

import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlops_assets.adapters import optuna_search
from mlops_assets.adapters.fold_workers import InProcess, Measured
from mlops_assets.adapters.optuna_search import Search
from mlops_assets.adapters.optuna_trials import measure_importance, read_trial, to_distribution
from mlops_assets.lifecycle.errors import TrainingError
from mlops_assets.lifecycle.tuning import Dimension, Tuning

FOLDS = 3
SPACE = {
    "rate": Dimension(0.01, 1.0, log=True),
    "leaves": Dimension(2, 9, int=True),
    "loss": Dimension(choices=("log", "square")),
}


class StoppedError(Exception):
    """Somebody stopped the search."""


def cost(parameters, fold):
    return (
        parameters["rate"] * (1 + fold) + parameters["leaves"] / 9 + (parameters["loss"] == "log")
    )


@dataclass
class Counted:
    """The objective; it stops before its call number ``stop``."""

    stop: int | None = None
    folds: int = FOLDS
    cost: Callable = cost
    calls: list = field(default_factory=list)

    def __call__(self, parameters, fold):
        if len(self.calls) == self.stop:
            raise StoppedError
        self.calls.append((dict(parameters), fold))
        return self.cost(parameters, fold)


@dataclass
class AnyOrder:
    """Workers of which any may be the next to end."""

    objective: Counted
    random: Random

    def run(self, tasks, follow):
        waiting = list(tasks)
        while waiting:
            task = waiting.pop(self.random.randrange(len(waiting)))
            waiting.extend(follow(task, Measured(self.objective(task.parameters, task.fold), 1.0)))


def search(study, tuning, workers, said=None, require_lock=lambda: None):
    """Search a study to its end; ``said`` hears of its trials."""
    found = Search("study", tuning, study)
    while found.stopped is None:
        report = said.append if said is not None else lambda _: None
        found.run_round(workers, workers.objective.folds, report, require_lock)
    return found.conclude(found.stopped)


def in_process(study, tuning, objective=None, said=None):
    return search(study, tuning, InProcess(objective or Counted()), said)


tunings = st.builds(
    Tuning,
    space=st.just(SPACE),
    trials=st.integers(1, 14),
    seed=st.integers(0, 50),
    workers=st.integers(1, 4),
    pruning=st.booleans(),
)


@settings(max_examples=25)
@given(tunings, st.integers(0, 1000))
def test_whichever_worker_is_faster_the_trials_are_the_same(tuning, order):
    orderly, said = [], []
    expected = in_process(optuna.create_study(), tuning, said=orderly)
    workers = AnyOrder(Counted(), Random(order))
    assert search(optuna.create_study(), tuning, workers, said) == expected
    assert said == orderly == list(expected.trials)


@settings(max_examples=25)
@given(tunings, st.lists(st.integers(0, 14), max_size=3), st.integers(0, 1000))
def test_wherever_a_search_stops_it_goes_on_as_an_unbroken_one(tuning, stops, order):
    expected = in_process(optuna.create_study(), tuning)
    study, said = optuna.create_study(), []
    for stop in stops:
        try:
            search(study, tuning, AnyOrder(Counted(stop), Random(order)), said)
        except StoppedError:
            continue
    assert search(study, tuning, AnyOrder(Counted(), Random(order)), said) == expected
    assert said == list(expected.trials)


@settings(max_examples=15)
@given(tunings, st.lists(st.integers(1, 14), min_size=1, max_size=4))
def test_trials_that_are_asked_for_in_portions_are_those_asked_for_at_once(tuning, portions):
    study = optuna.create_study()
    for trials in portions:
        asked = replace(tuning, trials=trials)
        assert in_process(study, asked) == in_process(optuna.create_study(), asked)
    assert len(study.trials) == max(portions)


def expected_pruning(trials, workers):
    """Whether each trial is given up, and after which fold, by the rule as it is written."""
    means = [[total / n for n, total in enumerate(accumulate(t.folds), 1)] for t in trials]
    for number, trial in enumerate(trials):
        known = means[: number // workers * workers]
        complete = [of for of in known if len(of) == FOLDS]
        given_up = None
        for fold in range(FOLDS - 1):
            earlier = [of[fold] for of in complete]
            if given_up is None and len(complete) >= 3 and fold < len(trial.folds):
                poor = min(means[number][: fold + 1]) > median(earlier)
                given_up = fold + 1 if poor else None
        yield given_up


@settings(max_examples=25)
@given(st.integers(0, 100), st.integers(1, 4))
def test_a_trial_is_given_up_when_it_is_worse_than_the_median_of_earlier_rounds(seed, workers):
    tuning = Tuning(SPACE, trials=14, seed=seed, workers=workers, pruning=True)
    objective = Counted()
    result = in_process(optuna.create_study(), tuning, objective)
    given_up = [len(trial.folds) if trial.pruned else None for trial in result.trials]
    assert given_up == list(expected_pruning(result.trials, workers))
    assert len(objective.calls) == sum(len(trial.folds) for trial in result.trials)


def test_pruning_spares_folds():
    objective = Counted()
    in_process(optuna.create_study(), Tuning(SPACE, trials=14, pruning=True), objective)
    assert 14 < len(objective.calls) < 14 * FOLDS


def test_without_pruning_every_trial_comes_to_its_last_fold():
    result = in_process(optuna.create_study(), Tuning(SPACE, trials=14, seed=1))
    assert {len(trial.folds) for trial in result.trials} == {FOLDS}


def test_with_one_fold_nothing_can_be_pruned():
    objective = Counted(folds=1)
    tuning = Tuning(SPACE, trials=14, seed=1, pruning=True)
    assert len(in_process(optuna.create_study(), tuning, objective).values) == 14


def test_a_search_may_not_write_once_its_lock_is_lost():
    study, held = optuna.create_study(), iter([True, True, False])

    def require_lock():
        if not next(held):
            raise TrainingError("lost")

    with pytest.raises(TrainingError, match="lost"):
        search(study, Tuning(SPACE), InProcess(Counted()), [], require_lock)
    assert len(study.trials) == 2


def test_a_trial_is_stored_as_optuna_shows_one():
    study = optuna.create_study()
    tuning = Tuning(SPACE, trials=14, seed=1, pruning=True)
    result = in_process(study, tuning)
    for ours, stored in zip(result.trials, study.trials, strict=True):
        means = [sum(ours.folds[:n]) / n for n in range(1, len(ours.folds) + 1)]
        assert stored.number == ours.number - 1
        assert stored.params == ours.parameters
        assert stored.state.name == ("PRUNED" if ours.pruned else "COMPLETE")
        assert list(stored.intermediate_values.values()) == pytest.approx(means)
        assert stored.duration.total_seconds() == pytest.approx(ours.seconds, abs=1e-5)
        assert read_trial(SPACE, stored, ours.number) == ours
    assert study.best_params == result.parameters
    assert study.best_value == result.value


class Watch:
    """Time that a fold takes a second of."""

    def __init__(self, patch):
        self.now = 0.0
        patch.setattr(optuna_search, "time", SimpleNamespace(monotonic=lambda: self.now))
        self.objective, self.folds = Counted(), FOLDS

    def __call__(self, parameters, fold):
        self.now += 1
        return self.objective(parameters, fold)


@pytest.fixture
def watch(monkeypatch):
    return Watch(monkeypatch)


@pytest.mark.parametrize(
    ("timeout", "workers", "trials"),
    [(0.001, 1, 1), (0.001, 2, 2), (3.0, 1, 1), (3.001, 1, 2), (7.0, 1, 3), (7.0, 2, 4)],
)
def test_once_the_time_is_spent_no_further_round_begins(watch, timeout, workers, trials):
    tuning = Tuning(SPACE, trials=10, timeout=timeout, workers=workers)
    result = in_process(optuna.create_study(), tuning, watch)
    assert (len(result.trials), result.stopped) == (trials, "time")


def test_time_is_counted_over_all_calls_and_more_of_it_goes_on(watch):
    study, tuning = optuna.create_study(), Tuning(SPACE, trials=6, timeout=7.0)
    first = in_process(study, tuning, watch)
    watch.now += 1000  # between two calls nobody searches
    assert in_process(study, tuning, watch) == first
    longer = in_process(study, replace(tuning, timeout=10.0), watch)
    assert (len(longer.trials), longer.stopped) == (4, "time")
    whole = in_process(study, replace(tuning, timeout=None), watch)
    assert whole == in_process(optuna.create_study(), replace(tuning, timeout=None), watch)
    assert (len(whole.trials), whole.stopped) == (6, "trials")


def test_a_search_that_ends_in_time_is_stopped_by_its_trials(watch):
    result = in_process(optuna.create_study(), Tuning(SPACE, trials=2, timeout=6.0), watch)
    assert result.stopped == "trials"


def test_what_decides_the_value_is_what_matters():
    objective = Counted(cost=lambda parameters, _: abs(parameters["rate"] - 0.1))
    result = in_process(optuna.create_study(), Tuning(SPACE, trials=40), objective)
    assert sum(result.importance.values()) == pytest.approx(1)
    assert next(iter(result.importance)) == "rate"
    assert result.importance["rate"] > 0.5


@pytest.mark.parametrize("trials", [1, 2])
def test_too_few_trials_tell_no_importance(trials):
    assert in_process(optuna.create_study(), Tuning(SPACE, trials=trials)).importance == {}


def test_when_no_trial_is_better_than_another_then_nothing_matters():
    objective = Counted(cost=lambda *_: 1.0)
    result = in_process(optuna.create_study(), Tuning(SPACE, trials=12), objective)
    assert result.importance == {}
    assert measure_importance([]) == {}


@pytest.mark.parametrize(
    ("dimension", "distribution"),
    [
        (Dimension(0.5, 2.0), optuna.distributions.FloatDistribution(0.5, 2.0)),
        (Dimension(0.5, 2.0, log=True), optuna.distributions.FloatDistribution(0.5, 2.0, log=True)),
        (Dimension(1, 9, int=True), optuna.distributions.IntDistribution(1, 9)),
        (
            Dimension(1, 9, int=True, log=True),
            optuna.distributions.IntDistribution(1, 9, log=True),
        ),
        (
            Dimension(choices=("a", True, 0.5)),
            optuna.distributions.CategoricalDistribution(("a", True, 0.5)),
        ),
    ],
)
def test_a_range_is_drawn_from_as_it_is_declared(dimension, distribution):
    assert to_distribution(dimension) == distribution
