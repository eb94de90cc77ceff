"""What answers cost once their labels are known: losses per assigned unit, in order of arrival."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlops_assets.lifecycle.rollout.decision import Outcomes

if TYPE_CHECKING:
    import polars as pl


def join_labels(answers: pl.DataFrame, labels: pl.DataFrame) -> pl.DataFrame:
    """The answers with the ``label`` of their entity, null where it is not known yet, ``known_at``.

    ``labels``: entity, label (1.0 for the event predicted) and known_at; null labels are unknown.
    """
    import polars as pl

    known = labels.drop_nulls(["entity", "label"]).unique("entity", keep="last")
    arrived = pl.max_horizontal("received_at", "known_at")
    joined = answers.join(known, on="entity", how="left", maintain_order="left")
    return joined.with_columns(arrived.alias("arrived_at"))


def build_outcomes(labelled: pl.DataFrame) -> Outcomes:
    """The squared error of each unit's first answer, as far as its label is known.

    Units are taken in the order in which answer and label were both there: what is known at a
    look never comes before what was known at an earlier one. A unit whose first answer has no
    label yet does not count by a later one.
    """
    import numpy as np
    import polars as pl

    assigned = labelled.filter(
        pl.col("routed"), pl.col("weight") > 0, pl.col("probability").is_not_null()
    )
    first = (
        assigned.sort("received_at", "request_id", "row")
        .unique("unit", keep="first", maintain_order=True)
        .drop_nulls("label")
        .sort("arrived_at", maintain_order=True)
    )
    loss = first.select((pl.col("probability") - pl.col("label")) ** 2).to_series()
    return Outcomes(
        loss=loss.cast(pl.Float64).to_numpy(),
        canary=(first["version"] == first["canary"]).to_numpy(),
        share=first["weight"].cast(pl.Float64).to_numpy() / np.float64(100),
    )
