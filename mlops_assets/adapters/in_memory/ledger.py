"""A ledger in a list."""

from __future__ import annotations

import json
from dataclasses import replace
from threading import Lock

from mlops_assets.adapters.ports import Record
from mlops_assets.lifecycle.errors import LedgerConflict


class InMemoryLedger:
    """``Ledger`` in a list; bodies are kept as JSON, so that nobody can change a row."""

    def __init__(self) -> None:
        self._rows: list[tuple[Record, str]] = []
        self._lock = Lock()

    def append(self, *records: Record) -> list[Record]:
        with self._lock:
            for record in records:
                last = self.latest(record.kind, record.model, record.subject)
                if record.sequence != (last.sequence if last else 0) + 1:
                    raise LedgerConflict(
                        f"ledger: row {record.sequence} of '{record.subject}' is not next"
                    )
            first = len(self._rows) + 1
            rows = [
                (replace(record, body={}, position=first + n), json.dumps(record.body))
                for n, record in enumerate(records)
            ]
            self._rows.extend(rows)
        return [replace(row, body=json.loads(body)) for row, body in rows]

    def latest(self, kind: str, model: str, subject: str | None = None) -> Record | None:
        rows = self.history(kind, model, subject)
        return rows[-1] if rows else None

    def history(self, kind: str, model: str, subject: str | None = None) -> list[Record]:
        return [
            replace(row, body=json.loads(body))
            for row, body in list(self._rows)
            if (row.kind, row.model) == (kind, model) and subject in (None, row.subject)
        ]

    def models(self) -> list[str]:
        return sorted({row.model for row, _ in list(self._rows)})

    def position(self) -> int:
        return len(self._rows)
