"""What the project asks of the outside world; of what serves and is served: ``serving_ports``.

Each protocol has a real adapter (one file per brand) and a fake in ``in_memory``; one contract
suite per protocol keeps them equal.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, Protocol

if TYPE_CHECKING:
    import polars as pl

    from mlops_assets.lifecycle.drift.report import DriftReport
    from mlops_assets.lifecycle.sources import SourceFile
    from mlops_assets.lifecycle.training import ModelSignature
    from mlops_assets.lifecycle.tuning import Objective, Trial, Tuning, TuningResult


class Clock(Protocol):
    """Where time comes from."""

    def now(self) -> datetime:
        """The current moment, in UTC and aware of it."""


class SourceFiles(Protocol):
    """Raw files as the world delivers them."""

    def read(self, path: str, base: Path) -> SourceFile:
        """The bytes at ``path``: ``package:NAME/FILE``, absolute, or relative to ``base``.

        Raises ``SourceError`` naming the path when it is not there.
        """


@dataclass(frozen=True)
class TableVersion:
    """What a write left: the table's version, the rows and fingerprint of each partition."""

    version: int
    rows: Mapping[str, int]
    fingerprints: Mapping[str, str]


class TableStore(Protocol):
    """Partitioned tables. A write replaces whole partitions in one commit, or changes nothing."""

    def write(self, table: str, partitions: Mapping[str, pl.DataFrame]) -> TableVersion:
        """Replace the named partitions, at least one; a frame may have no rows, but columns."""

    def write_after(
        self, table: str, partitions: Mapping[str, pl.DataFrame], version: int | None
    ) -> TableVersion:
        """``write`` as the next version after the one that was read, None for the table's first.

        Raises ``TableConflict`` and changes nothing when the table has another version by now.
        """

    def read(
        self,
        table: str,
        partitions: Sequence[str] | None = None,
        *,
        columns: Sequence[str] | None = None,
        version: int | None = None,
    ) -> pl.DataFrame:
        """The rows of the partitions (all when None) with a ``partition`` column.

        Raises ``KeyError`` for a table that was never written; a partition that was never
        written has no rows.
        """

    def version(self, table: str) -> int | None:
        """The latest version, or None when the table was never written."""


@dataclass(frozen=True)
class Record:
    """One ledger row. Rows of one (kind, model, subject) are numbered by ``sequence`` from 1."""

    kind: str
    model: str
    subject: str
    sequence: int
    body: Mapping[str, Any]
    at: datetime
    position: int = 0


class Ledger(Protocol):
    """The append-only record that decisions rest on."""

    def append(self, *records: Record) -> list[Record]:
        """Write rows of different subjects, all or none of them.

        Raises ``LedgerConflict`` when the sequence of one is taken or skips one.
        """

    def latest(self, kind: str, model: str, subject: str | None = None) -> Record | None:
        """The last row of a subject, or of the whole kind when ``subject`` is None."""

    def history(self, kind: str, model: str, subject: str | None = None) -> list[Record]:
        """All rows, oldest first."""

    def models(self) -> list[str]:
        """The models that have rows, sorted."""

    def position(self) -> int:
        """The position of the last row of all, 0 when empty: it moves with every write."""


class ModelFiles(Protocol):
    """Fitted models by the digest of their files."""

    def save(self, model: Any, signature: ModelSignature) -> str:
        """Store a fitted scikit-learn model and its signature; returns the digest.

        Saving the same content twice stores it once.
        """

    def load(self, digest: str) -> tuple[Any, ModelSignature]:
        """The model and signature. Verifies the digest before anything is deserialised.

        Raises ``ArtifactError`` when files are missing, changed, or hold untrusted types.
        """

    def holds(self, digest: str) -> bool:
        """Whether there are files of that digest; ``load`` is what verifies them."""

    def path(self, digest: str) -> Path:
        """The folder that holds the files."""


