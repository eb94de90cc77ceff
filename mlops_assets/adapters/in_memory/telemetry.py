"""A prediction log that is handed over."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from mlops_assets.adapters.jsonl_lines import leave_out_older
from mlops_assets.adapters.jsonl_predictions import PredictionLine, build_table
from mlops_assets.adapters.jsonl_windows import AttemptLine, Thresholds, count_windows
from mlops_assets.lifecycle.rollout.window import Window

if TYPE_CHECKING:
    import polars as pl
Line = TypeVar("Line")


class InMemoryTelemetry:
    """``Telemetry`` of lines that were logged here (``log``), or of what is handed over.

    ``seen`` holds windows by (model, canary), ``frames`` predictions by model; each is taken
    instead of the lines where it is there.
    """

    def __init__(self) -> None:
        self.seen: dict[tuple[str, str], tuple[Window, ...]] = {}
        self.frames: dict[str, pl.DataFrame] = {}
        self._lines: dict[str, list[Mapping[str, Any]]] = {}

    def log(self, model: str, *lines: Mapping[str, Any]) -> None:
        """Append lines as the model server writes them."""
        self._lines.setdefault(model, []).extend(lines)

    def windows(
        self,
        model: str,
        canary: str,
        since: datetime,
        *,
        slow_milliseconds: float | None = None,
        threshold: float | None = None,
    ) -> tuple[Window, ...]:
        if (model, canary) in self.seen:
            return self.seen[model, canary]
        lines = leave_out_older(self._read(model, AttemptLine), since)
        return count_windows([lines], canary, Thresholds(slow_milliseconds, threshold))

    def predictions(self, model: str, since: datetime | None = None) -> pl.DataFrame:
        if model in self.frames:
            return self.frames[model].sort("received_at", maintain_order=True)
        return build_table([leave_out_older(self._read(model, PredictionLine), since)])

    def prune(self, model: str, before: datetime, collected: Callable[[pl.DataFrame], bool]) -> int:
        """All lines received before ``before`` go together, as a file of them would."""
        lines = self._lines.get(model, [])
        read = self._read(model, PredictionLine)
        old = [line for line in read if line.received_at < before]
        if not old or not collected(build_table([old])):
            return 0
        newer = [kept for kept, line in zip(lines, read, strict=True) if line.received_at >= before]
        self._lines[model] = newer
        return 1

    def _read(self, model: str, kind: type[Line]) -> list[Line]:
        return msgspec.convert(self._lines.get(model, []), list[kind])  # type: ignore[valid-type]
