"""When to train again: often enough to help, seldom enough to be believed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from mlops_assets.lifecycle.retraining.history import Ask, RetrainingHistory
from mlops_assets.lifecycle.retraining.policy import RetrainingPolicy, Trigger
from mlops_assets.lifecycle.retraining.triggers import (
    OFF,
    Consideration,
    consider_by_hand,
    consider_new_data,
    consider_schedule,
    consider_signal,
    count_partitions,
)

if TYPE_CHECKING:
    from mlops_assets.lifecycle.calendar import Calendar


@dataclass(frozen=True)
class RetrainingDecision:
    """``retrain`` as of partition ``as_of``, or ``skip``; ``reason`` says why in words.

    ``window``: the newest monitored partition. ``trigger``: what asks, also in a dry run.
    ``episode``: what is answered; it stays the same from week to week. ``considered``: one
    sentence per trigger. ``version``: the champion that would be replaced.
    """

    action: Literal["retrain", "skip"]
    reason: str
    window: str | None = None
    as_of: str | None = None
    trigger: Trigger | None = None
    episode: str | None = None
    considered: tuple[str, ...] = ()
    version: str | None = None

    @property
    def ask(self) -> Ask | None:
        """What was asked for, as the next decisions have to know it; None for a skip."""
        if self.action == "skip" or self.as_of is None or self.trigger is None:
            return None
        version, episode = self.version or "", self.episode or ""
        return Ask(self.window, self.as_of, self.trigger, version, episode)


def decide_retraining(
    history: RetrainingHistory, calendar: Calendar, policy: RetrainingPolicy
) -> RetrainingDecision:
    """Whether anything asks for a new training, within cooldown and budget.

    The first of these that asks is followed: a person, performance, drift, new data, the
    schedule. A person passes cooldown and budget. Asking again about the same newest window
    gives the same answer, also after it was followed.
    """
    newest = history.newest
    champion = history.champion
    if policy.mode == "disabled":
        return RetrainingDecision("skip", "retraining is disabled", newest)
    by_hand = consider_by_hand(history)
    as_of = calendar.next(newest) if newest else None
    said = [by_hand, *_consider_rules(history, calendar, policy)]
    known = RetrainingDecision(
        "skip",
        "there is no champion to compare with",
        newest,
        considered=tuple(f"{each.trigger.replace('_', ' ')}: {each.said}" for each in said),
        version=champion.version if champion else None,
    )
    if by_hand.due and history.by_hand:
        return _follow(known, by_hand, history.by_hand[-1].as_of, policy)
    if champion is None:
        return known
    due = next((each for each in said if each.due), None)
    if due is None:
        return replace(known, reason=_say_skip(said[1:]))
    if objection := find_objection(history, calendar, policy, as_of):
        return replace(known, reason=f"{objection}; {due.said}")
    assert as_of is not None  # else there is an objection
    if told := history.told:
        # Rows that came late may give the episode another name, or another trigger its turn.
        due = replace(due, trigger=told.trigger, episode=told.episode)
    return _follow(known, due, as_of, policy)


def find_day_after(history: RetrainingHistory, calendar: Calendar) -> str:
    """The first date after the newest window, no partition where the calendar ends there; empty
    before the first window."""
    newest = history.newest
    return (calendar.next(newest) or calendar.end.isoformat()) if newest else ""


def count_budget_left(
    history: RetrainingHistory, calendar: Calendar, policy: RetrainingPolicy, as_of: str
) -> int:
    """How many more may be asked for as of a partition by anything but a person."""
    asked = {
        ask.as_of
        for ask in history.earlier
        if ask.trigger != "by_hand"
        and ask.as_of <= as_of
        and count_partitions(calendar, ask.as_of, as_of) < policy.budget.partitions
    }
    return max(policy.budget.retrainings - len(asked), 0)


def find_objection(
    history: RetrainingHistory,
    calendar: Calendar,
    policy: RetrainingPolicy,
    as_of: str | None,
) -> str | None:
    """Why it is not time yet for whatever asks but a person, or None."""
    if as_of is None:
        return "the calendar ends with this window"
    waited = count_partitions(calendar, history.last_training, as_of)
    if waited < policy.cooldown:
        return f"trained or asked for {waited} partition(s) ago, the cooldown is {policy.cooldown}"
    if count_budget_left(history, calendar, policy, as_of) < 1:
        budget = policy.budget
        return (
            f"the budget of {budget.retrainings} retraining(s) in {budget.partitions} partitions "
            "is spent, ask by hand for another"
        )
    return None


def _consider_rules(
    history: RetrainingHistory, calendar: Calendar, policy: RetrainingPolicy
) -> list[Consideration]:
    if history.champion is None:
        return []
    return [
        consider_signal("performance", history, policy),
        consider_signal("drift", history, policy),
        consider_new_data(history, policy),
        consider_schedule(history, calendar, policy, find_day_after(history, calendar)),
    ]


def _say_skip(said: Sequence[Consideration]) -> str:
    """What the triggers say, each by its name where there are several."""
    heard = [each for each in said if each.said != OFF]
    if not heard:
        return "only a person asks for a retraining: all triggers are off in defs.yaml"
    if len(heard) == 1:
        return heard[0].said
    return "; ".join(f"{each.trigger.replace('_', ' ')}: {each.said}" for each in heard)


def _follow(
    known: RetrainingDecision, due: Consideration, as_of: str, policy: RetrainingPolicy
) -> RetrainingDecision:
    """Do as the trigger asks, or only say so in a dry run."""
    asked = replace(known, as_of=as_of, trigger=due.trigger, episode=due.episode)
    if policy.mode == "dry_run":
        return replace(asked, reason=f"dry run, would retrain as of {as_of}: {due.said}")
    return replace(asked, action="retrain", reason=due.said)
