"""What people are told, and when: grouped, not repeated while it lasts, the most urgent first."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal, get_args

Kind = Literal[
    "data_bug", "rollback", "run_failed", "sensor_failed", "stale", "drift", "retraining"
]
"""What a message can be about, the most urgent first."""

KINDS: tuple[Kind, ...] = get_args(Kind)

PAGES: tuple[Kind, ...] = ("data_bug",)
"""What wakes somebody unless the policy says otherwise."""

OVER: frozenset[Kind] = frozenset({"rollback", "run_failed", "retraining"})
"""What has happened and does not last: no reminders."""

SHOWN = 3
"""How many of a group a message shows; the others it counts."""

MANY: dict[Kind, str] = {
    "data_bug": "{group}: the data of {count} partitions is broken",
    "rollback": "{group}: {count} times out of traffic",
    "run_failed": "{count} runs of {group} failed",
    "sensor_failed": "{count} sensors and schedules of {group} fail",
    "stale": "{count} assets of {group} are stale",
    "drift": "{group}: {count} drifts",
    "retraining": "{group}: {count} trainings asked for",
}
_AGES = 1_000_000
"""In hours more than a century."""

_LONGEST = 500
"""Characters of a cause that a message shows."""

_NAMED = (
    r"(?:password|passwd|passphrase|pwd|secret|token|credentials?|amz-signature|(?<=[?&])sig"
    r"|(?:api|access|account|private)[_-]?key)"
)
_SECRETS = (
    # All up to the last @ before the path, or a password that holds slashes.
    (re.compile(r"(\w://)(?:[^\s/]+|[^\s/:@]*:(?!\d+/)[^\s@]{1,200})@"), r"\1***@"),
    (re.compile(r"(?i)\b(bearer\s+)[\w.~+/=-]{6,}"), r"\1***"),
    # A header of HTTP, with or without the scheme before what is secret.
    (
        re.compile(
            r"(?i)(\bauthorization[\"']?\s*[=:]\s*[\"']?(?:(?:basic|bearer|digest|token)\s+)?)"
            r"[^\s,;\"'}]+"
        ),
        r"\1***",
    ),
    (re.compile(r"(?s)(-----BEGIN [A-Z ]*PRIVATE KEY-----).*?(?=-----END|\Z)"), r"\1***"),
    # NAME=value, name: value, "name": "value", --name value
    (
        re.compile(
            rf"(?i)({_NAMED}(?:_\w{{1,40}})?[\"']?\s*[=:]\s*|--(?:[a-z]\w*-)*{_NAMED}\s+)"
            r"(?:\"(?:\\.|[^\"\\])*\"?|'(?:\\.|[^'\\])*'?|[^\s&,;'\"}]+)"
        ),
        r"\1***",
    ),
)


@dataclass(frozen=True)
class AlertPolicy:
    """Which ``kinds`` are told. What lasts is told again after ``remind_after`` hours. More of a
    group that was told of waits until ``pause`` minutes after that, and comes in one message.

    Each kind that ``pages`` has that word before its title, for a service to act on.
    """

    kinds: tuple[Kind, ...] = KINDS
    pages: tuple[Kind, ...] = PAGES
    remind_after: float = 24.0
    pause: float = 10.0

    def __post_init__(self) -> None:
        for name in ("kinds", "pages"):
            unknown = [kind for kind in getattr(self, name) if kind not in KINDS]
            if unknown:
                raise ValueError(
                    f"{name}: unknown kind '{unknown[0]}', allowed are {', '.join(KINDS)}"
                )
        # What is no number, or longer than a clock can add, would fail each tick.
        if not 0 < self.remind_after <= _AGES:
            raise ValueError(
                f"remind_after must be above 0 hours, at most {_AGES}, got {self.remind_after}"
            )
        if not 0 <= self.pause <= _AGES:
            raise ValueError(
                f"pause must not be negative, at most {_AGES} minutes, got {self.pause}"
            )


@dataclass(frozen=True)
class Occurrence:
    """Something to tell: what of ``model`` it is about (``subject``), and since when (``at``).

    What ended and came back is another occurrence by its ``at``. ``group``: what is told in one
    message with it, and how a message names all of them together; by default the subject alone.
    ``link`` is where to look, ``detail`` why.
    """

    kind: Kind
    model: str
    subject: str
    title: str
    detail: str
    link: str
    at: datetime
    group: str = ""

    @property
    def identity(self) -> str:
        """Two occurrences of a group with the same are one and the same."""
        return f"{self.subject}@{self.at.isoformat()}"

    @property
    def key(self) -> Group:
        """The group it belongs to."""
        return Group(self.kind, self.model, self.group or self.subject)


@dataclass(frozen=True, order=True)
class Group:
    """What comes in one message."""

    kind: Kind
    model: str
    name: str


@dataclass(frozen=True)
class Told:
    """What people know of a group: when they last heard of it, and of which occurrences when."""

    at: datetime
    members: Mapping[str, datetime]


@dataclass(frozen=True)
class Alert:
    """One message that is due. ``reminder``: all of it was told before and lasts. ``told``: what
    people know once it is sent."""

    group: Group
    occurrences: tuple[Occurrence, ...]
    reminder: bool
    told: Told


def plan_alerts(
    occurrences: Sequence[Occurrence],
    told: Mapping[Group, Told],
    now: datetime,
    policy: AlertPolicy,
) -> list[Alert]:
    """The messages that are due now, the most urgent first, the oldest first among equals.

    ``occurrences`` is all there is at the moment, told or not. A moment in ``told`` that is still
    to come, from a clock that was wrong, holds nothing back.
    """
    groups: dict[Group, dict[str, Occurrence]] = defaultdict(dict)
    for occurrence in sorted(occurrences, key=lambda o: (o.at, o.subject)):
        if occurrence.kind in policy.kinds:
            groups[occurrence.key].setdefault(occurrence.identity, occurrence)
    planned = (
        _plan_group(group, found, told.get(group, Told(now, {})), now, policy)
        for group, found in groups.items()
    )
    due = [alert for alert in planned if alert]
    return sorted(due, key=lambda a: (KINDS.index(a.group.kind), a.occurrences[0].at, a.group))


def _plan_group(
    group: Group,
    found: Mapping[str, Occurrence],
    before: Told,
    now: datetime,
    policy: AlertPolicy,
) -> Alert | None:
    remind, pause = timedelta(hours=policy.remind_after), timedelta(minutes=policy.pause)
    new = [name for name in found if name not in before.members]
    again = [
        name
        for name in found
        if group.kind not in OVER
        and name in before.members
        and not _within(now - before.members[name], remind)
    ]
    silent = bool(before.members) and _within(now - before.at, pause)
    if silent or not new + again:
        return None
    kept = {name: at for name, at in before.members.items() if name in found}
    return Alert(
        group,
        tuple(found[name] for name in found if name in new or name in again),
        reminder=not new,
        told=Told(now, {**kept, **dict.fromkeys(new + again, now)}),
    )


def _within(passed: timedelta, limit: timedelta) -> bool:
    return timedelta(0) <= passed < limit


def write_message(alert: Alert, policy: AlertPolicy) -> tuple[str, str]:
    """Title and body: the causes of the first few with their links, and how many more there are.

    What looks like a password or a token is left out.
    """
    shown, count = alert.occurrences[:SHOWN], len(alert.occurrences)
    if count == 1:
        title, body = shown[0].title, _describe(shown[0])
    else:
        title = MANY[alert.group.kind].format(group=alert.group.name, count=count)
        parts = [f"{occurrence.title}: {_describe(occurrence)}" for occurrence in shown]
        body = "\n\n".join(parts + ([f"and {count - SHOWN} more"] if count > SHOWN else []))
    said = f"still: {title}" if alert.reminder else title
    paged = f"page: {said}" if alert.group.kind in policy.pages else said
    return hide_secrets(paged), hide_secrets(body)


def _describe(occurrence: Occurrence) -> str:
    detail = hide_secrets(occurrence.detail)
    cut = detail if len(detail) <= _LONGEST else detail[:_LONGEST].rstrip() + " ..."
    return f"{cut}\n{occurrence.link}" if occurrence.link else cut


def hide_secrets(text: str) -> str:
    """The text without the credentials of addresses and the values of passwords and tokens."""
    for pattern, shown in _SECRETS:
        text = pattern.sub(shown, text)
    return text
