"""A staging server that is a function call."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from mlops_assets.adapters.in_memory.model_files import InMemoryModelFiles
from mlops_assets.adapters.local_staging import measure_megabytes
from mlops_assets.adapters.ports import ModelFiles
from mlops_assets.adapters.serving_ports import StagedVersion
from mlops_assets.lifecycle.errors import ArtifactError
from mlops_assets.lifecycle.rollout.drill import RollbackDrill
from mlops_assets.lifecycle.staging import StagedAnswers, slice_batches
from mlops_assets.lifecycle.training import ModelSignature, predict_probability

if TYPE_CHECKING:
    import polars as pl

MILLISECONDS = 1.0
"""What each answered request is said to take."""

SECONDS = 0.05
"""What going back is said to take."""


class InMemoryStaging:
    """``Staging`` that answers in this process, from ``model_files``."""

    def __init__(self, model_files: ModelFiles) -> None:
        self._files = model_files

    @contextmanager
    def open(self) -> Iterator[InMemoryStagingServer]:
        yield InMemoryStagingServer(self._files)


class InMemoryStagingServer:
    """``StagingServer`` whose requests all take as long."""

    def __init__(self, model_files: ModelFiles) -> None:
        self._files = model_files

    def measure(
        self, signature: ModelSignature, digest: str, rows: pl.DataFrame, samples: int
    ) -> StagedAnswers:
        megabytes = self._megabytes(digest)
        try:
            model, saved = self._files.load(digest)
            if saved.model != signature.model:
                raise ArtifactError(f"the files were trained as '{saved.model}'")
        except ArtifactError as error:
            return StagedAnswers((None,) * rows.height, (str(error),), (), megabytes, loaded=False)
        answers: list[float | None] = []
        reasons: set[str] = set()
        for _, part in slice_batches(rows):
            answers += _ask(model, saved, part, reasons)
        answered = sum(answer is not None for answer in answers[:samples])
        times = (MILLISECONDS,) * answered
        return StagedAnswers(tuple(answers), tuple(sorted(reasons)), times, megabytes, loaded=True)

    def drill_rollback(
        self, current: StagedVersion, previous: StagedVersion, rows: pl.DataFrame
    ) -> RollbackDrill:
        failed = 0
        for version in (current, previous):
            model, saved = self._files.load(version.digest)
            failed += _ask(model, saved, rows, set()).count(None)
        return RollbackDrill(SECONDS, 2 * rows.height, failed)

    def _megabytes(self, digest: str) -> float:
        folder = self._files.path(digest)
        if isinstance(self._files, InMemoryModelFiles):
            return sum(map(len, self._files.folders.get(folder, {}).values())) / 1e6
        return measure_megabytes(folder)


def _ask(
    model: Any, signature: ModelSignature, rows: pl.DataFrame, reasons: set[str]
) -> list[float | None]:
    """A probability per row; what is refused together is asked again in halves."""
    import numpy as np

    try:
        answers = predict_probability(model, rows, signature.features)
        if not np.isfinite(answers).all():
            raise ValueError("the version did not answer one finite probability per row")
    except Exception as error:  # noqa: BLE001 - an estimator may raise anything
        if rows.height == 1:
            reasons.add(f"{type(error).__name__}: {error}"[:300])
            return [None]
        half = rows.height // 2
        parts = (rows.head(half), rows.slice(half))
        return [answer for part in parts for answer in _ask(model, signature, part, reasons)]
    return answers.tolist()  # type: ignore[no-any-return]
