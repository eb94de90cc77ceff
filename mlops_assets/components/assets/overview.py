"""The asset a person opens first: how a model is doing."""

from collections.abc import Sequence

import dagster as dg

from mlops_assets.adapters.ports import Ledger
from mlops_assets.components.assets.wiring import asset_arguments, key_of
from mlops_assets.components.definition import ModelDefinition
from mlops_assets.components.metadata import Metadata, image, markdown_table
from mlops_assets.components.stages.overview import Overlooked, look_over
from mlops_assets.lifecycle.overview import MonitoredPartition, Overview, draw_sparks

WEEKS = 12
"""How many partitions the table shows; the picture shows all."""

SPARKS = 26
"""How many partitions the lines of sparks show."""

LETTERS = 165
"""Of an answer at most: Dagster hides a text of 1,000 letters behind a click."""

_MARKS = {"passed": "·", "failed": "x", "inconclusive": "?", None: " "}


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
    """The status, the questions with the last half year as sparks, the picture, a table."""
    from mlops_assets.adapters.overview_plots import draw_overview

    overview, newest = seen.overview, seen.partitions[-WEEKS:]
    picture = {"over_time": image(draw_overview(seen.partitions))} if seen.partitions else {}
    return {
        "status": f"{overview.status}: {overview.reason}",
        "summary": dg.MetadataValue.md(_summarise(overview, seen.partitions)),
        **picture,
        "newest_partitions": markdown_table([_row(p) for p in reversed(newest)]),
    }


def _summarise(overview: Overview, partitions: Sequence[MonitoredPartition]) -> str:
    """One line per question, so short that Dagster shows it without a click."""
    lines = [f"- **{question}** {_cut(answer)}" for question, answer in overview.answers]
    shown = partitions[-SPARKS:]
    if shown:
        scores = draw_sparks([p.realised for p in shown])
        drift = "".join(_MARKS[p.drift] for p in shown)
        lines += ["", f"`Brier {scores}`", "", f"`drift {drift}` (x drifted, ? cannot be told)"]
    return "\n".join(lines)


def _row(p: MonitoredPartition) -> Metadata:
    known = f"{p.realised:.3f}" if p.realised is not None else "none yet"
    promised = f", {p.estimated:.3f} estimated" if p.estimated is not None else ""
    cause = p.cause.replace("_", " ") if p.cause != "nothing" else _MARKS[p.drift].strip("·")
    return {
        "partition": p.partition,
        "by": p.version,
        "labels": f"{p.labelled} of {p.predictions}, {p.maturity}",
        "Brier score": f"{known}{promised}",
        "drift": cause,
        "retrain as of": p.retrain_as_of or "",
    }


def _cut(answer: str) -> str:
    return answer if len(answer) <= LETTERS else answer[: LETTERS - 1].rstrip() + "…"
