"""Whether to train again: the policy asked about what monitoring has recorded."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from typing import Any

from mlops_assets.adapters.journal import read_champion, read_latest, write_once
from mlops_assets.adapters.ports import Clock, Ledger
from mlops_assets.components.definition import ModelDefinition
from mlops_assets.components.stages.performance import AS_SHADOW
from mlops_assets.components.stages.retraining_fates import find_fate
from mlops_assets.lifecycle.clearance import require_person
from mlops_assets.lifecycle.errors import RefusedError
from mlops_assets.lifecycle.performance import PerformanceReport
from mlops_assets.lifecycle.retraining.decision import (
    RetrainingDecision,
    count_budget_left,
    decide_retraining,
    find_day_after,
)
from mlops_assets.lifecycle.retraining.history import Ask, RetrainingHistory
from mlops_assets.lifecycle.retraining.performance import judge_performance
from mlops_assets.lifecycle.retraining.policy import Trigger
from mlops_assets.lifecycle.retraining.window import MonitoredWindow
from mlops_assets.lifecycle.rollout.state import Champion
from mlops_assets.lifecycle.verdicts import Verdict


def consider_retraining(model: ModelDefinition, ledger: Ledger) -> RetrainingDecision:
    """What the policy says about what is known by now. Reads the ledger only."""
    return decide_retraining(read_history(model, ledger), model.calendar, model.spec.retraining)


def record_retraining(
    model: ModelDefinition, key: str, ledger: Ledger, clock: Clock
) -> RetrainingDecision:
    """Decide and keep the decision under the newest window it rests on."""
    decision = consider_retraining(model, ledger)
    subject = decision.window or key
    write_once(ledger, "retraining", model.name, subject, asdict(decision), clock.now())
    return decision


def request_retraining(
    model: ModelDefinition,
    by: str,
    reason: str,
    as_of: str | None,
    ledger: Ledger,
    clock: Clock,
    *,
    request: str,
) -> str:
    """Record that a person asks for a training; says what was recorded.

    ``as_of``: by default the partition after the newest monitored one. ``request`` names the
    launch: the same again changes nothing. Raises ``RefusedError`` when it cannot be followed.
    """
    known = ledger.latest("retraining_request", model.name, request)
    if known is None:
        person = require_person("ask_for_retraining", by, reason)
        history = read_history(model, ledger)
        body = {
            "window": history.newest,
            "as_of": _require_as_of(model, as_of, history.newest, clock),
            "version": history.champion.version if history.champion else "",
            "by": person,
            "reason": reason.strip(),
        }
        known = write_once(ledger, "retraining_request", model.name, request, body, clock.now())
    record_retraining(model, known.body["as_of"], ledger, clock)
    return f"{model.name}: a training as of {known.body['as_of']} is asked for by hand"


def find_open_asks(
    model: ModelDefinition, history: RetrainingHistory, decision: RetrainingDecision, ledger: Ledger
) -> list[Ask]:
    """What a run has yet to answer: everything persons ask for, or else what was decided, or else
    the latest that was asked for while this champion serves, if nothing is trained as of then: its
    run may never have been launched, when no sensor ticked in time."""
    if model.spec.retraining.mode != "enabled":
        return []
    if asked := history.by_hand or [ask for ask in (decision.ask,) if ask]:
        return asked
    if not history.earlier:
        return []
    ask = history.earlier[-1]
    version = history.champion.version if history.champion else ""
    open_ = ask.episode and ask.version == version and not ask.withdrawn
    return [ask] if open_ and not find_fate(model, ask.as_of, ledger).trained else []


def count_left(model: ModelDefinition, history: RetrainingHistory) -> int:
    """The retrainings left in the budget as of the partition after the newest window."""
    after = find_day_after(history, model.calendar)
    return count_budget_left(history, model.calendar, model.spec.retraining, after)


def describe_windows(model: ModelDefinition, history: RetrainingHistory) -> list[Mapping[str, str]]:
    """The windows a decision rests on, oldest first, as rows of a table."""
    return [
        {
            "window": window.partition,
            "version": window.version,
            "drift": window.drift,
            "cause": window.cause.replace("_", " "),
            "performance": window.performance,
            "why": "; ".join(filter(None, (window.reason, window.performance_reason))),
        }
        for window in history.served[-model.spec.retraining.windows :]
    ]


def read_history(model: ModelDefinition, ledger: Ledger) -> RetrainingHistory:
    """Everything a decision rests on."""
    champion = read_champion(ledger, model.name)
    performance = read_latest(ledger, "performance", model.name)
    windows = list(_read_windows(model, champion, performance, ledger))
    versions = {window.partition: window.version for window in windows}
    asked = [*_read_asks(model, versions, ledger), *_read_requests(model, ledger)]
    labelled = {
        key: sum(
            report.get("labelled", 0)
            for entry, report in body.items()
            if not entry.endswith(AS_SHADOW)
        )
        for key, body in performance.items()
    }
    told = [_with_fate(model, ask, champion, ledger) for ask in asked]
    return RetrainingHistory(champion, windows, told, labelled)


def _read_windows(
    model: ModelDefinition,
    champion: Champion | None,
    performance: Mapping[str, Mapping[str, Any]],
    ledger: Ledger,
) -> Iterator[MonitoredWindow]:
    tested = ledger.latest("evaluation", model.name, champion.digest) if champion else None
    for key, body in read_latest(ledger, "drift", model.name).items():
        version = body["version"]
        # Only the champion's own windows count, so no other version's test is looked up.
        own = champion is not None and version == champion.version
        metrics = tested.body["metrics"] if tested and own else {}
        judged = _judge(model, performance.get(key, {}).get(version), metrics)
        yield MonitoredWindow(
            key,
            version,
            body["outcome"],
            body["reason"],
            (body.get("triage") or {}).get("cause", "nothing"),
            judged.outcome,
            judged.reason,
        )


def _judge(
    model: ModelDefinition, body: Mapping[str, Any] | None, tested: Mapping[str, float]
) -> Verdict:
    trigger = model.spec.retraining.triggers.performance
    if trigger is None:
        return Verdict("", "inconclusive", "")
    found = body or {"predictions": 0, "labelled": 0}
    report = PerformanceReport(
        found["predictions"], found["labelled"], None, found.get("metrics") or {}
    )
    return judge_performance(report, tested, trigger)


def _read_asks(
    model: ModelDefinition, versions: Mapping[str, str], ledger: Ledger
) -> Iterator[Ask]:
    """What rules asked for; rows of earlier releases say neither what asked nor of which.

    What a rule no longer asks for, as its window was measured again, is withdrawn.
    """
    rows = ledger.history("retraining", model.name)
    latest = {row.subject: row.body["action"] for row in rows}
    for row in rows:
        body = row.body
        trigger: Trigger = body.get("trigger") or "drift"
        if body["action"] == "retrain" and trigger != "by_hand":
            version = body.get("version") or versions.get(row.subject, "")
            episode = body.get("episode") or ""
            withdrawn = latest[row.subject] == "skip"
            yield Ask(row.subject, body["as_of"], trigger, version, episode, withdrawn=withdrawn)


def _read_requests(model: ModelDefinition, ledger: Ledger) -> Iterator[Ask]:
    for row in ledger.history("retraining_request", model.name):
        yield Ask(**row.body, trigger="by_hand", episode=f"by hand {row.subject}")


def _with_fate(model: ModelDefinition, ask: Ask, champion: Champion | None, ledger: Ledger) -> Ask:
    """Only what was asked for while this champion serves is looked up: the rest is settled. What
    was trained all the same was not withdrawn."""
    if champion is None or ask.version != champion.version:
        return ask
    fate = find_fate(model, ask.as_of, ledger)
    withdrawn = ask.withdrawn and not fate.trained
    return replace(ask, fate=fate.said, ended=fate.stand == "ended", withdrawn=withdrawn)


def _require_as_of(
    model: ModelDefinition, as_of: str | None, newest: str | None, clock: Clock
) -> str:
    """The partition to train as of. Raises ``RefusedError`` when there is none, or not allowed."""
    mode = model.spec.retraining.mode
    if mode != "enabled":
        raise RefusedError(
            f"ask_for_retraining: retraining.mode is {mode} in defs.yaml, so nothing would follow; "
            f"launch {model.name}__train itself"
        )
    wanted = as_of or (model.calendar.next(newest) if newest else None)
    # Dagster launches nothing for a partition that has not begun.
    begun = [key for key in model.calendar.keys if model.calendar.begin(key) <= clock.now()]
    allowed = begun[model.spec.training.split.needed :]
    if not allowed:
        raise RefusedError("ask_for_retraining: no partition has enough history before it yet")
    if wanted not in allowed:
        raise RefusedError(
            f"ask_for_retraining: as_of is {wanted or 'missing'}; give a partition from "
            f"{allowed[0]} to {allowed[-1]}, the last that has begun"
        )
    return wanted
