"""Tracking in MLflow, through dagster-mlflow.

dagster-mlflow finds or makes the MLflow run of a Dagster run by searching, and leaves it open.
Here the run is made first, one for each (Dagster run, asset, partition), handed over by its id,
and ended with the state the block ended in.

On a local database a file lock lets one process at a time look for a run and make it. A server has
no such lock: of two processes that make the same run within the same moment both keep the first
and delete the other, unless one looks before the other's run can be seen.
"""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from types import MappingProxyType, SimpleNamespace
from typing import TYPE_CHECKING, Any

from mlops_assets.adapters.mlflow_children import MlflowChildren, log_values
from mlops_assets.adapters.mlflow_connection import alone, connect, every_page, literal
from mlops_assets.adapters.mlflow_runs import MlflowRun
from mlops_assets.adapters.mlflow_tags import tags_at_creation
from mlops_assets.adapters.ports import RunStatus
from mlops_assets.adapters.tracking_identity import IDENTITY, TRACKING_RUN, ended_by

if TYPE_CHECKING:
    from mlflow import MlflowClient

__all__ = ["IDENTITY", "MlflowRun", "MlflowTracking", "connect", "literal"]

_OPENING = Lock()
"""Threads make and open runs in turn: MLflow's active experiment is that of the whole process."""


@dataclass(frozen=True)
class MlflowTracking:
    """``Tracking`` on an MLflow server or database.

    ``artifacts`` is where new experiments keep their files, None to let a server decide;
    ``ui`` is the address people open. A run is annotated by its own id, or by the one that its
    tag ``tracking_run`` names.
    """

    uri: str
    artifacts: Path | None = None
    ui: str | None = None

    @contextmanager
    def run(self, *, experiment: str, name: str, tags: Mapping[str, str]) -> Iterator[MlflowRun]:
        client = connect(self.uri)
        with _OPENING, alone(self.uri):
            run_id, experiment_id = self._find_or_make_run(client, experiment, name, tags)
        url = f"{self.ui}/#/experiments/{experiment_id}/runs/{run_id}" if self.ui else None
        children = MlflowChildren(client, experiment_id, run_id, tags["dagster_run_id"])
        try:
            with _OPENING:
                resource = self._open(run_id, experiment, name, tags)
            yield MlflowRun(resource, run_id, url, children)
        except BaseException as error:
            self._end(run_id, ended_by(error))
            raise
        self._end(run_id, "FINISHED")

    def annotate(
        self,
        run_id: str,
        metrics: Mapping[str, float],
        images: Mapping[str, bytes],
        texts: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        client = connect(self.uri)
        run_id = _find_run(client, run_id)
        log_values(client, run_id, {}, metrics)
        for name, text in texts.items():
            client.log_text(run_id, text, f"cards/{name}.md")
        with tempfile.TemporaryDirectory() as folder:
            for name, png in images.items():
                path = Path(folder) / f"{name}.png"
                path.write_bytes(png)
                client.log_artifact(run_id, str(path), "plots")

    def end_unfinished(self, dagster_run_id: str, status: RunStatus) -> list[str]:
        client = connect(self.uri)
        same = f"tags.dagster_run_id = {literal(dagster_run_id)}"
        still_open = f"{same} and attributes.status = 'RUNNING'"
        found = _search(client, still_open)
        for run_id in found:
            client.set_terminated(run_id, status)
        return found

    def _find_or_make_run(
        self, client: MlflowClient, experiment: str, name: str, tags: Mapping[str, str]
    ) -> tuple[str, str]:
        """The run these tags name, made first when a retry did not leave it there already."""
        experiment_id = self._find_or_make_experiment(client, experiment)
        run_id = _first_run(client, experiment_id, tags)
        if run_id is None:
            told = tags_at_creation(tags)
            made = client.create_run(experiment_id, tags=told, run_name=name).info.run_id
            # Another process may have looked and made at the same time: all keep the first run.
            run_id = _first_run(client, experiment_id, tags) or made
            if run_id != made:
                client.delete_run(made)
        return run_id, experiment_id

    def _find_or_make_experiment(self, client: MlflowClient, name: str) -> str:
        from mlflow.exceptions import MlflowException

        found = client.get_experiment_by_name(name)
        if found is None:
            place = f"{self.artifacts.absolute().as_uri()}/{name}" if self.artifacts else None
            try:
                return client.create_experiment(name, place)
            except MlflowException as error:
                if error.error_code != "RESOURCE_ALREADY_EXISTS":
                    raise
            found = client.get_experiment_by_name(name)
            assert found is not None
        return found.experiment_id

    def _open(self, run_id: str, experiment: str, name: str, tags: Mapping[str, str]) -> Any:
        """dagster-mlflow's resource on this run, which becomes the thread's active run."""
        import mlflow

        outer = mlflow.active_run()
        config = {
            "experiment_name": experiment,
            "mlflow_tracking_uri": self.uri,
            "mlflow_run_id": run_id,
            # Not named as the parent, an active run would be taken for ours.
            "parent_run_id": outer.info.run_id if outer else None,
            "extra_tags": dict(tags),
        }
        return _open_resource(
            SimpleNamespace(
                log=_Quiet(),
                dagster_run=SimpleNamespace(job_name=name),
                run_id=tags["dagster_run_id"],
                resource_config=config,
            )
        )

    def _end(self, run_id: str, status: RunStatus) -> None:
        import mlflow

        active = mlflow.active_run()
        if active is not None and active.info.run_id == run_id:
            mlflow.end_run(status)
        else:  # it could not be opened, and what is active is somebody else's
            connect(self.uri).set_terminated(run_id, status)


def _first_run(client: MlflowClient, experiment_id: str, tags: Mapping[str, str]) -> str | None:
    same = " and ".join(f"tags.{tag} = {literal(tags[tag])}" for tag in IDENTITY)
    order = ["attributes.start_time ASC", "attributes.run_id ASC"]
    runs = client.search_runs([experiment_id], same, max_results=1, order_by=order)
    return runs[0].info.run_id if runs else None


def _find_run(client: MlflowClient, run_id: str) -> str:
    """The run of this id, or the one whose tag says that this is its id elsewhere."""
    from mlflow.exceptions import MlflowException

    try:
        return str(client.get_run(run_id).info.run_id)
    except MlflowException as error:
        if error.error_code not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            raise
        found = _search(client, f"tags.{TRACKING_RUN} = {literal(run_id)}")
        if not found:
            raise
        return found[0]


def _search(client: MlflowClient, wanted: str) -> list[str]:
    """The ids of the runs of all experiments that the filter lets through."""
    known = every_page(lambda page: client.search_experiments(page_token=page))
    where = [experiment.experiment_id for experiment in known]
    runs = every_page(lambda page: client.search_runs(where, wanted, page_token=page))
    return [run.info.run_id for run in runs]


def _open_resource(context: Any) -> Any:
    """dagster-mlflow's resource, opened on the run its configuration names."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # dagster-mlflow tells on each use that it is in beta
        from dagster_mlflow.resources import MlFlow

        return MlFlow(context)  # type: ignore[no-untyped-call]


class _Quiet:
    """dagster-mlflow announces each start twice; the run's link in the metadata says it once."""

    def info(self, message: str) -> None:
        pass
