"""Everything the project raises on purpose.

    MlopsAssetsError
    ├── SpecError            a defs.yaml or model.py says something impossible
    ├── SourceError          a raw file is not what its source declares
    ├── FeatureError         build_features or build_labels broke its contract
    ├── TrainingError        a training set cannot be made or fitted
    ├── RefusedError         a version has no verdict that lets it pass
    ├── RequestError         a request to the model server cannot be answered as asked
    ├── ArtifactError        model files are missing, changed, or hold untrusted types
    ├── LedgerConflict       somebody else wrote the next ledger row first
    ├── TableConflict        somebody else wrote the table's next version first
    ├── ReportError          a page for people cannot be drawn
    └── EndpointError        the model server is away or did not load a version in time

Each message names where, which rule, what came, and what to do.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class MlopsAssetsError(Exception):
    """Base of all errors raised on purpose; catch it to catch them all."""


class SpecError(MlopsAssetsError):
    """A ``defs.yaml`` or ``model.py`` says something impossible; raised while definitions load."""


class SourceError(MlopsAssetsError):
    """A raw file is not what its source declares; raised before any table is touched."""


class FeatureError(MlopsAssetsError):
    """A function of ``model.py`` returned a table that breaks its contract."""


class TrainingError(MlopsAssetsError):
    """A training set cannot be made, or an estimator cannot be fitted on it."""


class RefusedError(MlopsAssetsError):
    """A version was refused because no recorded verdict lets it pass."""


class RequestError(MlopsAssetsError):
    """A request cannot be answered as asked; ``status`` is the HTTP status to answer with."""

    def __init__(self, message: str, *, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


class ArtifactError(MlopsAssetsError):
    """Model files are missing, differ from their digest, or hold types nobody vouched for."""


class LedgerConflict(MlopsAssetsError):  # noqa: N818 - a conflict is no fault, it asks to look again
    """The next row of a ledger subject was written by somebody else first."""


class TableConflict(MlopsAssetsError):  # noqa: N818 - as above
    """The next version of a table was written by somebody else first."""


class ReportError(MlopsAssetsError):
    """A page for people cannot be drawn; what it was to show is recorded all the same."""


class EndpointError(MlopsAssetsError):
    """The model server is away, or did not load a version in time."""


def did_you_mean(word: str, allowed: Iterable[str]) -> str:
    """A closing hint ``"; did you mean 'x'?"`` when a close match exists, else an empty text."""
    close = difflib.get_close_matches(word, list(allowed), n=1)
    return f"; did you mean '{close[0]}'?" if close else ""
