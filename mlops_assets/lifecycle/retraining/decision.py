"""When to train again: often enough to help, seldom enough to be believed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from mlops_assets.lifecycle.retraining.policy import RetrainingPolicy
from mlops_assets.lifecycle.retraining.window import MonitoredWindow

if TYPE_CHECKING:
    from mlops_assets.lifecycle.calendar import Calendar
    from mlops_assets.lifecycle.rollout.state import Champion


@dataclass(frozen=True)
class RetrainingDecision:
    """``retrain`` as of partition ``as_of``, or ``skip``; ``reason`` says why in words."""

    action: Literal["retrain", "skip"]
    reason: str
    window: str | None = None
    as_of: str | None = None


def decide_retraining(
    windows: Sequence[MonitoredWindow],
    champion: Champion | None,
    calendar: Calendar,
    policy: RetrainingPolicy,
    *,
    asked: Sequence[tuple[str, str]] = (),
) -> RetrainingDecision:
    """Whether the drift seen against the champion asks for a new training.

    Only reports against the version that serves count, so one episode of drift, answered by a
    new champion, never asks twice. ``asked``: earlier requests as (window, as_of); they start
    the cooldown too, so a retraining that did not make it to champion is not asked for weekly.
    """
    if policy.mode == "disabled":
        return RetrainingDecision("skip", "retraining is disabled")
    if champion is None:
        return RetrainingDecision("skip", "there is no champion to compare with")
    ours = sorted(
        (window for window in windows if window.version == champion.version),
        key=lambda window: window.partition,
    )[-policy.windows :]
    if not ours:
        return RetrainingDecision("skip", f"no drift report against {champion.version} yet")
    newest = ours[-1].partition
    drifted = sum(window.drift == "failed" for window in ours)
    counted = (
        f"{drifted} of the last {len(ours)} windows drifted from {champion.version} "
        f"({policy.violated} of {policy.windows} are needed)"
    )
    as_of = calendar.next(newest)
    objection = _objection(ours, drifted, policy) or _too_soon(
        newest, as_of, champion, calendar, policy, asked
    )
    if objection:
        return RetrainingDecision("skip", f"{objection}; {counted}", newest)
    reason = f"{counted}; newest {newest}: {ours[-1].reason}"
    if policy.mode == "dry_run":
        said = f"dry run, would retrain as of {as_of}: {reason}"
        return RetrainingDecision("skip", said, newest, as_of)
    return RetrainingDecision("retrain", reason, newest, as_of)


def _objection(
    windows: Sequence[MonitoredWindow], drifted: int, policy: RetrainingPolicy
) -> str | None:
    """Why the drift seen is not enough, or None."""
    if windows[-1].drift != "failed":
        return f"the newest window {windows[-1].partition} did not drift"
    return "too few windows drifted" if drifted < policy.violated else None


def _too_soon(
    newest: str,
    as_of: str | None,
    champion: Champion,
    calendar: Calendar,
    policy: RetrainingPolicy,
    asked: Sequence[tuple[str, str]],
) -> str | None:
    """Why it is not time yet, or None."""
    if as_of is None:
        return "the calendar ends with this window"
    last = max([champion.train_as_of, *(other for window, other in asked if window < newest)])
    waited = sum(last <= key < as_of for key in calendar.keys)
    if waited >= policy.cooldown:
        return None
    return f"trained or asked for {waited} partition(s) ago, the cooldown is {policy.cooldown}"
