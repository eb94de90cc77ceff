"""Tracking runs in a list."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Lock
from typing import Any

from mlops_assets.adapters.mlflow_tracking import IDENTITY
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
    models: dict[str, tuple[Any, ModelSignature]] = field(default_factory=dict)

    def log_params(self, params: Mapping[str, Any]) -> None:
        changed = [name for name, value in params.items() if self.params.get(name, value) != value]
        if changed:
            raise ValueError(f"{self.run_id}: parameters cannot change: {', '.join(changed)}")
        self.params.update(params)

    def log_metrics(self, metrics: Mapping[str, float]) -> None:
        self.metrics.update(metrics)

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
            stopped = isinstance(error, KeyboardInterrupt | SystemExit)
            run.status = "KILLED" if stopped else "FAILED"
            raise
        run.status = "FINISHED"

    def annotate(
        self, run_id: str, metrics: Mapping[str, float], images: Mapping[str, bytes]
    ) -> None:
        run = next(run for run in self.runs if run.run_id == run_id)
        run.metrics.update(metrics)
        run.images.update(images)

    def _find_or_make(self, experiment: str, name: str, tags: Mapping[str, str]) -> InMemoryRun:
        identity = [experiment, *(tags[tag] for tag in IDENTITY)]
        with self._lock:
            for run in self.runs:
                if [run.experiment, *(run.tags[tag] for tag in IDENTITY)] == identity:
                    run.status = "RUNNING"
                    return run
            run = InMemoryRun(f"run-{len(self.runs) + 1}", experiment, name, dict(tags))
            self.runs.append(run)
            return run
