"""One training, tracked in several places at once."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from types import MappingProxyType, TracebackType
from typing import Any

from mlops_assets.adapters.ports import Dataset, RunStatus, Tracking, TrackingRun
from mlops_assets.adapters.tracking_identity import TRACKING_RUN
from mlops_assets.lifecycle.training import ModelSignature

_log = logging.getLogger(__name__)


@dataclass
class FanOutRun:
    """``TrackingRun`` that tells several; its id, address and model URI are those of the first."""

    run_id: str
    url: str | None
    first: TrackingRun
    others: tuple[FurtherRun, ...]

    def log_params(self, params: Mapping[str, Any]) -> None:
        self.first.log_params(params)
        self._tell(lambda run: run.log_params(params))

    def log_metrics(self, metrics: Mapping[str, float]) -> None:
        self.first.log_metrics(metrics)
        self._tell(lambda run: run.log_metrics(metrics))

    def log_dataset(self, dataset: Dataset) -> None:
        self.first.log_dataset(dataset)
        self._tell(lambda run: run.log_dataset(dataset))

    def log_child(
        self,
        name: str,
        params: Mapping[str, Any],
        metrics: Mapping[str, float],
        status: RunStatus = "FINISHED",
    ) -> None:
        self.first.log_child(name, params, metrics, status)
        self._tell(lambda run: run.log_child(name, params, metrics, status))

    def log_model(self, model: Any, signature: ModelSignature) -> str:
        uri = self.first.log_model(model, signature)
        self._tell(lambda run: run.log_model(model, signature))
        return uri

    def _tell(self, what: Callable[[TrackingRun], object]) -> None:
        for other in self.others:
            other.tell(what)


@dataclass(frozen=True)
class FanOutTracking:
    """``Tracking`` in ``first``, which counts, and in ``others``, which are extras.

    What ``first`` raises is raised. What another raises becomes a warning, for no training is lost
    to an extra; it hears nothing more of that run but its end. The others know their run by the
    id it has in ``first``, from its tag ``tracking_run``: whoever annotates later needs that alone.
    """

    first: Tracking
    others: tuple[Tracking, ...]

    @contextmanager
    def run(self, *, experiment: str, name: str, tags: Mapping[str, str]) -> Iterator[FanOutRun]:
        # The others end after the first: when that fails to end, they have failed too.
        with (
            ExitStack() as ends,
            self.first.run(experiment=experiment, name=name, tags=tags) as first,
        ):
            known = {**tags, TRACKING_RUN: first.run_id}
            others = tuple(
                ends.enter_context(FurtherRun(tracking, experiment, name, known))
                for tracking in self.others
            )
            yield FanOutRun(first.run_id, first.url, first, others)

    def annotate(
        self,
        run_id: str,
        metrics: Mapping[str, float],
        images: Mapping[str, bytes],
        texts: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self.first.annotate(run_id, metrics, images, texts)
        for other in self.others:
            _guard(other, other.annotate, run_id, metrics, images, texts)

    def end_unfinished(self, dagster_run_id: str, status: RunStatus) -> list[str]:
        ended = self.first.end_unfinished(dagster_run_id, status)
        for other in self.others:
            _guard(other, other.end_unfinished, dagster_run_id, status)
        return ended


class FurtherRun:
    """The run of one of the others: a context that passes every error of the block on, and none
    of its own."""

    def __init__(
        self, tracking: Tracking, experiment: str, name: str, tags: Mapping[str, str]
    ) -> None:
        self._tracking = tracking
        self._identity = (experiment, name, tags)
        self._context: AbstractContextManager[TrackingRun] | None = None
        self._run: TrackingRun | None = None

    def __enter__(self) -> FurtherRun:
        _guard(self._tracking, self._open)
        return self

    def tell(self, what: Callable[[TrackingRun], object]) -> None:
        """Pass something on, unless it failed before."""
        run = self._run
        if run is not None and not _guard(self._tracking, what, run):
            self._run = None

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._context is not None:
            _guard(self._tracking, self._context.__exit__, kind, error, trace)

    def _open(self) -> None:
        experiment, name, tags = self._identity
        context = self._tracking.run(experiment=experiment, name=name, tags=tags)
        self._run = context.__enter__()
        self._context = context


def _guard(tracking: Tracking, act: Callable[..., object], *arguments: object) -> bool:
    """Whether it could be done; what went wrong is warned of, with where it did."""
    try:
        act(*arguments)
    except Exception:  # noqa: BLE001 - whatever an extra raises, the training goes on
        _log.warning(
            "tracking: %s failed and is left out, training goes on; see the reason below",
            type(tracking).__name__,
            exc_info=True,
        )
        return False
    return True
