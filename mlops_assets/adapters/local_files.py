"""Raw files from the local disk or from inside an installed package."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from mlops_assets.lifecycle.errors import SourceError
from mlops_assets.lifecycle.sources import SourceFile

PACKAGE = "package:"


class LocalFiles:
    """``SourceFiles`` on the local disk. ``package:NAME/FILE`` reads without importing NAME."""

    def read(self, path: str, base: Path) -> SourceFile:
        place = _package_path(path) if path.startswith(PACKAGE) else base / path
        try:
            return SourceFile(place.name, place.read_bytes())
        except OSError as error:
            raise SourceError(
                f"{place.name}: the file cannot be read ({error.strerror}); {place} was expected, "
                "deliver it or correct 'path' in defs.yaml"
            ) from error


def _package_path(path: str) -> Path:
    name, _, inside = path.removeprefix(PACKAGE).partition("/")
    found = importlib.util.find_spec(name)
    if found is None or found.origin is None:
        raise SourceError(f"{path}: the package '{name}' is not installed; install it")
    return Path(found.origin).parent / inside
