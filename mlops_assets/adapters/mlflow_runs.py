"""One open MLflow run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mlops_assets.adapters.mlflow_children import MlflowChildren
from mlops_assets.adapters.mlflow_datasets import log_input
from mlops_assets.adapters.ports import Dataset, RunStatus
from mlops_assets.adapters.skops_models import TRUSTED_TYPES
from mlops_assets.lifecycle.training import ModelSignature

if TYPE_CHECKING:
    from mlflow.models import ModelSignature as MlflowSignature


@dataclass
class MlflowRun:
    """``TrackingRun`` that is MLflow's active run, through dagster-mlflow's ``resource``."""

    resource: Any
    run_id: str
    url: str | None
    children: MlflowChildren

    def log_params(self, params: Mapping[str, Any]) -> None:
        self.resource.log_params(dict(params))

    def log_metrics(self, metrics: Mapping[str, float]) -> None:
        self.resource.log_metrics(dict(metrics))

    def log_dataset(self, dataset: Dataset) -> None:
        log_input(self.children.client, self.run_id, dataset)

    def log_child(
        self,
        name: str,
        params: Mapping[str, Any],
        metrics: Mapping[str, float],
        status: RunStatus = "FINISHED",
    ) -> None:
        self.children.log(name, params, metrics, status)

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


def _schema(signature: ModelSignature) -> MlflowSignature:
    from mlflow.models import ModelSignature as MlflowSignature
    from mlflow.types import ColSpec, Schema

    kinds = {"numeric": "double", "categorical": "string"}
    return MlflowSignature(
        inputs=Schema([ColSpec(kinds[f.kind], f.name, required=True) for f in signature.features]),
        outputs=Schema([ColSpec("double", "probability")]),
    )
