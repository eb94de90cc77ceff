"""Tracking runs in a list."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Lock
from types import MappingProxyType
from typing import Any

from mlops_assets.adapters.ports import Dataset, RunStatus
from mlops_assets.adapters.tracking_identity import IDENTITY, TRACKING_RUN, ended_by
from mlops_assets.lifecycle.training import ModelSignature


@dataclass
class InMemoryRun:
    """``TrackingRun`` that keeps what it is told; ``status`` has MLflow's words."""

    run_id: str
    experiment: str
    name: str
    tags: dict[str, str]
    url: str | None = None
    status: str = "RUNNING"
    params: dict[str, Any] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)
    images: dict[str, bytes] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)
    datasets: list[Dataset] = field(default_factory=list)
    children: dict[str, InMemoryRun] = field(default_factory=dict)
    models: dict[str, tuple[Any, ModelSignature]] = field(default_factory=dict)

    def log_params(self, params: Mapping[str, Any]) -> None:
        changed = [name for name, value in params.items() if self.params.get(name, value) != value]
        if changed:
            raise ValueError(f"{self.run_id}: parameters cannot change: {', '.join(changed)}")
        self.params.update(params)

    def log_metrics(self, metrics: Mapping[str, float]) -> None:
        self.metrics.update(metrics)

    def log_dataset(self, dataset: Dataset) -> None:
        if (dataset.name, dataset.digest) not in {(d.name, d.digest) for d in self.datasets}:
            self.datasets.append(dataset)

    def log_child(
        self,
        name: str,
        params: Mapping[str, Any],
        metrics: Mapping[str, float],
        status: RunStatus = "FINISHED",
    ) -> None:
        made = InMemoryRun(f"{self.run_id}/{name}", self.experiment, name, {})
        child = self.children.setdefault(name, made)
        if child.status != "FINISHED":
            child.log_params(params)
            child.log_metrics(metrics)
            child.status = status

    def log_model(self, model: Any, signature: ModelSignature) -> str:
        uri = f"in-memory:/{self.run_id}/{len(self.models) + 1}"
        self.models[uri] = (model, signature)
        return uri


class InMemoryTracking:
    """``Tracking`` with its runs in ``runs``, oldest first."""

    def __init__(self) -> None:
        self.runs: list[InMemoryRun] = []
        self._lock = Lock()

    @contextmanager
    def run(self, *, experiment: str, name: str, tags: Mapping[str, str]) -> Iterator[InMemoryRun]:
        run = self._find_or_make(experiment, name, tags)
        try:
            yield run
        except BaseException as error:
            run.status = ended_by(error)
            raise
        run.status = "FINISHED"

    def annotate(
        self,
        run_id: str,
        metrics: Mapping[str, float],
        images: Mapping[str, bytes],
        texts: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        names = [(run, {run.run_id, run.tags.get(TRACKING_RUN)}) for run in self.runs]
        known = [run for run, own in names if run_id in own]
        if not known:
            raise KeyError(run_id)
        known[0].metrics.update(metrics)
        known[0].images.update(images)
        known[0].texts.update(texts)

    def end_unfinished(self, dagster_run_id: str, status: RunStatus) -> list[str]:
        same = [run for run in self.runs if run.tags["dagster_run_id"] == dagster_run_id]
        still_open = [run for run in same if run.status == "RUNNING"]
        for run in still_open:
            run.status = status
        return [run.run_id for run in still_open]

    def _find_or_make(self, experiment: str, name: str, tags: Mapping[str, str]) -> InMemoryRun:
        identity = [experiment, *(tags[tag] for tag in IDENTITY)]
        with self._lock:
            for run in self.runs:
                if [run.experiment, *(run.tags[tag] for tag in IDENTITY)] == identity:
                    run.status = "RUNNING"
                    run.tags.update(tags)
                    return run
            run = InMemoryRun(f"run-{len(self.runs) + 1}", experiment, name, dict(tags))
            self.runs.append(run)
            return run
