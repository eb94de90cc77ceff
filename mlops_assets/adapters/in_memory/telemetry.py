"""A prediction log that is handed over."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from mlops_assets.adapters.jsonl_telemetry import NO_BASELINE
from mlops_assets.lifecycle.rollout.analysis import Arm, Window

if TYPE_CHECKING:
    import polars as pl


class InMemoryTelemetry:
    """``Telemetry`` given as ``windows`` by (model, canary) and prediction ``frames`` by model."""

    def __init__(self) -> None:
        self.windows: dict[tuple[str, str], Window] = {}
        self.frames: dict[str, pl.DataFrame] = {}

    def window(
        self,
        model: str,
        since: datetime,  # noqa: ARG002 - a window is given for the moment it is asked for
        canary: str,
        baseline: str | None,
    ) -> Window:
        nothing = Window(Arm(canary, 0, 0), Arm(baseline or NO_BASELINE, 0, 0))
        return self.windows.get((model, canary), nothing)

    def predictions(self, model: str) -> pl.DataFrame:
        if model in self.frames:
            return self.frames[model].sort("received_at", maintain_order=True)
        return _nothing_logged()


def _nothing_logged() -> pl.DataFrame:
    import polars as pl

    moment = pl.Datetime("us", "UTC")
    text = dict.fromkeys(("model", "version", "digest", "arm"), pl.String)
    return pl.DataFrame(
        schema={
            "request_id": pl.String,
            "row": pl.Int64,
            **text,
            "routed": pl.Boolean,
            "received_at": moment,
            "entity": pl.String,
            "time": moment,
            "probability": pl.Float64,
            "milliseconds": pl.Float64,
        }
    )
