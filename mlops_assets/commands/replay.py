"""Stored rows sent to a live endpoint, one request each, as callers would."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mlops_assets.lifecycle.training import Feature

if TYPE_CHECKING:
    import polars as pl


@dataclass(frozen=True)
class Replayed:
    """How many requests were sent, and how many of them were not answered with a prediction."""

    sent: int
    failed: int

    def __add__(self, other: Replayed) -> Replayed:
        return Replayed(self.sent + other.sent, self.failed + other.failed)


def build_request(
    row: dict[str, Any], features: Sequence[Feature], key: str, time: str
) -> dict[str, Any]:
    """One row as an Open Inference Protocol v2 request; null stands for a missing value."""
    inputs = [
        _tensor(
            feature.name, "BYTES" if feature.kind == "categorical" else "FP64", row[feature.name]
        )
        for feature in features
    ]
    identity = [_tensor(key, "BYTES", row[key]), _tensor(time, "BYTES", row[time].isoformat())]
    return {"inputs": [*identity, *inputs]}


def replay(
    rows: pl.DataFrame,
    url: str,
    model: str,
    features: Sequence[Feature],
    key: str,
    time: str,
    *,
    clients: int = 4,
) -> Replayed:
    """Send each row of a feature table to ``url``, a bounded number of requests at a time."""
    import httpx

    requests = [build_request(row, features, key, time) for row in rows.iter_rows(named=True)]
    with (
        httpx.Client(base_url=url, timeout=30) as client,
        ThreadPoolExecutor(clients) as pool,
    ):
        answers = pool.map(
            lambda body: client.post(f"/v2/models/{model}/infer", json=body).status_code, requests
        )
        failed = sum(status != 200 for status in answers)
    return Replayed(len(requests), failed)


def _tensor(name: str, datatype: str, value: Any) -> dict[str, Any]:
    return {"name": name, "datatype": datatype, "shape": [1], "data": [value]}
