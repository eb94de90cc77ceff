"""Stored rows sent to a live endpoint, one or several in a request, as callers would."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mlops_assets.adapters.journal import read_routing
from mlops_assets.lifecycle.errors import EndpointError
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
    rows: pl.DataFrame, features: Sequence[Feature], key: str, time: str
) -> dict[str, Any]:
    """Rows as one Open Inference Protocol v2 request; null stands for a missing value. The
    endpoint assigns it to an arm by its first row."""
    moments = [moment.isoformat() for moment in rows[time].to_list()]
    known = [_tensor(key, "BYTES", rows[key].to_list()), _tensor(time, "BYTES", moments)]
    types = {"categorical": "BYTES", "numeric": "FP64"}
    sent = [_tensor(of.name, types[of.kind], rows[of.name].to_list()) for of in features]
    return {"inputs": [*known, *sent]}


def replay(
    rows: pl.DataFrame,
    url: str,
    model: str,
    features: Sequence[Feature],
    key: str,
    time: str,
    *,
    clients: int = 4,
    rows_per_request: int = 1,
) -> Replayed:
    """Send the rows of a feature table to ``url``, a bounded number of requests at a time."""
    import httpx

    slices = rows.iter_slices(rows_per_request)
    requests = [build_request(part, features, key, time) for part in slices]
    with (
        httpx.Client(base_url=url, timeout=30) as client,
        ThreadPoolExecutor(clients) as pool,
    ):
        answers = pool.map(
            lambda body: client.post(f"/v2/models/{model}/infer", json=body).status_code, requests
        )
        failed = sum(status != 200 for status in answers)
    return Replayed(len(requests), failed)


def await_routing(resources: Mapping[str, Any], model: str) -> None:
    """Wait until the endpoint has taken up what the ledger says. Raises ``EndpointError``."""
    import httpx

    targets = read_routing(resources["ledger"], model).targets
    wanted = {target.version: target.weight for target in targets}
    url = resources["serving"].ensure_running().url
    for _ in range(400):
        answer = httpx.get(f"{url}/v2/models/{model}/routing", timeout=10)
        said = answer.json().get("targets", []) if answer.status_code == 200 else []
        if {target["version"]: target["weight"] for target in said} == wanted:
            return
        time.sleep(0.05)
    raise EndpointError(f"{url}: the endpoint did not take up the routing {wanted}")


def _tensor(name: str, datatype: str, values: list[Any]) -> dict[str, Any]:
    return {"name": name, "datatype": datatype, "shape": [len(values)], "data": values}
