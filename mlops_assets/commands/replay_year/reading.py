"""What the graph has left of a week: answers with their labels, and the estimate before them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlops_assets.components.stages.predictions import SHADOW, read_predictions

if TYPE_CHECKING:
    import polars as pl

    from mlops_assets.adapters.ports import Ledger, TableStore
    from mlops_assets.components.definition import ModelDefinition

TRUTH = "truth of the answer"


@dataclass(frozen=True)
class Answers:
    """Answers that have a label: how many, how many of them are true, squared errors by day."""

    rows: int
    late_rate: float
    days: Mapping[str, tuple[float, int]]


def read_answers(model: ModelDefinition, week: str, tables: TableStore) -> Answers:
    """What callers were answered in a partition, each row once, with every label there is."""
    import polars as pl

    answered = read_predictions(model, [week], tables).filter(pl.col("arm").ne_missing(SHADOW))
    once = answered.sort("received_at").unique("entity", keep="first", maintain_order=True)
    return sum_days(model, week, once.select("entity", "moment", "probability"), tables)


def sum_days(
    model: ModelDefinition, week: str, answers: pl.DataFrame, tables: TableStore
) -> Answers:
    """Squared errors by local day, of answers with ``entity``, ``moment`` and ``probability``."""
    import polars as pl

    key, label = model.spec.entities.key, model.spec.label
    labels = tables.read(model.table("labels"), [week], columns=[key, label]).select(
        pl.col(key).cast(pl.String).alias("entity"), pl.col(label).cast(pl.Float64).alias(TRUTH)
    )
    joined = answers.join(labels, on="entity").drop_nulls([TRUTH, "probability"])
    local = pl.col("moment").dt.convert_time_zone(model.calendar.timezone).dt.date()
    by_day = (
        joined.group_by(local.cast(pl.String).alias("day"))
        .agg(((pl.col("probability") - pl.col(TRUTH)) ** 2).sum().alias("total"), pl.len())
        .sort("day")
    )
    days = {day: (float(total), int(count)) for day, total, count in by_day.iter_rows()}
    rate = joined[TRUTH].mean()
    return Answers(joined.height, float(rate) if rate is not None else 0.0, days)  # type: ignore[arg-type]


def read_estimate(ledger: Ledger, model: str, week: str) -> float | None:
    """The Brier score that was estimated without labels, over all versions that callers got
    answers from; None where none was."""
    row = ledger.latest("performance", model, week)
    told = [
        (said["estimated"]["brier"], said["predictions"])
        for entry, said in (row.body if row else {}).items()
        if not entry.endswith(")") and "brier" in said.get("estimated", {})
    ]
    count = sum(predictions for _, predictions in told)
    return sum(brier * predictions for brier, predictions in told) / count if count else None
