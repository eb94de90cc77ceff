"""What lies behind a window that stands out: a bug in the data, or a world that has changed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Cause = Literal["data_bug", "covariate_drift", "concept_drift", "nothing"]


@dataclass(frozen=True)
class Triage:
    """What a window suffers from, with its evidence as sentences and the columns they name.

    A ``data_bug`` calls for a person and never for a retraining: a model fitted on broken rows
    would learn the bug. ``covariate_drift``: other rows than in training. ``concept_drift``: the
    same rows mean something else. ``reason`` is one sentence.
    """

    cause: Cause
    reason: str
    evidence: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
