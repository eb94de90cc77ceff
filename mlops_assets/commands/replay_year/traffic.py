"""The rows of a week as requests to the live endpoint."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from mlops_assets.commands.replay import await_routing, replay

if TYPE_CHECKING:
    import polars as pl

    from mlops_assets.components.definition import ModelDefinition

CHUNK = 200
"""Single requests between two looks at a rollout."""

BATCH = 50
"""Rows of a request while no rollout is on."""

CLIENTS = 2


class Traffic:
    """Sends stored rows to the endpoint, in the order of their time."""

    def __init__(self, model: ModelDefinition, resources: Mapping[str, Any], every: int) -> None:
        self.model, self.resources, self.every = model, resources, every

    def rows(self, week: str) -> pl.DataFrame:
        """The rows of a week that are sent, oldest first."""
        entities = self.model.spec.entities
        rows: pl.DataFrame = self.resources["tables"].read(self.model.table("features"), [week])
        return rows.sort(entities.time, entities.key).gather_every(self.every)

    def cut(self, rows: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
        """The rows to send before the next look at a rollout, and what is left."""
        return rows.head(CHUNK), rows.slice(CHUNK)

    def send_singly(self, rows: pl.DataFrame) -> int:
        """One request per row, as callers would; how many were not answered."""
        return self._send(rows, 1)

    def send_in_batches(self, rows: pl.DataFrame) -> int:
        """``BATCH`` rows per request; how many requests were not answered."""
        return self._send(rows, BATCH)

    def await_routing(self) -> None:
        """Wait until the endpoint has taken up what the ledger says. Raises ``EndpointError``."""
        await_routing(self.resources, self.model.name)

    def _send(self, rows: pl.DataFrame, rows_per_request: int) -> int:
        if rows.is_empty():
            return 0
        entities = self.model.spec.entities
        url = self.resources["serving"].ensure_running().url
        return replay(
            rows,
            url,
            self.model.name,
            self.model.features,
            entities.key,
            entities.time,
            clients=CLIENTS,
            rows_per_request=rows_per_request,
        ).failed
