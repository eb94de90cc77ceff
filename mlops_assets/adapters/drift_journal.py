"""What the ledger's rows about drift mean: writing one, and reading the last ones back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from mlops_assets.adapters.journal import write_once
from mlops_assets.adapters.ports import Ledger

if TYPE_CHECKING:
    from mlops_assets.lifecycle.drift.report import DriftReport
    from mlops_assets.lifecycle.triage import Triage
    from mlops_assets.lifecycle.verdicts import Outcome

DRIFT = "drift"
SHAPE = "shape"
"""What is flagged of a column that drifted; the aspects of its findings are named beside it."""


@dataclass(frozen=True)
class PastWindow:
    """What was last recorded about the drift of one partition, compared with ``version``.

    ``effects``: how far each column had moved, 0 to 1; ``weights``: its importance. ``flags``:
    what was flagged of each column, ``shape`` and aspects such as ``missing``; columns without a
    flag are not in it. ``intact`` is None and ``cause`` is ``nothing`` in rows that were written
    before both were recorded.
    """

    partition: str
    version: str
    outcome: Outcome
    intact: Outcome | None = None
    cause: str = "nothing"
    effects: Mapping[str, float] = field(default_factory=dict)
    flags: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    weights: Mapping[str, float] = field(default_factory=dict)


def write_drift(
    ledger: Ledger,
    model: str,
    partition: str,
    version: str,
    report: DriftReport,
    triage: Triage,
    at: datetime,
) -> None:
    """Record what was found in a partition; finding the same again adds no row."""
    body = {
        "version": version,
        "outcome": report.verdict.outcome,
        "reason": report.verdict.reason,
        "share": report.share,
        "intact": report.intact.outcome,
        "intact_reason": report.intact.reason,
        "columns": [asdict(column) for column in report.columns],
        "triage": asdict(triage),
        "reference_rows": report.reference_rows,
        "current_rows": report.current_rows,
    }
    write_once(ledger, DRIFT, model, partition, body, at)


def read_drift(ledger: Ledger, model: str, partitions: Sequence[str]) -> list[PastWindow]:
    """What was last recorded about each of the partitions, in their order; those that were never
    compared are left out."""
    rows = [(key, ledger.latest(DRIFT, model, key)) for key in partitions]
    return [_read(key, row.body) for key, row in rows if row is not None]


def _read(partition: str, body: Mapping[str, Any]) -> PastWindow:
    columns: Sequence[Mapping[str, Any]] = body.get("columns", ())
    flags = {column["column"]: _flags(column) for column in columns}
    return PastWindow(
        partition=partition,
        version=body["version"],
        outcome=body["outcome"],
        intact=body.get("intact"),
        cause=(body.get("triage") or {}).get("cause", "nothing"),
        effects={column["column"]: column["effect"] for column in columns},
        flags={name: flagged for name, flagged in flags.items() if flagged},
        weights={column["column"]: column["weight"] for column in columns},
    )


def _flags(column: Mapping[str, Any]) -> tuple[str, ...]:
    shape = (SHAPE,) if column["drifted"] else ()
    return (*shape, *(finding["aspect"] for finding in column.get("findings", ())))
