"""Online tables in a dictionary."""

from __future__ import annotations

from mlops_assets.adapters.online_tables import decode_table, encode_table
from mlops_assets.lifecycle.digests import digest_bytes
from mlops_assets.lifecycle.errors import ArtifactError
from mlops_assets.lifecycle.online import OnlineTable


class InMemoryOnlineTables:
    """``OnlineTables`` that keeps the bytes of each model's latest table.

    ``damaged`` names models whose table cannot be read.
    """

    def __init__(self) -> None:
        self.damaged: set[str] = set()
        self._bodies: dict[str, bytes] = {}
        self._read: dict[str, tuple[bytes, OnlineTable]] = {}

    def publish(self, table: OnlineTable) -> str:
        body = encode_table(table)
        if self._bodies.get(table.model) != body:
            self._bodies[table.model] = body
        self.damaged.discard(table.model)
        return digest_bytes(body)

    def read(self, model: str) -> OnlineTable | None:
        if model in self.damaged:
            raise ArtifactError(f"{model}: the online table is damaged; refresh it")
        body = self._bodies.get(model)
        if body is None:
            return None
        known = self._read.get(model)
        if known is None or known[0] is not body:
            known = self._read[model] = (body, decode_table(body))
        return known[1]
