"""From a fitted model to a recorded verdict."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from mlops_assets.adapters.journal import read_champion, write_once
from mlops_assets.adapters.ports import Clock, Ledger, ModelFiles, TableStore
from mlops_assets.components.definition import ModelDefinition
from mlops_assets.components.stages.training import TrainedModel, load_split, load_trained
from mlops_assets.lifecycle.evaluation import EvaluationReport, measure_evaluation
from mlops_assets.lifecycle.gates import judge_gates
from mlops_assets.lifecycle.splits import Split
from mlops_assets.lifecycle.verdicts import Verdict, combine


@dataclass(frozen=True)
class Evaluated:
    """An evaluation with the champion's on the same rows, the gates, and the verdict over them."""

    trained: TrainedModel
    report: EvaluationReport
    champion: EvaluationReport | None
    gates: list[Verdict]
    verdict: Verdict


def evaluate(
    model: ModelDefinition,
    as_of: str,
    tables: TableStore,
    ledger: Ledger,
    files: ModelFiles,
    clock: Clock,
) -> Evaluated:
    """Measure the trained model and the champion on the same later rows, and record the verdict.

    The verdict binds the digests of model, training set, science and gates to the outcome.
    """
    trained = load_trained(model, as_of, ledger)
    _, split = load_split(model, as_of, tables, ledger)
    report = _measure(model, trained.digest, split, files)
    champion = read_champion(ledger, model.name)
    other = champion.digest if champion and champion.digest != trained.digest else None
    # A champion trained later was fitted on these very rows: comparing would flatter it, and a
    # backtest of an earlier partition is no reason to replace it.
    later = champion and other and champion.train_as_of > as_of
    champion_report = _measure(model, other, split, files) if other and not later else None
    gates = judge_gates(
        report,
        champion_report,
        model.spec.gates,
        incomparable=f"{champion.version} was trained later, as of {champion.train_as_of}"
        if champion and later
        else None,
    )
    verdict = combine("may_become_challenger", gates) if gates else _ungated()
    write_once(ledger, "evaluation", model.name, trained.digest, asdict(report), clock.now())
    body = {
        "outcome": verdict.outcome,
        "reason": verdict.reason,
        "gates": [asdict(gate) for gate in gates],
        "training_set": trained.training_set,
        "policy": model.policy_digest,
        "code": model.code_digest,
        "champion": other,
    }
    write_once(ledger, "verdict", model.name, trained.digest, body, clock.now())
    return Evaluated(trained, report, champion_report, gates, verdict)


def _measure(
    model: ModelDefinition, digest: str, split: Split, files: ModelFiles
) -> EvaluationReport:
    fitted, signature = files.load(digest)
    return measure_evaluation(
        fitted,
        split.test,
        signature.features,
        model.spec.label,
        slices=model.spec.evaluation.slices,
        seed=model.spec.training.seed,
    )


def _ungated() -> Verdict:
    return Verdict("may_become_challenger", "passed", "defs.yaml states no gates")
