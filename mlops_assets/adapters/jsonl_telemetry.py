"""The prediction log of the model server, read from its JSON lines."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from mlops_assets.adapters.jsonl_lines import (
    count_lines,
    find_files,
    find_files_before,
    leave_out_older,
    read_lines,
)
from mlops_assets.adapters.jsonl_predictions import PredictionLine, build_table, count_rows
from mlops_assets.adapters.jsonl_windows import AttemptLine, Thresholds, count_windows
from mlops_assets.lifecycle.rollout.window import Window

if TYPE_CHECKING:
    import polars as pl


@dataclass(frozen=True)
class JsonlTelemetry:
    """``Telemetry`` over ``<root>/<model>/<hour>-*.jsonl``, which a running server may append to.

    A line that is not whole was never acknowledged and counts nowhere.
    """

    root: Path

    def windows(
        self,
        model: str,
        canary: str,
        since: datetime,
        *,
        slow_milliseconds: float | None = None,
        threshold: float | None = None,
    ) -> tuple[Window, ...]:
        files = find_files(self.root, model, since)
        batches = chain.from_iterable(read_lines(path, AttemptLine) for path in files)
        return count_windows(
            (leave_out_older(batch, since) for batch in batches),
            canary,
            Thresholds(slow_milliseconds, threshold),
        )

    def predictions(self, model: str, since: datetime | None = None) -> pl.DataFrame:
        files = find_files(self.root, model, since)
        batches = chain.from_iterable(read_lines(path, PredictionLine) for path in files)
        return build_table(leave_out_older(batch, since) for batch in batches)

    def prune(self, model: str, before: datetime, collected: Callable[[pl.DataFrame], bool]) -> int:
        """A file goes as a whole or not at all, and stays when any line of it is unreadable."""
        files = find_files_before(self.root, model, before)
        return sum(_remove_if(path, before, collected) for path in files)


def _remove_if(path: Path, before: datetime, collected: Callable[[pl.DataFrame], bool]) -> bool:
    try:
        found = path.stat()
        if found.st_mtime >= before.timestamp():
            return False
        lines = list(chain.from_iterable(read_lines(path, PredictionLine)))
        whole = len(lines) == count_lines(path) and all(map(count_rows, lines))
        if not whole or not collected(build_table([lines])):
            return False
        if path.stat().st_size != found.st_size:
            return False  # a clock that jumped back made a server write here again
        path.unlink()
    except FileNotFoundError:
        return False  # another collection removed it
    return True
