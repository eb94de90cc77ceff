"""Tracking in TensorBoard's event files: a folder for each run, no server needed to write."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any
from urllib.parse import quote

from mlops_assets.adapters.ports import Dataset, RunStatus
from mlops_assets.adapters.tensorboard_events import (
    EventFile,
    hparams,
    image,
    scalar,
    tensorboard,
    text,
)
from mlops_assets.adapters.tensorboard_run_file import RUN_FILE, RunFile
from mlops_assets.adapters.tracking_identity import (
    IDENTITY,
    TRACKING_RUN,
    describe_run,
    ended_by,
)
from mlops_assets.lifecycle.digests import digest_value
from mlops_assets.lifecycle.training import ModelSignature

_SHOWN = 12
"""How much of a run's id its folder shows: enough to tell runs apart, short enough to read."""


@dataclass
class TensorboardRun:
    """``TrackingRun`` on a folder of event files; children are folders below it."""

    run_id: str
    url: str | None
    folder: Path
    events: EventFile = field(repr=False)

    def log_params(self, params: Mapping[str, Any]) -> None:
        with RunFile(self.folder).change() as body:
            _add_params(self.run_id, body["params"], params)
            self.events.add(text("params", _table(body["params"])))

    def log_metrics(self, metrics: Mapping[str, float]) -> None:
        self.events.add(*(scalar(name, value) for name, value in metrics.items()))

    def log_dataset(self, dataset: Dataset) -> None:
        told = asdict(dataset)
        with RunFile(self.folder).change() as body:
            if not any(_same_data(told, known) for known in body["datasets"]):
                body["datasets"].append(told)
                self.events.add(text(f"datasets/{dataset.name}", _table(told)))

    def log_child(
        self,
        name: str,
        params: Mapping[str, Any],
        metrics: Mapping[str, float],
        status: RunStatus = "FINISHED",
    ) -> None:
        with RunFile(self.folder).change() as body:
            child = body["children"].setdefault(name, {"status": None, "params": {}})
            if child["status"] == "FINISHED":
                return
            _add_params(f"{self.run_id}/{name}", child["params"], params)
            child["status"] = status
            events = EventFile(self.folder / _part(name))
            measured = (scalar(key, value) for key, value in metrics.items())
            events.add(*measured, *hparams(child["params"], status == "FINISHED"))
            events.close()

    def log_model(self, model: Any, signature: ModelSignature) -> str:  # noqa: ARG002
        """Nothing is stored, TensorBoard keeps no models: the URI is empty."""
        return ""


@dataclass(frozen=True)
class TensorboardTracking:
    """``Tracking`` below ``root``: ``<experiment>/<name>-<start of the run's id>/``.

    The id of a run is the digest of its experiment and identity, so that a run has one folder
    whoever asks for it; each try adds an event file (``tensorboard --reload_multifile true`` shows
    those of several writers at once). ``run.json`` beside the events says how the run ended. A run
    is annotated by its own id, or by the one that its tag ``tracking_run`` names. Needs the extra
    ``tensorboard``; without it the first use raises ``SpecError``.
    """

    root: Path

    @contextmanager
    def run(
        self, *, experiment: str, name: str, tags: Mapping[str, str]
    ) -> Iterator[TensorboardRun]:
        tensorboard("summary")  # refused before a folder is made, when it is not installed
        run_id = digest_value([experiment, *(tags[tag] for tag in IDENTITY)])[:32]
        short = run_id[:_SHOWN]
        known = self._folders(short)
        folder = known[0] if known else self.root / _part(experiment) / f"{_part(name)}-{short}"
        self._begin(folder, run_id, experiment, name, tags)
        run = TensorboardRun(run_id, None, folder, EventFile(folder))
        try:
            run.events.add(text("run", describe_run(tags)))
            yield run
        except BaseException as error:
            self._end(run, ended_by(error))
            raise
        self._end(run, "FINISHED")

    def annotate(
        self,
        run_id: str,
        metrics: Mapping[str, float],
        images: Mapping[str, bytes],
        texts: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        folder = self._find(run_id)
        events = EventFile(folder)
        events.add(
            *(scalar(name, value) for name, value in metrics.items()),
            *(image(f"plots/{name}", png) for name, png in images.items()),
            *(text(f"cards/{name}", card) for name, card in texts.items()),
        )
        events.close()

    def end_unfinished(self, dagster_run_id: str, status: RunStatus) -> list[str]:
        ended = []
        for folder in self._folders():
            with RunFile(folder).change() as body:
                same = body["tags"]["dagster_run_id"] == dagster_run_id
                if same and body["status"] == "RUNNING":
                    body["status"] = status
                    ended.append(str(body["run_id"]))
        return ended

    def _begin(
        self, folder: Path, run_id: str, experiment: str, name: str, tags: Mapping[str, str]
    ) -> None:
        empty: dict[str, Any] = {"tags": {}, "params": {}, "datasets": [], "children": {}}
        told = {"run_id": run_id, "experiment": experiment, "name": name, "status": "RUNNING"}
        with RunFile(folder).change() as body:
            kept = empty | body
            body.update(kept | told | {"tags": {**kept["tags"], **tags}})

    def _end(self, run: TensorboardRun, status: RunStatus) -> None:
        with RunFile(run.folder).change() as body:
            body["status"] = status
            if status == "FINISHED":
                run.events.add(*hparams(body["params"], finished=True))
        run.events.close()

    def _folders(self, short: str = "*") -> list[Path]:
        """The folders of all runs, or of the one whose id starts so."""
        return sorted(found.parent for found in self.root.glob(f"*/*-{short}/{RUN_FILE}"))

    def _find(self, run_id: str) -> Path:
        for folder in self._folders():
            body = RunFile(folder).read()
            if run_id in (body["run_id"], body["tags"].get(TRACKING_RUN)):
                return folder
        raise KeyError(run_id)


def _add_params(where: str, known: dict[str, Any], params: Mapping[str, Any]) -> None:
    """Add what is new; ``ValueError`` for a parameter that has another value already."""
    plain = {name: _plain(value) for name, value in params.items()}
    changed = [name for name in plain if str(known.get(name, plain[name])) != str(plain[name])]
    if changed:
        raise ValueError(f"{where}: parameters cannot change: {', '.join(changed)}")
    known.update(plain)


def _plain(value: Any) -> Any:
    """Numbers stay numbers, also NumPy's; whatever else a parameter is, people read its text."""
    value = value.item() if hasattr(value, "item") else value
    return value if isinstance(value, bool | int | float | str) else str(value)


def _same_data(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    return all(one[part] == other[part] for part in ("name", "digest"))


def _table(values: Mapping[str, Any]) -> str:
    rows = (f"| {name} | {str(value).replace('|', '&#124;')} |" for name, value in values.items())
    return "\n".join(("| name | value |", "|---|---|", *rows))


def _part(name: str) -> str:
    """A name as one part of a path: different names stay different, none leads elsewhere.

    A part has no dot and every file of a run has one, so no child is called like a file beside it.
    """
    return quote(name, safe=" =,+").replace(".", "%2E")
