"""What is known about a rollout when it is decided on: as much as its strategy asks for."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from mlops_assets.adapters.journal import read_cut_off, read_rollout_history
from mlops_assets.adapters.ports import Ledger, TableStore
from mlops_assets.adapters.serving_ports import Telemetry
from mlops_assets.components.definition import ModelDefinition
from mlops_assets.lifecycle.errors import FeatureError
from mlops_assets.lifecycle.rollout.decision import RolloutEvidence
from mlops_assets.lifecycle.rollout.labelled import build_outcomes, join_labels
from mlops_assets.lifecycle.rollout.shadow_report import compare_shadow, pair_answers
from mlops_assets.lifecycle.rollout.state import RolloutState
from mlops_assets.lifecycle.slices import cut_slices

if TYPE_CHECKING:
    import numpy.typing as npt
    import polars as pl

    from mlops_assets.lifecycle.rollout.decision import Outcomes, ShadowComparison


def gather_evidence(
    model: ModelDefinition,
    state: RolloutState,
    ledger: Ledger,
    telemetry: Telemetry,
    tables: TableStore,
    *,
    slices: bool = True,
) -> RolloutEvidence:
    """The windows and a cut-off always; shadows and outcomes only where the policy asks for them.

    Before the version was asked anything there is nothing but the cut-off. ``slices`` cut the
    comparison of a shadow, for people; nothing is decided on them.
    """
    cut_off = read_cut_off(ledger, model.name, state.digest)
    reason = cut_off.reason if cut_off else None
    if state.phase != "progressing" or state.baseline is None:
        return RolloutEvidence(cut_off=reason)
    since = _begun(state, ledger, model.name)
    windows = telemetry.windows(
        model.name,
        state.version,
        since,
        slow_milliseconds=model.spec.rollout.analysis.slow_milliseconds,
        threshold=decision_threshold(model),
    )
    shadowed, labelled = needs_shadow(model, state), needs_outcomes(model, state)
    if not (shadowed or labelled):
        return RolloutEvidence(windows, reason)
    answers = _answers(model, state, telemetry, since)
    return RolloutEvidence(
        windows,
        reason,
        _outcomes(model, answers, tables) if labelled else None,
        _shadow(model, answers, tables, slices=slices) if shadowed else None,
    )


def decision_threshold(model: ModelDefinition) -> float:
    """The probability from which callers are taken to act: stated, or that of least cost."""
    prediction = model.spec.rollout.analysis.prediction
    return prediction.threshold if prediction else model.spec.evaluation.costs.decision_threshold


def needs_shadow(model: ModelDefinition, state: RolloutState) -> bool:
    """Whether copies are compared in this step."""
    return model.spec.rollout.strategy == "shadow" and state.weight == 0


def needs_outcomes(model: ModelDefinition, state: RolloutState) -> bool:
    """Whether labels are waited for in this step."""
    policy = model.spec.rollout
    asked = policy.analysis.outcome is not None or policy.strategy == "ab_test"
    return asked and state.weight > 0


def _begun(state: RolloutState, ledger: Ledger, model: str) -> datetime:
    """When the version's rollout began: the windows of all its steps are since then."""
    first = read_rollout_history(ledger, model, state.version)[0]
    return datetime.fromisoformat(first.since)


def _answers(
    model: ModelDefinition, state: RolloutState, telemetry: Telemetry, since: datetime
) -> pl.DataFrame:
    """What was answered while the version was in this rollout, by it and beside it."""
    import polars as pl

    logged = telemetry.predictions(model.name, since)
    return logged.filter(pl.col("canary") == state.version)


def _outcomes(model: ModelDefinition, answers: pl.DataFrame, tables: TableStore) -> Outcomes:
    return build_outcomes(join_labels(answers, _labels(model, answers, tables)))


def _shadow(
    model: ModelDefinition, answers: pl.DataFrame, tables: TableStore, *, slices: bool
) -> ShadowComparison:
    pairs = pair_answers(answers)
    if model.spec.rollout.shadow.labels:
        pairs = join_labels(pairs, _labels(model, answers, tables))
    parts = _cut(model, pairs) if slices else {}
    return compare_shadow(pairs, decision_threshold(model), parts)


def _labels(model: ModelDefinition, answers: pl.DataFrame, tables: TableStore) -> pl.DataFrame:
    """The labels of the rows that were answered: entity, label and when it became known."""
    import polars as pl

    named = answers.drop_nulls(["entity", "time"])
    keys = named.select(model.calendar.assign_moment(pl.col("time"))).to_series().unique()
    key, label = model.spec.entities.key, model.spec.label
    table = model.table("labels")
    if tables.version(table) is None:
        return pl.DataFrame(
            schema={"entity": pl.String, "label": pl.Float64, "known_at": named["time"].dtype}
        )
    rows = tables.read(table, keys.sort().to_list(), columns=[key, label, "known_at"])
    return rows.select(
        pl.col(key).cast(pl.String).alias("entity"),
        pl.col(label).cast(pl.Float64).alias("label"),
        "known_at",
    )


def _cut(model: ModelDefinition, pairs: pl.DataFrame) -> dict[str, npt.NDArray[Any]]:
    """The slice of each pair; a slice over columns that callers did not send is left out."""
    cut: dict[str, npt.NDArray[Any]] = {}
    for name, sql in model.spec.evaluation.slices.items():
        try:
            cut |= cut_slices(pairs, {name: sql})
        except FeatureError:
            continue  # a picture for people, which decides nothing
    return cut
