"""A rollback tried where nobody is served, so that it is known to work before it is needed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from mlops_assets.adapters.journal import (
    find_previous_champion,
    read_champion,
    read_drills,
    write_drill,
)
from mlops_assets.adapters.ports import Clock, Ledger, ModelFiles, TableStore
from mlops_assets.adapters.serving_ports import StagedVersion, StagingServer
from mlops_assets.components.definition import ModelDefinition
from mlops_assets.lifecycle.errors import RefusedError
from mlops_assets.lifecycle.rollout.drill import RollbackDrill, judge_drill
from mlops_assets.lifecycle.verdicts import Verdict

if TYPE_CHECKING:
    import polars as pl

    from mlops_assets.lifecycle.rollout.state import Champion

ROWS = 200
"""Feature rows that are asked over and over while the versions are switched."""


@dataclass(frozen=True)
class Drilled:
    """A drill of going back from ``current`` to ``previous``, judged.

    ``previous`` and ``drill`` are None while one version alone has served. ``past``: every drill
    so far, this one last, each with its moment.
    """

    current: str
    previous: str | None
    drill: RollbackDrill | None
    verdict: Verdict
    past: Sequence[tuple[datetime, RollbackDrill]]


def drill_rollback(
    model: ModelDefinition,
    tables: TableStore,
    ledger: Ledger,
    files: ModelFiles,
    staging: StagingServer,
    clock: Clock,
) -> Drilled:
    """Switch from the champion to the version before it under requests, and keep what was seen.

    Raises ``RefusedError`` before a version serves, ``ArtifactError`` when the files of one of
    the two are gone: then there would be nothing to go back to either.
    """
    champion = read_champion(ledger, model.name)
    if champion is None:
        raise RefusedError(f"{model.name}: no version serves yet; release one before drilling")
    earlier = find_previous_champion(ledger, model.name)
    if earlier is None:
        reason = f"{champion.version} alone has served: there is nothing to go back to"
        verdict = Verdict("rolls_back_in_time", "inconclusive", reason)
        return Drilled(champion.version, None, None, verdict, _past(model, ledger))
    current, previous = (_staged(files, version) for version in (champion, earlier))
    drill = staging.drill_rollback(current, previous, _rows(model, champion, tables))
    write_drill(ledger, model.name, champion.version, earlier.version, drill, clock.now())
    verdict = judge_drill([drill], model.spec.rollout.drill_seconds)
    return Drilled(champion.version, earlier.version, drill, verdict, _past(model, ledger))


def _staged(files: ModelFiles, version: Champion) -> StagedVersion:
    return StagedVersion(version.digest, files.load(version.digest)[1])


def _rows(model: ModelDefinition, champion: Champion, tables: TableStore) -> pl.DataFrame:
    """The latest feature rows before the champion's training date."""
    before = model.calendar.before(champion.train_as_of, 1)
    rows = tables.read(model.table("features"), before)
    return rows.sort(model.spec.entities.time).tail(ROWS)


def _past(model: ModelDefinition, ledger: Ledger) -> list[tuple[datetime, RollbackDrill]]:
    return [(at, drill) for at, _, _, drill in read_drills(ledger, model.name)]
