"""What TensorBoard has no place for: which run a folder is, and whether it has ended."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlops_assets.adapters.file_locks import exclusive

RUN_FILE = "run.json"


@dataclass(frozen=True)
class RunFile:
    """``run.json`` in the folder of a run, whose events lie beside it."""

    folder: Path

    def read(self) -> dict[str, Any]:
        """All that is known; empty for a run that was never opened."""
        try:
            body: dict[str, Any] = json.loads((self.folder / RUN_FILE).read_bytes())
        except FileNotFoundError:
            return {}
        return body

    @contextmanager
    def change(self) -> Iterator[dict[str, Any]]:
        """What is known, to be changed in the block, by one at a time.

        It is written when the block ends, whole; a block that raises changes nothing.
        """
        with exclusive(self.folder / "run.lock"):
            body = self.read()
            yield body
            written = self.folder / f"{RUN_FILE}.new"
            written.write_text(json.dumps(body, indent=1, default=str))
            os.replace(written, self.folder / RUN_FILE)  # noqa: PTH105 - named for what it does
