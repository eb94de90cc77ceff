"""Versions that get no more requests, known here before the ledger knows."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import msgspec

from mlops_assets.lifecycle.rollout.state import CutOff
from mlops_assets.serving.state_files import write_atomically

logger = logging.getLogger(__name__)


class CutOffs:
    """What this endpoint cut off, by model and digest; those the ledger lacks are kept on disk.

    Any thread may add and ask; ``save`` and ``deliver`` belong to one.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._lock = threading.Lock()
        self._pending = read_pending(file)
        self._known = dict(self._pending)
        self._saved = dict(self._pending)

    def add(self, model: str, cut_off: CutOff) -> bool:
        """Cut the version off from now on; False when it was already."""
        key = (model, cut_off.digest)
        with self._lock:
            if key in self._known:
                return False
            self._known[key] = self._pending[key] = cut_off
        logger.warning("%s %s is cut off: %s", model, cut_off.version, cut_off.reason)
        return True

    def learn(self, model: str, cut_off: CutOff) -> None:
        """The ledger has it: whoever wrote it, the version is cut off here too."""
        with self._lock:
            self._known[model, cut_off.digest] = cut_off
            self._pending.pop((model, cut_off.digest), None)

    @property
    def pending(self) -> bool:
        """Whether there is something that the ledger was not told."""
        return bool(self._pending)

    def find(self, model: str, digest: str) -> CutOff | None:
        """Why the version is cut off, None when it is not."""
        return self._known.get((model, digest))

    def digests(self, model: str) -> frozenset[str]:
        """The digests of a model that are cut off."""
        with self._lock:
            return frozenset(digest for owner, digest in self._known if owner == model)

    def deliver(self, write: Callable[[str, CutOff], None]) -> None:
        """Hand what the ledger lacks to ``write``, and remember what it did not raise for."""
        with self._lock:
            pending = dict(self._pending)
        for (model, digest), cut_off in pending.items():
            write(model, cut_off)
            with self._lock:
                self._pending.pop((model, digest), None)

    def save(self) -> None:
        """Keep on disk what the ledger lacks, for a restart while it is away."""
        with self._lock:
            pending = dict(self._pending)
        if pending == self._saved:
            return
        if pending:
            plain = [{"model": model, **asdict(said)} for (model, _), said in pending.items()]
            write_atomically(self._file, plain)
        else:
            self._file.unlink(missing_ok=True)
        self._saved = pending


def read_pending(file: Path) -> dict[tuple[str, str], CutOff]:
    """What ``CutOffs.save`` wrote, empty when the file is missing or damaged."""
    try:
        rows = msgspec.json.decode(file.read_bytes(), type=list[dict[str, Any]])
        found = [(row.pop("model"), CutOff(**row)) for row in rows]
        return {(model, cut_off.digest): cut_off for model, cut_off in found}
    except FileNotFoundError:
        return {}
    except (OSError, msgspec.MsgspecError, KeyError, TypeError) as error:
        logger.warning("cut-offs: %s is not used, it cannot be read: %r", file, error)
        return {}
