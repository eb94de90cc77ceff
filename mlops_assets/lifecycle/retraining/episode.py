"""An episode: an unbroken run of violated windows against one champion. It is answered once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from mlops_assets.lifecycle.retraining.history import Ask
from mlops_assets.lifecycle.retraining.policy import Triggers
from mlops_assets.lifecycle.retraining.window import MonitoredWindow
from mlops_assets.lifecycle.verdicts import Outcome

Signal = Literal["drift", "performance"]


def signal_of(window: MonitoredWindow, signal: Signal) -> Outcome:
    """What a window says; one with a bug in its data says nothing, neither good nor bad."""
    if window.cause == "data_bug":
        return "inconclusive"
    return window.drift if signal == "drift" else window.performance


def is_violated(window: MonitoredWindow, triggers: Triggers) -> bool:
    """Whether anything the policy watches says so."""
    drifted = triggers.drift and signal_of(window, "drift") == "failed"
    worse = triggers.performance is not None and signal_of(window, "performance") == "failed"
    return drifted or worse


def find_episode(
    windows: Sequence[MonitoredWindow], triggers: Triggers, signal: Signal
) -> str | None:
    """The first violated partition of the run that reaches to the newest window, None when there
    is none.

    A window that is fine by this signal ends the run; one that could not be judged does not: a
    week without labels is no good week.
    """
    first: str | None = None
    for window in reversed(windows):
        if is_violated(window, triggers):
            first = window.partition
        elif signal_of(window, signal) == "passed":
            break
    return first


def find_answer(earlier: Sequence[Ask], version: str, first: str) -> Ask | None:
    """What was asked for in the episode that began in window ``first``, whatever asked; what was
    withdrawn answers nothing."""
    kept = [ask for ask in earlier if ask.version == version and not ask.withdrawn]
    answers = [ask for ask in kept if (ask.window or "") >= first]
    return answers[-1] if answers else None
