"""Rows sent to one version on a staging server: in batches for the answers, singly for the time."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops_assets.lifecycle.errors import EndpointError
from mlops_assets.lifecycle.staging import slice_batches
from mlops_assets.lifecycle.training import Feature, ModelSignature, cast_features

if TYPE_CHECKING:
    import httpx
    import polars as pl

MAX_SPLITS = 200
"""Refused requests of several rows that are asked again in halves; after that many their rows
count as refused together. A version that refuses whatever misses a value would take minutes."""

WARM_UP = 10
REFUSALS = (400, 413, 500)


@dataclass(frozen=True)
class StagedRequests:
    """Requests to ``path`` of the server behind ``client``, which logs below ``log``."""

    client: httpx.Client
    path: str
    signature: ModelSignature
    log: Path

    def ask_all(self, rows: pl.DataFrame) -> tuple[tuple[float | None, ...], tuple[str, ...]]:
        """A probability per row, None where refused; the distinct reasons, sorted.

        A refused request is asked again in halves until single rows are known to be refused.
        """
        features = self.signature.features
        plain = cast_features(rows, features)
        answers: list[float | None] = [None] * plain.height
        pending = [(start, part.height) for start, part in slice_batches(plain)][::-1]
        refusals: dict[str, httpx.Response] = {}
        splits = MAX_SPLITS
        while pending:
            start, count = pending.pop()
            identity = f"{start}+{count}"
            answer = self._post(build_request(plain.slice(start, count), features, identity))
            if answer.status_code == 200:
                answers[start : start + count] = answer.json()["outputs"][0]["data"]
            elif count > 1 and splits:
                splits -= 1
                half = count // 2
                pending += [(start + half, count - half), (start, half)]
            else:
                refusals[identity] = answer
        reasons = self._explain(refusals)
        self._forget()
        return tuple(answers), reasons

    def time_each(self, rows: pl.DataFrame, samples: int) -> tuple[float, ...]:
        """Milliseconds that each of the first ``samples`` rows takes alone, one after the other.

        What is refused is not timed: it would be answered sooner than what is predicted.
        """
        features = self.signature.features
        plain = cast_features(rows.head(samples), features)
        bodies = [build_request(plain.slice(row, 1), features, "") for row in range(plain.height)]
        for body in bodies[:WARM_UP]:
            self._post(body)
        times = []
        for body in bodies:
            began = time.perf_counter()
            answer = self._post(body)
            elapsed = (time.perf_counter() - began) * 1000
            if answer.status_code == 200:
                times.append(elapsed)
        self._forget()
        return tuple(times)

    def _post(self, body: bytes) -> httpx.Response:
        answer = self.client.post(self.path, content=body)
        if answer.status_code not in (200, *REFUSALS):
            raise EndpointError(
                f"staging server: {self.path} answered {answer.status_code}: {answer.text[:300]}"
            )
        return answer

    def _explain(self, refusals: Mapping[str, httpx.Response]) -> tuple[str, ...]:
        """What the server says was wrong; of a version that raised the prediction log has it."""
        logged = self._logged_reasons() if refusals else {}
        said = (logged.get(key) or answer.json()["error"] for key, answer in refusals.items())
        return tuple(sorted(set(said)))

    def _logged_reasons(self) -> dict[str, str]:
        lines = (
            json.loads(line) for path in self._logs() for line in path.read_bytes().splitlines()
        )
        return {line["request_id"]: line["reason"] for line in lines if line["status"] == "error"}

    def _forget(self) -> None:
        """Empty the log: fifty versions of ten thousand rows each would fill the disk."""
        for path in self._logs():
            os.truncate(path, 0)

    def _logs(self) -> list[Path]:
        return sorted((self.log / self.signature.model).glob("*.jsonl"))


def build_request(rows: pl.DataFrame, features: Iterable[Feature], identity: str) -> bytes:
    """Rows as one Open Inference Protocol v2 request; null stands for a missing value and NaN."""
    import msgspec

    inputs: list[dict[str, Any]] = [
        {
            "name": feature.name,
            "datatype": "BYTES" if feature.kind == "categorical" else "FP64",
            "shape": [rows.height],
            "data": rows[feature.name].to_list(),
        }
        for feature in features
    ]
    return msgspec.json.encode({"id": identity, "inputs": inputs})
