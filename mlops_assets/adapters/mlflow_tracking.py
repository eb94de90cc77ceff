"""Tracking in MLflow, through dagster-mlflow.

dagster-mlflow finds or makes the MLflow run of a Dagster run by searching, and leaves it open.
Here the run is made first, one for each (Dagster run, asset, partition), handed over by its id,
and ended with the state the block ended in.
"""

from __future__ import annotations

import logging
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from mlops_assets.adapters.skops_models import TRUSTED_TYPES
from mlops_assets.lifecycle.training import ModelSignature

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.models import ModelSignature as MlflowSignature

IDENTITY = ("dagster_run_id", "dagster_asset", "dagster_partition")
"""The tags that together name one tracking run."""

_OPENING = Lock()
"""Threads make and open runs in turn: MLflow's active experiment is that of the whole process."""


@dataclass(frozen=True)
class MlflowTracking:
    """``Tracking`` on an MLflow server or database.

    ``artifacts`` is where new experiments keep their files, None to let a server decide;
    ``ui`` is the address people open.
    """

    uri: str
    artifacts: Path | None = None
    ui: str | None = None

    @contextmanager
    def run(self, *, experiment: str, name: str, tags: Mapping[str, str]) -> Iterator[MlflowRun]:
        with _OPENING:
            run_id, experiment_id = self._make_run(experiment, name, tags)
        url = f"{self.ui}/#/experiments/{experiment_id}/runs/{run_id}" if self.ui else None
        try:
            with _OPENING:
                resource = self._open(run_id, experiment, name, tags)
            yield MlflowRun(resource, run_id, url)
        except BaseException as error:
            stopped = isinstance(error, KeyboardInterrupt | SystemExit)
            self._end(run_id, "KILLED" if stopped else "FAILED")
            raise
        self._end(run_id, "FINISHED")

    def annotate(
        self, run_id: str, metrics: Mapping[str, float], images: Mapping[str, bytes]
    ) -> None:
        client = connect(self.uri)
        for name, value in metrics.items():
            client.log_metric(run_id, name, value)
        with tempfile.TemporaryDirectory() as folder:
            for name, png in images.items():
                path = Path(folder) / f"{name}.png"
                path.write_bytes(png)
                client.log_artifact(run_id, str(path), "plots")

    def _make_run(self, experiment: str, name: str, tags: Mapping[str, str]) -> tuple[str, str]:
        """The run these tags name, made first when a retry did not leave it there already."""
        client = connect(self.uri)
        experiment_id = self._find_or_make_experiment(client, experiment)
        run_id = _first_run(client, experiment_id, tags)
        if run_id is None:
            made = client.create_run(experiment_id, tags=dict(tags), run_name=name).info.run_id
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

    def _end(self, run_id: str, status: str) -> None:
        import mlflow

        active = mlflow.active_run()
        if active is not None and active.info.run_id == run_id:
            mlflow.end_run(status)
        else:  # it could not be opened, and what is active is somebody else's
            connect(self.uri).set_terminated(run_id, status)


@dataclass(frozen=True)
class MlflowRun:
    """``TrackingRun`` that is MLflow's active run."""

    resource: Any
    run_id: str
    url: str | None

    def log_params(self, params: Mapping[str, Any]) -> None:
        self.resource.log_params(dict(params))

    def log_metrics(self, metrics: Mapping[str, float]) -> None:
        self.resource.log_metrics(dict(metrics))

    def log_model(self, model: Any, signature: ModelSignature) -> str:
        import mlflow.sklearn
        import sklearn
        import skops

        logged = mlflow.sklearn.log_model(
            model,
            name=signature.model,
            serialization_format="skops",
            skops_trusted_types=list(TRUSTED_TYPES),
            signature=_schema(signature),
            # Named here: left to itself MLflow starts a second interpreter to find them out.
            pip_requirements=[
                f"scikit-learn=={sklearn.__version__}",
                f"skops=={skops.__version__}",
            ],
        )
        return str(logged.model_uri)


def connect(uri: str) -> MlflowClient:
    """A client of the tracking server or database; a local database's folder is made."""
    from mlflow import MlflowClient

    # A new database announces every table it makes; nobody has asked.
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.WARNING)
    logging.getLogger("alembic").setLevel(logging.WARNING)

    if uri.startswith("sqlite:///"):
        Path(uri.removeprefix("sqlite:///")).parent.mkdir(parents=True, exist_ok=True)
    return MlflowClient(uri, registry_uri=uri)


def literal(text: str) -> str:
    """Text as MLflow's searches want it: they know no escapes, so in the quotes it has not."""
    mark = '"' if "'" in text else "'"
    if mark in text:
        raise ValueError(f"{text}: MLflow cannot search for text that has both kinds of quotes")
    return f"{mark}{text}{mark}"


def _first_run(client: MlflowClient, experiment_id: str, tags: Mapping[str, str]) -> str | None:
    same = " and ".join(f"tags.{tag} = {literal(tags[tag])}" for tag in IDENTITY)
    order = ["attributes.start_time ASC", "attributes.run_id ASC"]
    runs = client.search_runs([experiment_id], same, max_results=1, order_by=order)
    return runs[0].info.run_id if runs else None


def _open_resource(context: Any) -> Any:
    """dagster-mlflow's resource, opened on the run its configuration names."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # dagster-mlflow tells on each use that it is in beta
        from dagster_mlflow.resources import MlFlow

        return MlFlow(context)  # type: ignore[no-untyped-call]


def _schema(signature: ModelSignature) -> MlflowSignature:
    from mlflow.models import ModelSignature as MlflowSignature
    from mlflow.types import ColSpec, Schema

    kinds = {"numeric": "double", "categorical": "string"}
    return MlflowSignature(
        inputs=Schema([ColSpec(kinds[f.kind], f.name, required=True) for f in signature.features]),
        outputs=Schema([ColSpec("double", "probability")]),
    )


class _Quiet:
    """dagster-mlflow announces each start twice; the run's link in the metadata says it once."""

    def info(self, message: str) -> None:
        pass
