"""Training every week: the model as of a partition answers in it. What a policy is held against."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from mlops_assets.commands.replay_year.place import open_location
from mlops_assets.commands.replay_year.reading import sum_days
from mlops_assets.commands.replay_year.traffic import Traffic
from mlops_assets.commands.replay_year.weeks import Course, Week
from mlops_assets.components.stages.training import load_trained
from mlops_assets.lifecycle.training import predict_probability

if TYPE_CHECKING:
    from pathlib import Path

    from mlops_assets.components.definition import ModelDefinition

WEEKLY = "weekly"


def measure_weekly(
    model: ModelDefinition, weeks: Sequence[str], base: Path, *, every: int
) -> Course:
    """The same rows as are sent to the endpoint, answered by the model as of their own week.

    It is better off than a policy: no gate refuses, no rollout takes time, no request is sent.
    """
    import polars as pl

    _, resources, _ = open_location(model, base)
    traffic, entities = Traffic(model, resources, every), model.spec.entities
    measured = []
    for week in weeks:
        trained = load_trained(model, week, resources["ledger"])
        fitted, signature = resources["model_files"].load(trained.digest)
        rows = traffic.rows(week)
        answers = rows.select(
            pl.col(entities.key).cast(pl.String).alias("entity"),
            pl.col(entities.time).alias("moment"),
            pl.Series("probability", predict_probability(fitted, rows, signature.features)),
        )
        found = sum_days(model, week, answers, resources["tables"])
        asked = None if week == weeks[0] else week
        measured.append(
            Week(week, f"as of {week}", found.rows, found.late_rate, found.days, asked=asked)
        )
    return Course(WEEKLY, measured)
