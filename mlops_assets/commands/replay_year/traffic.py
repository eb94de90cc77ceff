"""The rows of a week as requests to the live endpoint."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from mlops_assets.commands.replay import replay

if TYPE_CHECKING:
    import polars as pl

    from mlops_assets.components.definition import ModelDefinition

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

    def send(self, rows: pl.DataFrame, rows_per_request: int) -> int:
        """Send them to the endpoint; how many requests were not answered."""
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
