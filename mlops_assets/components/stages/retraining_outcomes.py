"""Did retraining help? Asked once the labels of enough partitions are there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from mlops_assets.adapters.journal import read_champion, read_latest, write_once
from mlops_assets.adapters.ports import Clock, Ledger, ModelFiles, TableStore
from mlops_assets.components.definition import ModelDefinition
from mlops_assets.components.stages.predictions import SHADOW, read_predictions
from mlops_assets.components.stages.retraining import read_history
from mlops_assets.components.stages.retraining_fates import Fate, find_fate
from mlops_assets.components.stages.training_sets import days_of
from mlops_assets.lifecycle.digests import fingerprint
from mlops_assets.lifecycle.errors import ArtifactError, FeatureError
from mlops_assets.lifecycle.retraining.history import Ask
from mlops_assets.lifecycle.retraining.outcome import (
    Replacement,
    RetrainingOutcome,
    judge_outcome,
)
from mlops_assets.lifecycle.rollout.state import Champion
from mlops_assets.lifecycle.training import predict_probability

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import polars as pl


STRAY = 0.02
"""The share of answers that may lack a label: a request for what no table knows never gets one."""


@dataclass(frozen=True)
class Evaluation:
    """What is known of each retraining: its outcome, or in words what is waited for."""

    outcomes: Sequence[RetrainingOutcome]
    waiting: Sequence[str]


def evaluate_retrainings(
    model: ModelDefinition, tables: TableStore, ledger: Ledger, files: ModelFiles, clock: Clock
) -> Evaluation:
    """Compare each champion that a retraining brought with the one before, and record it once;
    again only when labels have changed. One that never came to serve is recorded too."""
    outcomes: list[RetrainingOutcome] = []
    waiting: list[str] = []
    asked = {ask.as_of: ask for ask in read_history(model, ledger).asked}
    for as_of in sorted(asked):
        found = _evaluate(model, asked[as_of], tables, ledger, files)
        if isinstance(found, str):
            waiting.append(f"{as_of}: {found}")
            continue
        outcomes.append(found)
        write_once(ledger, "did_it_help", model.name, as_of, asdict(found), clock.now())
    return Evaluation(outcomes, waiting)


def _evaluate(
    model: ModelDefinition, ask: Ask, tables: TableStore, ledger: Ledger, files: ModelFiles
) -> RetrainingOutcome | str:
    """The outcome, or what is waited for."""
    pair = _find_champions(model, ask.as_of, ledger)
    if pair is None:
        return _judge_unserved(model, ask, find_fate(model, ask.as_of, ledger), ledger)
    before, after = pair
    wanted = model.spec.retraining.evaluate_after
    partitions = _find_matured(model, after, ledger)[:wanted]
    if len(partitions) < wanted:
        return _judge_unmatured(model, ask, after, len(partitions), ledger)
    rows = _read_rows(model, after.version, partitions, tables)
    labels = fingerprint(rows.select(model.spec.entities.key, model.spec.label))
    known = _read_known(model, ask.as_of, ledger)
    if known and (known.partitions, known.labels) == (tuple(partitions), labels):
        return known
    if rows[model.spec.label].n_unique() < 2:
        return f"the labels of {', '.join(partitions)} are all the same"
    try:
        old, new = (_predict(champion.digest, rows, files) for champion in pair)
    except (ArtifactError, FeatureError) as error:
        # One that can no longer answer is no reason to say nothing of the others.
        return f"{before.version} and {after.version} cannot both be asked: {error}"
    return judge_outcome(
        Replacement(ask.as_of, ask.trigger, before.version, after.version),
        partitions,
        labels,
        rows[model.spec.label].cast(int).to_numpy(),
        old,
        new,
        days_of(model, rows),
        seed=model.spec.training.seed,
    )


def _judge_unserved(
    model: ModelDefinition, ask: Ask, fate: Fate, ledger: Ledger
) -> RetrainingOutcome | str:
    """One that was refused or taken back, or of which nothing was heard for long enough."""
    newest = read_history(model, ledger).newest or ""
    passed = sum(ask.as_of <= key <= newest for key in model.calendar.keys)
    limit = model.spec.retraining.evaluate_after
    if fate.stand == "serves":
        return f"{fate.said}, and there was no champion before to compare with"
    if fate.stand == "waiting" and passed < limit:
        return fate.said
    reason = fate.said if fate.stand == "ended" else f"{fate.said} after {passed} partitions"
    return RetrainingOutcome(
        "did_not_serve", reason, ask.as_of, ask.trigger, ask.version, fate.version
    )


def _judge_unmatured(
    model: ModelDefinition, ask: Ask, after: Champion, matured: int, ledger: Ledger
) -> RetrainingOutcome | str:
    """Labels are waited for, unless the version was replaced before it answered enough."""
    wanted, answered = model.spec.retraining.evaluate_after, _find_answered(model, after, ledger)
    champion = read_champion(ledger, model.name)
    if champion and champion.version != after.version and len(answered) < wanted:
        reason = (
            f"{after.version} answered in {len(answered)} partition(s) before {champion.version} "
            f"took its place, {wanted} are needed to compare"
        )
        return RetrainingOutcome(
            "did_not_serve", reason, ask.as_of, ask.trigger, ask.version, after.version
        )
    return f"{matured} of {wanted} partitions answered by {after.version} have labels"


def _find_champions(
    model: ModelDefinition, as_of: str, ledger: Ledger
) -> tuple[Champion, Champion] | None:
    """The champion trained as of a partition when it first served, and the one before it."""
    rows = ledger.history("promotion", model.name, "champion")
    served = [Champion(**row.body) for row in rows]
    place = next((n for n, champion in enumerate(served) if champion.train_as_of == as_of), 0)
    return (served[place - 1], served[place]) if place else None


def _find_answered(model: ModelDefinition, after: Champion, ledger: Ledger) -> dict[str, bool]:
    """The partitions that a version answered, oldest first, and whether their labels are there."""
    latest = read_latest(ledger, "performance", model.name)
    return {
        key: _is_matured(latest[key][after.version])
        for key in sorted(latest)
        if key >= after.train_as_of and after.version in latest[key]
    }


def _is_matured(report: Mapping[str, Any]) -> bool:
    maturity, pending = report.get("maturity"), report.get("pending", 0)
    few = pending <= STRAY * report["predictions"]
    return maturity == "final" or (maturity == "partial" and few)


def _find_matured(model: ModelDefinition, after: Champion, ledger: Ledger) -> list[str]:
    """The partitions that a version answered and whose labels are all there, oldest first."""
    return [key for key, matured in _find_answered(model, after, ledger).items() if matured]


def _read_rows(
    model: ModelDefinition, version: str, partitions: Sequence[str], tables: TableStore
) -> pl.DataFrame:
    """The labelled rows that callers asked the version about, as their features were built."""
    import polars as pl

    key, label = model.spec.entities.key, model.spec.label
    answered = read_predictions(model, partitions, tables).filter(
        (pl.col("version") == version) & pl.col("arm").ne_missing(SHADOW)
    )
    labels = tables.read(model.table("labels"), partitions, columns=[key, label])
    features = tables.read(model.table("features"), partitions)
    return (
        features.join(labels.select(key, label), on=key)
        .drop_nulls(label)
        .join(answered.select(pl.col("entity").alias(key)).unique(), on=key, how="semi")
        .sort("partition", key)
    )


def _predict(digest: str, rows: pl.DataFrame, files: ModelFiles) -> npt.NDArray[np.float64]:
    fitted, signature = files.load(digest)
    return predict_probability(fitted, rows, signature.features)


def _read_known(model: ModelDefinition, as_of: str, ledger: Ledger) -> RetrainingOutcome | None:
    row = ledger.latest("did_it_help", model.name, as_of)
    if row is None:
        return None
    body: dict[str, Any] = {**row.body, "partitions": tuple(row.body["partitions"])}
    return RetrainingOutcome(**body)
