"""The rows of the year, and one model as of each of its partitions: what all policies draw on.

Models are walk-forward: as of a partition the same model comes out whoever asks for it, so each is
fitted once. A policy's own training finds it unchanged; it is judged and rolled out all the same.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mlops_assets.commands.replay_year.place import open_location
from mlops_assets.lifecycle.digests import digest_value

if TYPE_CHECKING:
    from mlops_assets.components.definition import ModelDefinition

CHUNK = 3
"""Partitions fitted in one run; between runs is told how far it is."""

INGESTED = "ingested.digest"
"""The file of a base folder that says which rows it holds."""


def list_weeks(model: ModelDefinition) -> tuple[str, ...]:
    """The partitions with enough history for a model as of their beginning."""
    return model.calendar.keys[model.spec.training.split.needed :]


def ingest_rows(model: ModelDefinition, base: Path, say: Callable[[str], None]) -> None:
    """Raw files to features below ``base``, all partitions as one run.

    Whole and unchanged rows are kept, and with them the models there: an interrupted replay goes
    on. Another ``model.py``, or other sources, begin from nothing.
    """
    marker, digest = base / INGESTED, _digest_rows(model)
    if marker.exists() and marker.read_text() == digest:
        return
    shutil.rmtree(base, ignore_errors=True)
    location, _, _ = open_location(model, base)
    keys = model.calendar.keys
    say(f"ingest: {keys[0]} to {keys[-1]} as one run")
    location.run_job("ingest", span=(keys[0], keys[-1]))
    marker.write_text(digest)


def fit_models(
    model: ModelDefinition, weeks: Sequence[str], base: Path, say: Callable[[str], None]
) -> None:
    """Fit a model as of each of ``weeks``; those that are there and unchanged are kept.

    Several processes may fit different weeks at once.
    """
    location, _, _ = open_location(model, base)
    for start in range(0, len(weeks), CHUNK):
        chunk = weeks[start : start + CHUNK]
        for week in chunk:
            location.materialize("training_set", "trained_model", partition=week)
        say(f"fit: {start + len(chunk)} of {len(weeks)} models, as of {chunk[-1]}")


def _digest_rows(model: ModelDefinition) -> str:
    """Digest of all that decides which rows there are."""
    spec = model.spec.model_dump(
        mode="json", include={"calendar", "sources", "entities", "features", "label", "validation"}
    )
    return digest_value([model.code_digest, spec])
