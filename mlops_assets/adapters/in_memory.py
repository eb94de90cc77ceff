"""A fake of each port, for tests that want to be fast; the contract suites keep them honest."""

from __future__ import annotations

from datetime import UTC, datetime

from mlops_assets.adapters.ports import Record
from mlops_assets.lifecycle.errors import LedgerConflict


class FixedClock:
    """``Clock`` that stands still until told otherwise."""

    def __init__(self, at: datetime = datetime(2013, 6, 1, tzinfo=UTC)) -> None:
        self.at = at

    def now(self) -> datetime:
        return self.at


class InMemoryLedger:
    """``Ledger`` in a list."""

    def __init__(self) -> None:
        self._rows: list[Record] = []

    def append(self, record: Record) -> Record:
        last = self.latest(record.kind, record.model, record.subject)
        if record.sequence != (last.sequence if last else 0) + 1:
            raise LedgerConflict(f"ledger: row {record.sequence} of '{record.subject}' is not next")
        row = Record(
            record.kind,
            record.model,
            record.subject,
            record.sequence,
            dict(record.body),
            record.at,
            len(self._rows) + 1,
        )
        self._rows.append(row)
        return row

    def latest(self, kind: str, model: str, subject: str | None = None) -> Record | None:
        rows = self.history(kind, model, subject)
        return rows[-1] if rows else None

    def history(self, kind: str, model: str, subject: str | None = None) -> list[Record]:
        return [
            row
            for row in self._rows
            if (row.kind, row.model) == (kind, model) and subject in (None, row.subject)
        ]

    def models(self) -> list[str]:
        return sorted({row.model for row in self._rows})

    def position(self) -> int:
        return len(self._rows)
