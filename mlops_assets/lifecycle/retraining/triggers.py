"""What each trigger says: whether it asks for a retraining, and why or why not in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlops_assets.lifecycle.retraining.episode import (
    Signal,
    find_answer,
    find_episode,
    signal_of,
)
from mlops_assets.lifecycle.retraining.history import Ask, RetrainingHistory
from mlops_assets.lifecycle.retraining.policy import RetrainingPolicy, Trigger
from mlops_assets.lifecycle.retraining.window import MonitoredWindow

if TYPE_CHECKING:
    from mlops_assets.lifecycle.calendar import Calendar

OFF = "off in defs.yaml"
_VERBS = {"drift": "drifted from", "performance": "were worse than the test of"}
_FINE = {"drift": "did not drift", "performance": "was as good as the test"}


@dataclass(frozen=True)
class Consideration:
    """What one trigger says. ``due``: it asks, for ``episode``, before cooldown and budget."""

    trigger: Trigger
    due: bool
    said: str
    episode: str | None = None


def consider_by_hand(history: RetrainingHistory) -> Consideration:
    """A person who asks is heard, whatever was asked before; the last of several is told."""
    if not history.by_hand:
        return Consideration("by_hand", False, "nobody asked")
    ask = history.by_hand[-1]
    return Consideration("by_hand", True, f"{ask.by} asked: {ask.reason}", ask.episode)


def consider_signal(
    signal: Signal, history: RetrainingHistory, policy: RetrainingPolicy
) -> Consideration:
    """Drift or performance: enough of the last windows, the newest among them, once an episode."""
    assert history.champion is not None
    version, windows = history.champion.version, history.served
    if not (policy.triggers.drift if signal == "drift" else policy.triggers.performance):
        return Consideration(signal, False, OFF)
    judged = [w for w in windows if signal == "drift" or signal_of(w, signal) != "inconclusive"]
    if not judged:
        wanted = "drift report" if signal == "drift" else "window with enough labels"
        return Consideration(signal, False, f"no {wanted} against {version} yet")
    last = judged[-policy.windows :]
    violated = sum(signal_of(window, signal) == "failed" for window in last)
    counted = (
        f"{violated} of the last {len(last)} windows {_VERBS[signal]} {version} "
        f"({policy.violated} of {policy.windows} are needed){_bugs(last)}"
    )
    if objection := _objection(signal, last, violated, policy):
        return Consideration(signal, False, f"{objection}; {counted}")
    first = find_episode(windows, policy.triggers, signal)
    assert first is not None  # the newest judged window is violated
    if answer := find_answer(history.earlier, version, first):
        return Consideration(signal, False, f"{_say_answered(first, answer)}; {counted}")
    reason = last[-1].reason if signal == "drift" else last[-1].performance_reason
    said = f"{counted}; newest {last[-1].partition}: {reason}"
    return Consideration(signal, True, said, f"{version}/{first}")


def consider_schedule(
    history: RetrainingHistory, calendar: Calendar, policy: RetrainingPolicy, as_of: str
) -> Consideration:
    """So many partitions after the last training, whether or not anything is wrong.

    One that ended without coming to serve left the champion as old as it was: the schedule is due
    again after the cooldown.
    """
    every = policy.triggers.every
    if every is None:
        return Consideration("schedule", False, OFF)
    last = history.last_standing
    waited = count_partitions(calendar, last, as_of)
    said = f"{waited} partition(s) since the training as of {last}, one is due every {every}"
    return Consideration("schedule", waited >= every, said, _since(history, history.last_training))


def consider_new_data(history: RetrainingHistory, policy: RetrainingPolicy) -> Consideration:
    """So many rows with a label since the last training."""
    needed = policy.triggers.new_rows
    if needed is None:
        return Consideration("new_data", False, OFF)
    last = history.last_training
    # Rows of a partition whose window is not known yet would be asked for under the one before.
    newest = history.newest or ""
    rows = sum(rows for key, rows in history.labelled.items() if last <= key <= newest)
    said = f"{rows:,} labelled rows since the training as of {last}, {needed:,} are needed"
    return Consideration("new_data", rows >= needed, said, _since(history, last))


def count_partitions(calendar: Calendar, first: str, last: str) -> int:
    """The partitions from ``first`` up to, not including, ``last``."""
    return sum(first <= key < last for key in calendar.keys)


def _objection(
    signal: Signal, last: Sequence[MonitoredWindow], violated: int, policy: RetrainingPolicy
) -> str | None:
    """Why what was seen is not enough, or None."""
    newest = last[-1]
    if newest.cause == "data_bug":
        return f"the newest window {newest.partition} has a bug in its data: paged, not retrained"
    found = signal_of(newest, signal)
    if found != "failed":
        said = _FINE[signal] if found == "passed" else "could not be judged"
        return f"the newest window {newest.partition} {said}"
    if violated < policy.violated:
        return "too few windows drifted" if signal == "drift" else "too few windows were worse"
    return None


def _bugs(windows: Sequence[MonitoredWindow]) -> str:
    """Windows that would count but for a bug in their data."""
    bugs = [window.partition for window in windows if window.cause == "data_bug"]
    return f", not counting data bugs in {', '.join(bugs)}" if bugs else ""


def _say_answered(first: str, answer: Ask) -> str:
    """That the episode was answered, what became of that, and what a person can do."""
    fate = answer.fate or "what became of it is not known"
    who = "a person" if answer.trigger == "by_hand" else answer.trigger.replace("_", " ")
    return (
        f"asked for already in {answer.window} by {who}, as of "
        f"{answer.as_of}: {fate}; one retraining for the episode that began in {first}, ask by "
        "hand for another"
    )


def _since(history: RetrainingHistory, last: str) -> str:
    assert history.champion is not None
    return f"{history.champion.version}/since {last}"
