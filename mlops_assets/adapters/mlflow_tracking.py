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
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from mlops_assets.adapters.skops_models import TRUSTED_TYPES
from mlops_assets.lifecycle.training import ModelSignature

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.models import ModelSignature as MlflowSignature

IDENTITY = ("dagster_run_id", "dagster_asset", "dagster_partition")
"""The tags that together name one tracking run."""


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
        run_id, experiment_id = self._make_run(experiment, name, tags)
        resource = _open_resource(
            SimpleNamespace(
                log=_Quiet(),
                dagster_run=SimpleNamespace(job_name=name),
                run_id=tags["dagster_run_id"],
                resource_config={
                    "experiment_name": experiment,
                    "mlflow_tracking_uri": self.uri,
                    "mlflow_run_id": run_id,
                    "extra_tags": dict(tags),
                },
            )
        )
        url = f"{self.ui}/#/experiments/{experiment_id}/runs/{run_id}" if self.ui else None
        try:
            yield MlflowRun(resource, run_id, url)
        except BaseException as error:
            stopped = isinstance(error, KeyboardInterrupt | SystemExit)
            resource.end_run(status="KILLED" if stopped else "FAILED")
            raise
        resource.end_run(status="FINISHED")

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
        found = client.get_experiment_by_name(experiment)
        place = f"{self.artifacts.absolute().as_uri()}/{experiment}" if self.artifacts else None
        experiment_id = (
            found.experiment_id if found else client.create_experiment(experiment, place)
        )
        same = " and ".join(f"tags.{tag} = '{tags[tag]}'" for tag in IDENTITY)
        runs = client.search_runs([experiment_id], same, max_results=1)
        run = runs[0] if runs else client.create_run(experiment_id, tags=dict(tags), run_name=name)
        return run.info.run_id, experiment_id


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
