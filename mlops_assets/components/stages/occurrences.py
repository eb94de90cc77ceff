"""What the ledger of a model says that people should hear of."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from mlops_assets.adapters.dagster_ui import DagsterUi
from mlops_assets.adapters.journal import ROLLOUT, read_champion
from mlops_assets.adapters.ports import Ledger, Record
from mlops_assets.lifecycle.alerting import Occurrence


@dataclass(frozen=True)
class Persistence:
    """A drift is told once ``violated`` of the last ``windows``, the newest among them, have it."""

    windows: int = 3
    violated: int = 2

    def __post_init__(self) -> None:
        if not 1 <= self.violated <= self.windows:
            raise ValueError(
                f"violated must lie between 1 and windows, got {self.violated} of {self.windows}"
            )


def find_recorded_occurrences(
    ledger: Ledger, model: str, ui: DagsterUi, since: datetime, persistence: Persistence
) -> list[Occurrence]:
    """Bugs in the data, drift, rollouts that failed and trainings asked for, as of ``since``."""
    newest = ledger.latest("drift", model)
    # Drift reports are long: none is read again where the newest is history.
    looked_at = newest is not None and newest.at >= since
    drift = _by_subject(ledger.history("drift", model)) if looked_at else {}
    return [
        *_data_bugs(model, drift, ui, since),
        *_drifts(ledger, model, drift, ui, since, persistence),
        *_failed_rollouts(ledger, model, ui, since),
        *_cut_offs(ledger, model, ui, since),
        *_taken_back(ledger, model, ui, since),
        *_retrainings(ledger, model, ui, since),
    ]


def _data_bugs(
    model: str, drift: Mapping[str, Sequence[Record]], ui: DagsterUi, since: datetime
) -> Iterator[Occurrence]:
    for partition, rows in drift.items():
        first = _first_of_last_run(rows, _has_data_bug)
        if first and rows[-1].at >= since:
            yield Occurrence(
                kind="data_bug",
                model=model,
                group=model,
                subject=partition,
                title=f"{model} {partition}: the data is broken",
                detail=rows[-1].body["triage"]["reason"],
                link=ui.asset_url([model, "drift_report"], partition),
                at=first.at,
            )


def _drifts(
    ledger: Ledger,
    model: str,
    drift: Mapping[str, Sequence[Record]],
    ui: DagsterUi,
    since: datetime,
    persistence: Persistence,
) -> Iterator[Occurrence]:
    champion = read_champion(ledger, model)
    # What could not be judged neither ends a drift nor begins another.
    windows = [
        rows[-1]
        for _, rows in sorted(drift.items())
        if champion and rows[-1].body["version"] == champion.version and _is_judged(rows[-1])
    ]
    drifted = sum(_has_drifted(row) for row in windows[-persistence.windows :])
    first = _first_of_last_run(windows, _has_drifted)
    if first is None or windows[-1].at < since or drifted < persistence.violated:
        return
    newest = windows[-1]
    # Named by what was reported first: an earlier window that comes late is no new drift.
    run = windows[windows.index(first) :]
    began = min(
        (_first_of_last_run(drift[row.subject], _has_drifted) or row for row in run),
        key=lambda row: row.at,
    )
    yield Occurrence(
        kind="drift",
        model=model,
        subject=f"{newest.body['version']} since {began.subject}",
        group=model,
        title=f"{model} {newest.body['version']}: its reference no longer holds",
        detail=f"since {first.subject}; {newest.subject}: {newest.body['reason']}",
        link=ui.asset_url([model, "drift_report"], newest.subject),
        at=began.at,
    )


def _failed_rollouts(
    ledger: Ledger, model: str, ui: DagsterUi, since: datetime
) -> Iterator[Occurrence]:
    before: Record | None = None
    for row in ledger.history("rollout", model, ROLLOUT):
        ended = before is not None and _is_failed(before) and _version(before) == _version(row)
        if _is_failed(row) and not ended and row.at >= since:
            said = f"the rollout of {_version(row)} failed"
            yield _out_of_traffic(model, _version(row), row, ui, said)
        before = row


def _cut_offs(ledger: Ledger, model: str, ui: DagsterUi, since: datetime) -> Iterator[Occurrence]:
    for row in ledger.history("cut_off", model):
        if row.at >= since:
            yield _out_of_traffic(model, _version(row), row, ui, f"{_version(row)} was cut off")


def _taken_back(ledger: Ledger, model: str, ui: DagsterUi, since: datetime) -> Iterator[Occurrence]:
    """Champions in whose place one from before them serves again."""
    served: list[str] = []
    for row in ledger.history("promotion", model, "champion"):
        version = _version(row)
        if version in served[:-1] and version != served[-1] and row.at >= since:
            said = f"{version} serves again instead of {served[-1]}"
            yield _out_of_traffic(model, served[-1], row, ui, said)
        served.append(version)


def _out_of_traffic(model: str, version: str, row: Record, ui: DagsterUi, said: str) -> Occurrence:
    return Occurrence(
        kind="rollback",
        model=model,
        group=f"{model} {version}",
        subject=said,
        title=f"{model}: {said}",
        detail=row.body["reason"],
        link=ui.asset_url([model, "deployment"], version),
        at=row.at,
    )


def _retrainings(
    ledger: Ledger, model: str, ui: DagsterUi, since: datetime
) -> Iterator[Occurrence]:
    for window, rows in _by_subject(ledger.history("retraining", model)).items():
        first = _first_of_last_run(rows, lambda row: row.body.get("action") == "retrain")
        if first and first.at >= since:
            yield Occurrence(
                kind="retraining",
                model=model,
                group=model,
                subject=window,
                title=f"{model}: a training as of {first.body.get('as_of')} is asked for",
                detail=first.body["reason"],
                link=ui.asset_url([model, "retraining_decision"], window),
                at=first.at,
            )


def _by_subject(rows: Sequence[Record]) -> dict[str, list[Record]]:
    """The rows of each subject, oldest first."""
    found: dict[str, list[Record]] = defaultdict(list)
    for row in rows:
        found[row.subject].append(row)
    return dict(found)


def _first_of_last_run(rows: Sequence[Record], holds: Callable[[Record], bool]) -> Record | None:
    """Since when it holds without a break until now, None when it does not hold now."""
    first = None
    for row in reversed(rows):
        if not holds(row):
            break
        first = row
    return first


def _has_data_bug(row: Record) -> bool:
    # Rows written before there was a triage have none.
    triage: Mapping[str, Any] = row.body.get("triage") or {}
    return triage.get("cause") == "data_bug"


def _is_judged(row: Record) -> bool:
    return row.body["outcome"] != "inconclusive" and not _has_data_bug(row)


def _has_drifted(row: Record) -> bool:
    return bool(row.body["outcome"] == "failed")


def _is_failed(row: Record) -> bool:
    return bool(row.body["phase"] == "failed")


def _version(row: Record) -> str:
    return str(row.body["version"])
