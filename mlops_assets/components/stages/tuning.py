"""The search for each candidate's parameters."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict

from mlops_assets.adapters.journal import write_once
from mlops_assets.adapters.ports import Clock, Ledger, Studies, TableStore, Tracking, TrackingRun
from mlops_assets.components.definition import Candidate, ModelDefinition
from mlops_assets.components.stages.training_sets import describe_dataset, load_split
from mlops_assets.lifecycle.splits import Split, TrainingSet
from mlops_assets.lifecycle.tuning import Trial, TrialScorer, Tuning, TuningResult, study_digest


def study(
    model: ModelDefinition,
    as_of: str,
    tables: TableStore,
    ledger: Ledger,
    studies: Studies,
    tracking: Tracking,
    clock: Clock,
    tags: Mapping[str, str],
    say: Callable[[str], None],
) -> dict[str, TuningResult]:
    """Search the parameters of every candidate that has a space, on the training set's earlier
    rows, judged on its later ones; one result per candidate.

    A study is named by what goes in: data, space, seed and code. One that was interrupted goes
    on, one that is complete is read.
    """
    training_set, split = load_split(model, as_of, tables, ledger)
    searched = {name: model.tuning_of(of) for name, of in model.candidates.items()}
    results = {}
    with tracking.run(experiment=model.name, name=f"study {as_of}", tags=tags) as run:
        run.log_dataset(describe_dataset(model, training_set, split.fit.height, "tuning"))
        for name, tuning in searched.items():
            if tuning:
                candidate = model.candidates[name]
                results[name] = _search(
                    model, candidate, tuning, training_set, split, studies, run, say
                )
        run.log_metrics({f"{name}_log_loss": result.value for name, result in results.items()})
    body = {
        "training_set": training_set.digest,
        "candidates": {name: asdict(result) for name, result in results.items()},
    }
    write_once(ledger, "study", model.name, as_of, body, clock.now())
    return results


def read_tuned(
    ledger: Ledger, model: ModelDefinition, training_set: TrainingSet
) -> dict[str, dict[str, object]]:
    """The best parameters found per candidate on exactly this training set, none before."""
    row = ledger.latest("study", model.name, training_set.as_of)
    if model.spec.tuning is None or row is None:
        return {}
    if row.body["training_set"] != training_set.digest:
        return {}
    return {name: dict(found["parameters"]) for name, found in row.body["candidates"].items()}


def _search(
    model: ModelDefinition,
    candidate: Candidate,
    tuning: Tuning,
    training_set: TrainingSet,
    split: Split,
    studies: Studies,
    run: TrackingRun,
    say: Callable[[str], None],
) -> TuningResult:
    digest = study_digest(
        training_set.digest,
        tuning,
        model.code_digest,
        estimator=candidate.estimator,
        parameters=candidate.parameters,
    )
    scorer = TrialScorer(
        model.function(candidate.estimator),
        split.folds,
        model.features,
        model.spec.label,
        model.spec.training.seed,
        candidate.parameters,
    )

    def tell(trial: Trial) -> None:
        say(f"{candidate.name}: {trial.describe(tuning.trials)}")
        metrics = {} if trial.value is None else {"log_loss": trial.value}
        name = f"{candidate.name} trial {trial.number}"
        run.log_child(name, trial.parameters, metrics, "KILLED" if trial.pruned else "FINISHED")

    name = f"{model.name}-{candidate.name}-{training_set.as_of}-{digest[:12]}"
    result = studies.optimise(name, tuning, scorer, tell)
    say(f"{candidate.name}: best {result.value:.5f} of {len(result.trials)} trials")
    return result
