"""The asset a person opens first: how a model is doing."""

import dagster as dg

from mlops_assets.adapters.ports import Ledger
from mlops_assets.components.assets.wiring import asset_arguments, key_of
from mlops_assets.components.definition import ModelDefinition
from mlops_assets.components.metadata import Metadata, image, markdown_table
from mlops_assets.components.stages.overview import Overlooked, look_over

WEEKS = 12
"""How many partitions the table shows; the picture shows all."""


def build_overview(model: ModelDefinition) -> dg.AssetsDefinition:
    """How a model is doing, on one page."""
    watched = ("performance", "drift_report", "retraining_decision", "retraining_outcome")

    @dg.asset(
        key=key_of(model, "overview"),
        deps=[key_of(model, name) for name in (*watched, "deployment")],
        description="How the model is doing, in one table and one picture: what serves, whether "
        "it is as good as tested, whether the data changed, whether it is trained again.",
        **asset_arguments(model, ("ledger",)),
    )
    def overview(ledger: dg.ResourceParam[Ledger]) -> dg.MaterializeResult:
        return dg.MaterializeResult(metadata=describe(look_over(model, ledger)))

    return overview


def describe(seen: Overlooked) -> Metadata:
    """The status first, then the questions, the picture, and the newest partitions."""
    from mlops_assets.adapters.overview_plots import draw_overview

    overview = seen.overview
    answers = [{"": question, " ": answer} for question, answer in overview.answers]
    picture = {"over_time": image(draw_overview(seen.partitions))} if seen.partitions else {}
    newest = [
        {
            "partition": p.partition,
            "answered by": p.version,
            "labels": f"{p.labelled} of {p.predictions} ({p.maturity})",
            "positive rate": "" if p.positive_rate is None else p.positive_rate,
            "Brier estimated": "" if p.estimated is None else p.estimated,
            "Brier measured": "" if p.realised is None else p.realised,
            "drift": p.drift or "",
            "cause": p.cause.replace("_", " "),
            "retraining asked as of": p.retrain_as_of or "",
        }
        for p in reversed(seen.partitions[-WEEKS:])
    ]
    return {
        "status": f"{overview.status}: {overview.reason}",
        "summary": markdown_table(answers),
        **picture,
        "newest_partitions": markdown_table(newest),
    }
