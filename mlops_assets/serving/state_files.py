"""Small JSON files that are there as a whole or not at all."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

import msgspec


def write_atomically(path: Path, content: Any) -> None:
    """Replace ``path`` by ``content`` as JSON; a reader sees the old file or the new one.

    Raises ``OSError`` when the folder cannot be written; the old file is left as it was.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    data = msgspec.json.format(msgspec.json.encode(content), indent=1)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".writing-") as folder:
        written = Path(folder) / path.name
        with written.open("wb") as handle:
            handle.write(data)
            handle.flush()
            os.fsync(handle.fileno())
        written.replace(path)
