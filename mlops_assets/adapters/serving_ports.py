"""What the project asks of the endpoint, and of what stands around it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import polars as pl

    from mlops_assets.lifecycle.online import OnlineTable
    from mlops_assets.lifecycle.rollout.drill import RollbackDrill
    from mlops_assets.lifecycle.rollout.window import Window
    from mlops_assets.lifecycle.staging import StagedAnswers
    from mlops_assets.lifecycle.training import ModelSignature


@dataclass(frozen=True)
class Endpoint:
    """Where a model server answers."""

    url: str
    pid: int | None = None


class Serving(Protocol):
    """The process that answers predictions. It outlives whoever started it."""

    def ensure_running(self) -> Endpoint:
        """The running endpoint, started first when it is not up. Raises ``EndpointError``."""

    def wait_until_ready(self, model: str, version: str, timeout: float) -> bool:
        """Whether the version is loaded and can answer, within ``timeout`` seconds."""

    def stop(self) -> bool:
        """End the process that this adapter's state names; False when none was running."""


@dataclass(frozen=True)
class StagedVersion:
    """A version by its files, and what they take and give."""

    digest: str
    signature: ModelSignature


class StagingServer(Protocol):
    """A model server that serves nobody: what is measured there is what callers will see."""

    def measure(
        self, signature: ModelSignature, digest: str, rows: pl.DataFrame, samples: int
    ) -> StagedAnswers:
        """The answers to ``rows``, and the time the first ``samples`` of them take one by one."""

    def drill_rollback(
        self, current: StagedVersion, previous: StagedVersion, rows: pl.DataFrame
    ) -> RollbackDrill:
        """Promote ``current``, go back to ``previous`` while ``rows`` are asked, and time it."""


class Staging(Protocol):
    """Where a version is tried in the real server before anybody may decide on it."""

    def open(self) -> AbstractContextManager[StagingServer]:
        """A server of its own, started on first use and ended with the block."""


class Telemetry(Protocol):
    """What the endpoint logged about the requests it answered."""

    def windows(
        self,
        model: str,
        canary: str,
        since: datetime,
        *,
        slow_milliseconds: float | None = None,
        threshold: float | None = None,
    ) -> tuple[Window, ...]:
        """What both arms did during the canary's rollout, one window per weight, rising.

        ``since``: when the rollout began; only to leave out what is surely older.
        """

    def predictions(self, model: str, since: datetime | None = None) -> pl.DataFrame:
        """Every logged attempt, one row per row it was about, oldest first.

        ``probability`` is null where the version failed; copies have the arm ``shadow``. ``since``
        leaves out what came more than an hour before.
        """

    def prune(self, model: str, before: datetime, collected: Callable[[pl.DataFrame], bool]) -> int:
        """Remove logged files that are older than ``before`` and whose rows, as ``predictions``
        gives them, are all ``collected``; returns how many were removed."""


class OnlineTables(Protocol):
    """Feature values by key, where the endpoint looks up what a request leaves out."""

    def publish(self, table: OnlineTable) -> str:
        """Replace the model's table as a whole; returns its digest. The same again does nothing."""

    def read(self, model: str) -> OnlineTable | None:
        """The latest table, None before the first. Raises ``ArtifactError`` for a damaged one."""
