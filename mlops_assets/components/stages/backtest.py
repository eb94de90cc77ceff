"""Replaying the models that were fitted as of many partitions, by one rule or another."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from functools import cache, lru_cache
from typing import TYPE_CHECKING

from mlops_assets.adapters.journal import write_once
from mlops_assets.adapters.ports import Clock, Ledger, ModelFiles, TableStore
from mlops_assets.components.definition import ModelDefinition
from mlops_assets.components.stages.drift import measure_shift
from mlops_assets.lifecycle.backtest import (
    Replayed,
    plan_drift_triggered,
    plan_frozen,
    plan_scheduled,
    replay,
)
from mlops_assets.lifecycle.errors import TrainingError
from mlops_assets.lifecycle.evaluation import measure_metrics
from mlops_assets.lifecycle.training import predict_probability
from mlops_assets.lifecycle.verdicts import Verdict

if TYPE_CHECKING:
    import polars as pl

_MODELS_IN_MEMORY = 4


def backtest(
    model: ModelDefinition,
    tables: TableStore,
    ledger: Ledger,
    files: ModelFiles,
    clock: Clock,
    say: Callable[[str], None],
    *,
    first: str | None = None,
    last: str | None = None,
) -> dict[str, Replayed]:
    """How the models trained as of ``first`` to ``last`` would have done in the partitions from
    then on, by strategy. Reads what is there and registers nothing.

    Raises ``TrainingError`` when fewer than two models are there.
    """
    trained = _trained(model, ledger, first, last)
    if len(trained) < 2:
        raise TrainingError(
            f"backtest: {len(trained)} model(s) trained as of {first or 'the first partition'} to "
            f"{last or 'the last'}, 2 are needed; launch {model.name}__walk_forward over a range"
        )
    measure, judge = _measuring(model, trained, tables, files), _judging(model, tables, ledger)
    weeks = [key for key in model.calendar.keys if min(trained) <= key <= (last or max(trained))]
    as_ofs = sorted(trained)
    plans = {
        "frozen": plan_frozen(as_ofs, weeks),
        "scheduled": plan_scheduled(as_ofs, weeks),
        "drift_triggered": plan_drift_triggered(
            as_ofs,
            weeks,
            model.calendar,
            model.spec.retraining,
            lambda as_of, key: judge(as_of, trained[as_of], key),
        ),
    }
    done: dict[str, Replayed] = {}
    for strategy, plan in plans.items():
        done[strategy] = replay(strategy, plan, measure)  # type: ignore[arg-type]
        means = ", ".join(f"{name} {value:.4f}" for name, value in done[strategy].means.items())
        say(f"{strategy}: {done[strategy].models} models, {means}")
    body = {strategy: asdict(replayed) for strategy, replayed in done.items()}
    write_once(ledger, "backtest", model.name, f"{weeks[0]}..{weeks[-1]}", body, clock.now())
    return done


def _trained(
    model: ModelDefinition, ledger: Ledger, first: str | None, last: str | None
) -> dict[str, str]:
    """The latest digest per partition that models were trained as of."""
    return {
        row.subject: row.body["digest"]
        for row in ledger.history("trained_model", model.name)
        if (first or "") <= row.subject <= (last or row.subject)
    }


def _measuring(
    model: ModelDefinition, trained: Mapping[str, str], tables: TableStore, files: ModelFiles
) -> Callable[[str, str], Mapping[str, float]]:
    label = model.spec.label

    @lru_cache(maxsize=_MODELS_IN_MEMORY)
    def load(as_of: str) -> object:
        return files.load(trained[as_of])[0]

    @cache
    def rows(partition: str) -> pl.DataFrame:
        key = model.spec.entities.key
        labels = tables.read(model.table("labels"), [partition], columns=[key, label])
        features = tables.read(model.table("features"), [partition])
        return features.join(labels.select(key, label), on=key).drop_nulls(label)

    @cache
    def measure(as_of: str, partition: str) -> Mapping[str, float]:
        labelled = rows(partition)
        if labelled[label].n_unique() < 2:
            return {}
        probability = predict_probability(load(as_of), labelled, model.features)
        found = measure_metrics(labelled[label].cast(int).to_numpy(), probability)
        return {name: found[name] for name in ("auc", "brier", "log_loss")}

    return measure


def _judging(
    model: ModelDefinition, tables: TableStore, ledger: Ledger
) -> Callable[[str, str, str], Verdict]:
    def judge(as_of: str, digest: str, partition: str) -> Verdict:
        current = tables.read(model.table("features"), [partition])
        report = measure_shift(
            model, as_of, digest, current, model.spec.entities.time, tables, ledger
        )
        return report.verdict

    return judge
