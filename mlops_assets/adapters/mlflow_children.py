"""Runs below an MLflow run, in the fewest round trips."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from threading import Lock
from typing import TYPE_CHECKING, Any

from mlops_assets.adapters.mlflow_connection import every_page, literal
from mlops_assets.adapters.ports import RunStatus
from mlops_assets.adapters.tracking_identity import ended_by

if TYPE_CHECKING:
    from mlflow import MlflowClient

_PARENT = "mlflow.parentRunId"
_PARAMS_AT_ONCE = 100
_METRICS_AT_ONCE = 900


@dataclass(frozen=True)
class MlflowChildren:
    """The children of one run, by name. Each costs three round trips: make, log, end.

    What an earlier try left is looked up once, before the first. A child has no asset and no
    partition among its tags, so that it is never taken for its parent. Two processes that write
    children of the same run at the same moment are not kept apart.
    """

    client: MlflowClient
    experiment_id: str
    parent: str
    dagster_run_id: str
    _known: dict[str, tuple[str, str]] = field(default_factory=dict)
    _looked: list[bool] = field(default_factory=list)
    _lock: Lock = field(default_factory=Lock)

    def log(
        self,
        name: str,
        params: Mapping[str, Any],
        metrics: Mapping[str, float],
        status: RunStatus,
    ) -> None:
        """Make a child and end it; one that has finished is left as it is, another completed."""
        with self._lock:
            self._look()
            run_id, ended = self._known.get(name, (None, None))
            if ended == "FINISHED":
                return
            run_id = run_id or self._make(name)
            try:
                log_values(self.client, run_id, params, metrics)
            except BaseException as error:
                self._end(name, run_id, ended_by(error))
                raise
            self._end(name, run_id, status)

    def _look(self) -> None:
        if not self._looked:
            self._known.update(self._left_by_earlier_tries())
            self._looked.append(True)

    def _left_by_earlier_tries(self) -> Iterator[tuple[str, tuple[str, str]]]:
        below = f"tags.`{_PARENT}` = {literal(self.parent)}"
        search, where = self.client.search_runs, [self.experiment_id]
        for run in every_page(lambda page: search(where, below, page_token=page)):
            yield run.info.run_name, (run.info.run_id, run.info.status)

    def _make(self, name: str) -> str:
        tags = {_PARENT: self.parent, "dagster_run_id": self.dagster_run_id}
        made = self.client.create_run(self.experiment_id, tags=tags, run_name=name)
        return str(made.info.run_id)

    def _end(self, name: str, run_id: str, status: RunStatus) -> None:
        self.client.set_terminated(run_id, status)
        self._known[name] = (run_id, status)


def log_values(
    client: MlflowClient, run_id: str, params: Mapping[str, Any], metrics: Mapping[str, float]
) -> None:
    """Log to a run, open or ended, as much at once as MLflow takes."""
    from mlflow.entities import Metric, Param

    now = int(time.time() * 1000)
    measured = [Metric(name, value, now, 0) for name, value in metrics.items()]
    chosen = [Param(name, str(value)) for name, value in params.items()]
    while measured or chosen:
        metrics_now, params_now = measured[:_METRICS_AT_ONCE], chosen[:_PARAMS_AT_ONCE]
        client.log_batch(run_id, metrics=metrics_now, params=params_now)
        del measured[:_METRICS_AT_ONCE], chosen[:_PARAMS_AT_ONCE]
