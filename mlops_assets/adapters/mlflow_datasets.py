"""Data that went into a run, as MLflow shows it in its column of datasets."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from mlops_assets.adapters.ports import Dataset

if TYPE_CHECKING:
    from mlflow import MlflowClient

_LONGEST_DIGEST = 36


def log_input(client: MlflowClient, run_id: str, dataset: Dataset) -> None:
    """Log a dataset as an input; MLflow keeps the same name and digest once in a run.

    It does so whatever the context: the same data for a second purpose shows the first. Its digests
    have 36 characters; the whole one is kept in the source and the profile.
    """
    from mlflow.entities import Dataset as MlflowDataset
    from mlflow.entities import DatasetInput, InputTag

    shown = MlflowDataset(
        name=dataset.name,
        digest=dataset.digest[:_LONGEST_DIGEST],
        source_type=_source_type(dataset.source),
        source=json.dumps({"uri": dataset.source, "digest": dataset.digest}),
        profile=json.dumps({"num_rows": dataset.rows, "digest": dataset.digest}),
    )
    context = InputTag("mlflow.data.context", dataset.context)
    client.log_inputs(run_id, [DatasetInput(shown, [context])])


def _source_type(source: str) -> str:
    """MLflow calls the types of its sources by their scheme, and a plain path ``local``."""
    scheme = urlsplit(source).scheme
    return scheme if scheme not in ("", "file") else "local"
