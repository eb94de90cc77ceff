"""How a study is searched in Optuna: rounds drawn from the rounds before, stored in order."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import TYPE_CHECKING, Literal

from mlops_assets.adapters.fold_workers import Measured, Task, Workers
from mlops_assets.adapters.optuna_trials import (
    freeze_trial,
    measure_importance,
    read_trial,
    to_distribution,
)
from mlops_assets.lifecycle.tuning import (
    Trial,
    Tuning,
    TuningResult,
    conclude_study,
    require_finite,
)

if TYPE_CHECKING:
    import optuna
    from optuna.trial import FrozenTrial

_UNPRUNED = 3
"""Complete trials before any is pruned: a median of fewer says little."""


class Search:
    """One call's work on a study that nobody else works on.

    ``stored`` is the study that lasts. It holds trials that ended, in the order of their numbers,
    each written at once: a process that is killed leaves nothing half done. Trials are drawn in a
    study in memory that holds the complete rounds before, so a draw depends on these, the seed and
    the trial's number alone.
    """

    def __init__(self, name: str, tuning: Tuning, stored: optuna.Study) -> None:
        self._name, self._tuning, self._stored = name, tuning, stored
        self._trials = _ended(stored)
        self._drawing = _study_in_memory(tuning)
        self._drawing.add_trials(self._trials[: self._round_begins])
        self._begun = time.monotonic() - self._spent

    @property
    def stopped(self) -> Literal["trials", "time"] | None:
        """What ends the search here, None when it has to go on. It depends on what is stored."""
        if len(self._trials) >= self._tuning.trials:
            return "trials"
        timeout = self._tuning.timeout
        return "time" if self._trials and timeout is not None and self._spent >= timeout else None

    def run_round(
        self,
        workers: Workers,
        folds: int,
        report: Callable[[Trial], None],
        require_lock: Callable[[], None],
    ) -> None:
        """Run what is missing of the current round, storing and reporting trials in order.

        ``require_lock`` is asked before each write and raises when this search may not write.
        """
        begins = self._round_begins
        ends = min(begins + self._tuning.workers, self._tuning.trials)
        drawn = [self._draw(index) for index in range(begins, ends)]

        def keep(drawn: optuna.Trial, losses: Sequence[float], seconds: float) -> None:
            require_lock()
            self._keep(drawn, losses, seconds, complete=len(losses) == folds)
            report(read_trial(self._tuning.space, self._trials[-1], len(self._trials)))

        missing = drawn[len(self._trials) - begins :]
        running = _Round(self._name, missing, folds, self._tuning.pruning, keep)
        workers.run(running.first_tasks(), running.follow)
        self._close_round(begins, drawn)

    def conclude(self, stopped: Literal["trials", "time"]) -> TuningResult:
        """The result of the trials asked for, whether this call ran them or an earlier one."""
        frozen = self._trials[: self._tuning.trials]
        trials = [
            read_trial(self._tuning.space, of, number) for number, of in enumerate(frozen, start=1)
        ]
        return conclude_study(self._name, trials, measure_importance(frozen), stopped)

    @property
    def _round_begins(self) -> int:
        """How many trials the complete rounds hold."""
        return len(self._trials) // self._tuning.workers * self._tuning.workers

    @property
    def _spent(self) -> float:
        """Seconds of search until the last trial was stored, in all calls."""
        return float(self._trials[-1].user_attrs["spent"]) if self._trials else 0.0

    def _draw(self, index: int) -> optuna.Trial:
        import optuna

        # Each trial has a seed of its own: a study that goes on draws what an unbroken one would.
        self._drawing.sampler = optuna.samplers.TPESampler(seed=self._tuning.seed + index)
        return self._drawing.ask(
            {key: to_distribution(of) for key, of in self._tuning.space.items()}
        )

    def _keep(
        self, drawn: optuna.Trial, losses: Sequence[float], seconds: float, *, complete: bool
    ) -> None:
        from optuna.trial import TrialState

        state = TrialState.COMPLETE if complete else TrialState.PRUNED
        spent = time.monotonic() - self._begun
        ended = freeze_trial(drawn, state, losses, {"seconds": seconds, "spent": spent})
        self._stored.add_trial(ended)
        self._trials.append(ended)

    def _close_round(self, begins: int, drawn: Sequence[optuna.Trial]) -> None:
        from optuna.trial import TrialState

        # A failed trial teaches Optuna nothing: what the next round learns from is added as stored.
        for trial in drawn:
            self._drawing.tell(trial, state=TrialState.FAIL)
        self._drawing.add_trials(self._trials[begins : self._round_begins])


@dataclass
class _Round:
    """The trials of a round while they run. ``keep`` hears of each that ended, in their order."""

    name: str
    drawn: Sequence[optuna.Trial]
    folds: int
    pruning: bool
    keep: Callable[[optuna.Trial, Sequence[float], float], None]
    _measured: dict[int, dict[int, Measured]] = field(default_factory=dict)
    _ended: set[int] = field(default_factory=set)
    _kept: int = 0

    def first_tasks(self) -> list[Task]:
        """All folds at once, or, where a fold decides on the next, the first of each trial."""
        folds = 1 if self.pruning else self.folds
        return [
            Task(trial, drawn.params, fold)
            for trial, drawn in enumerate(self.drawn)
            for fold in range(folds)
        ]

    def follow(self, task: Task, measured: Measured) -> Iterable[Task]:
        require_finite(self.name, measured.value, task.parameters, task.fold)
        known = self._measured.setdefault(task.trial, {})
        known[task.fold] = measured
        if len(known) == self.folds or (self.pruning and self._is_poor(task)):
            self._ended.add(task.trial)
            self._keep_in_order()
            return []
        return [Task(task.trial, task.parameters, task.fold + 1)] if self.pruning else []

    def _is_poor(self, task: Task) -> bool:
        """Whether the mean so far is worse than the median of the rounds before."""
        drawn = self.drawn[task.trial]
        drawn.report(fmean(self._losses(task.trial)), task.fold)
        return drawn.should_prune()

    def _keep_in_order(self) -> None:
        while self._kept in self._ended:
            measured = self._measured[self._kept].values()
            seconds = sum(of.seconds for of in measured)
            self.keep(self.drawn[self._kept], self._losses(self._kept), seconds)
            self._kept += 1

    def _losses(self, trial: int) -> list[float]:
        return [of.value for _, of in sorted(self._measured[trial].items())]


def _study_in_memory(tuning: Tuning) -> optuna.Study:
    import optuna

    pruner = optuna.pruners.MedianPruner(n_startup_trials=_UNPRUNED, n_warmup_steps=0)
    return optuna.create_study(pruner=pruner if tuning.pruning else optuna.pruners.NopPruner())


def _ended(study: optuna.Study) -> list[FrozenTrial]:
    from optuna.trial import TrialState

    return study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED))
