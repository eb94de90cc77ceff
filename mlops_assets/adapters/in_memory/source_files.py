"""Raw files in a dictionary."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from mlops_assets.lifecycle.errors import SourceError
from mlops_assets.lifecycle.sources import SourceFile


class InMemorySourceFiles:
    """``SourceFiles`` by their ``package:NAME/FILE`` or their whole path."""

    def __init__(self, files: Mapping[str, bytes] | None = None) -> None:
        self.files = dict(files or {})

    def read(self, path: str, base: Path) -> SourceFile:
        place = path if path.startswith("package:") else str(base / path)
        if place not in self.files:
            raise SourceError(f"{place}: the file is not there; deliver it")
        return SourceFile(Path(place).name, self.files[place])
