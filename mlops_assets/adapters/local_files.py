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
    top, *below = name.split(".")
    # Only the top is looked up: to look up what is below it would import it.
    found = importlib.util.find_spec(top) if top.isidentifier() else None
    if found is None or found.origin is None or not found.submodule_search_locations:
        raise SourceError(f"{path}: the package '{name}' is not installed; install it")
    if ".." in Path(inside).parts or Path(inside).is_absolute():
        raise SourceError(f"{path}: only files below the package can be read; leave '..' out")
    return Path(found.origin).parent.joinpath(*below, inside)
