"""What the ledger has to tell people, and telling them: at least once, and seldom twice."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from mlops_assets.adapters.journal import write_once
from mlops_assets.adapters.ports import Alerts, Clock, Ledger
from mlops_assets.lifecycle.alerting import (
    SHOWN,
    Alert,
    AlertPolicy,
    Group,
    Occurrence,
    Told,
    plan_alerts,
    write_message,
)
from mlops_assets.lifecycle.errors import EndpointError

LOOK_BACK = timedelta(days=8)
"""What happened longer ago is not told any more: a service may be away for a week."""

_SENDING = timedelta(seconds=30)
"""How long a tick begins further messages: Dagster ends it after a minute, and a service that
hangs takes seconds for each. The next tick goes on."""


def tell(
    occurrences: Sequence[Occurrence],
    explain: Callable[[Occurrence], Occurrence],
    ledger: Ledger,
    alerts: Alerts,
    clock: Clock,
    policy: AlertPolicy,
) -> list[str]:
    """Send what is due and record it; returns the titles that were sent.

    ``explain`` adds the cause to those a message shows. A message is recorded after it was sent:
    whoever is killed in between sends it again. Raises ``EndpointError`` at the end for what
    nobody received, and for addresses that missed a message others received, which is not sent
    again.
    """
    sent: list[str] = []
    lost: list[str] = []
    missed: list[str] = []
    now = clock.now()
    for alert in plan_alerts(occurrences, read_told(ledger, occurrences), now, policy):
        if clock.now() - now > _SENDING:
            lost.append("the others have to wait for the next tick")
            break
        shown = tuple(explain(one) for one in alert.occurrences[:SHOWN])
        told = replace(alert, occurrences=shown + alert.occurrences[SHOWN:])
        title, body = write_message(told, policy)
        try:
            missed += alerts.send(title, body)
        except (EndpointError, OSError) as error:
            lost.append(str(error))
            continue
        _record(ledger, alert, title, now)
        sent.append(title)
    if lost or missed:
        raise EndpointError(f"{len(sent)} alert(s) sent; " + "; ".join(lost + missed))
    return sent


def read_told(ledger: Ledger, occurrences: Iterable[Occurrence]) -> dict[Group, Told]:
    """What people know of the groups there is something to say about."""
    told = {}
    for group in {occurrence.key for occurrence in occurrences}:
        row = ledger.latest("alert", group.model, _subject(group))
        if row:
            known = row.body["told"]
            members = {name: datetime.fromisoformat(at) for name, at in known.items()}
            told[group] = Told(datetime.fromisoformat(row.body["at"]), members)
    return told


def _record(ledger: Ledger, alert: Alert, title: str, now: datetime) -> None:
    body = {
        "title": title,
        "occurrences": len(alert.occurrences),
        "at": alert.told.at.isoformat(),
        "told": {name: at.isoformat() for name, at in alert.told.members.items()},
    }
    write_once(ledger, "alert", alert.group.model, _subject(alert.group), body, now)


def _subject(group: Group) -> str:
    """The column of a database is as long as that."""
    return f"{group.kind}/{group.name}"[:200]