@dataclass(frozen=True)
class Dataset:
    """Data that went into a run: which table, at which digest, how many rows, and for what."""

    name: str
    digest: str
    source: str
    rows: int
    context: Literal["training", "tuning", "calibration", "evaluation"]


RunStatus = Literal["FINISHED", "FAILED", "KILLED"]


class TrackingRun(Protocol):
    """One tracking run, open until its context ends."""

    run_id: str
    url: str | None

    def log_params(self, params: Mapping[str, Any]) -> None: ...
    def log_metrics(self, metrics: Mapping[str, float]) -> None: ...
    def log_dataset(self, dataset: Dataset) -> None:
        """Name data that went in; naming the same again does nothing."""

    def log_child(
        self,
        name: str,
        params: Mapping[str, Any],
        metrics: Mapping[str, float],
        status: RunStatus = "FINISHED",
    ) -> None:
        """One run below this one that has ended already: a trial of a study."""

    def log_model(self, model: Any, signature: ModelSignature) -> str:
        """Log a fitted model; returns the URI a registry can register."""


class Tracking(Protocol):
    """Where parameters, metrics and pictures of training are kept for people."""

    def run(
        self, *, experiment: str, name: str, tags: Mapping[str, str]
    ) -> AbstractContextManager[TrackingRun]:
        """One run: finished when the block ends, failed when it raises, killed when stopped."""

    def annotate(
        self,
        run_id: str,
        metrics: Mapping[str, float],
        images: Mapping[str, bytes],
        texts: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        """Add metrics, PNG images and Markdown texts, by name, to a run that has ended."""

    def end_unfinished(self, dagster_run_id: str, status: RunStatus) -> list[str]:
        """End the tracking runs of a Dagster run that are still open: its process is gone and
        cannot. Returns their ids; none when all had ended."""


@dataclass(frozen=True)
class ModelVersion:
    """A registered version. ``version`` is like ``v3``."""

    model: str
    version: str
    digest: str
    uri: str
    tags: Mapping[str, str] = field(default_factory=dict)
    aliases: tuple[str, ...] = ()


class Registry(Protocol):
    """Registered model versions and their aliases."""

    def register(self, model: str, digest: str, uri: str, tags: Mapping[str, str]) -> ModelVersion:
        """Register a version; the same digest again returns the version it already has."""

    def get(self, model: str, version: str) -> ModelVersion:
        """One version. Raises ``KeyError`` when there is none of that name."""

    def versions(self, model: str) -> list[ModelVersion]:
        """All versions, oldest first; empty for an unknown model."""

    def set_alias(self, model: str, alias: str, version: str | None) -> None:
        """Point an alias at a version, or remove it with None. Applying it twice is harmless."""


class Studies(Protocol):
    """Hyper-parameter studies that can be continued."""

    def optimise(
        self,
        name: str,
        tuning: Tuning,
        objective: Objective,
        report: Callable[[Trial], None],
    ) -> TuningResult:
        """Run trials until the study has as many as the tuning asks for, or its time is spent.

        Lower is better. ``report`` hears of each trial that ended in this call, in their order. A
        study that was interrupted at any point goes on with the trial an unbroken one would try.
        """


@dataclass(frozen=True)
class ReportPage:
    """Where a page lies, and the address that a browser opens it at."""

    path: Path
    url: str


class Reports(Protocol):
    """Pictures of a drift comparison for people."""

    def drift(
        self, name: str, reference: pl.DataFrame, current: pl.DataFrame, report: DriftReport
    ) -> ReportPage:
        """Render reference against current as an HTML page; the page of a name is replaced whole.

        A column of either side may have values in some rows only. Raises ``ReportError`` when it
        cannot be drawn; the page that was there stays.
        """


class Alerts(Protocol):
    """Where people are told."""

    def send(self, title: str, body: str) -> list[str]:
        """Deliver one message; returns in words who could not be reached though others were.

        Raises ``EndpointError`` when nobody was.
        """
