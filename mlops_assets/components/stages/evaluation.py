"""From a fitted model to a recorded verdict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from mlops_assets.adapters.journal import read_champion, write_once
from mlops_assets.adapters.ports import Clock, Ledger, ModelFiles, TableStore
from mlops_assets.adapters.serving_ports import StagingServer
from mlops_assets.components.definition import ModelDefinition
from mlops_assets.components.stages.training import TrainedModel, load_trained
from mlops_assets.components.stages.training_sets import days_of, load_split
from mlops_assets.lifecycle.behaviour import judge_behaviour, pick_behaviour_rows
from mlops_assets.lifecycle.digests import digest_value
from mlops_assets.lifecycle.evaluation import EvaluationReport, measure_evaluation
from mlops_assets.lifecycle.gates import Evidence, judge_gates
from mlops_assets.lifecycle.leakage import judge_leakage
from mlops_assets.lifecycle.slices import cut_slices
from mlops_assets.lifecycle.staging import (
    build_probe_rows,
    judge_latency,
    judge_parity,
    judge_size,
    predict_offline,
)
from mlops_assets.lifecycle.training import ModelSignature, predict_probability
from mlops_assets.lifecycle.verdicts import Verdict, combine

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import polars as pl

    from mlops_assets.lifecycle.rollout.state import Champion
    from mlops_assets.lifecycle.splits import Split


@dataclass(frozen=True)
class Evaluated:
    """An evaluation with the champion's on the same rows, the gates, and the verdict over them.

    ``reused``: nothing had changed since it was judged, so it was not judged again.
    """

    trained: TrainedModel
    report: EvaluationReport
    champion: EvaluationReport | None
    gates: list[Verdict]
    verdict: Verdict
    reused: bool = False


@dataclass(frozen=True, eq=False)
class Judged:
    """A fitted model and what it predicts for the test rows."""

    fitted: Any
    signature: ModelSignature
    probability: npt.NDArray[np.float64]
    report: EvaluationReport


def evaluate(
    model: ModelDefinition,
    as_of: str,
    tables: TableStore,
    ledger: Ledger,
    files: ModelFiles,
    staging: StagingServer,
    clock: Clock,
    *,
    again: bool = False,
) -> Evaluated:
    """Measure the trained model and the champion on the same later rows, and record the verdict.

    The verdict binds the digests of model, training set, science and gates to the outcome. With
    none of them changed since, nor the champion, it stands; ``again`` judges anew.
    """
    trained = load_trained(model, as_of, ledger)
    training_set, split = load_split(model, as_of, tables, ledger)
    champion, incomparable = _find_champion(model, trained, ledger)
    identity = _identity(model, trained, champion, incomparable)
    known = None if again else _read_known(model, trained, identity, ledger)
    if known:
        return known
    judged = _judge(model, trained.digest, split, files)
    other = _judge(model, champion.digest, split, files) if champion else None
    slices = cut_slices(split.test, model.spec.evaluation.slices)
    evidence = Evidence(
        report=judged.report,
        leaks=_judge_leaks(model, split),
        champion=other.report if other else None,
        truth=split.test[model.spec.label].cast(int).to_numpy(),
        probability=judged.probability,
        champion_probability=other.probability if other else None,
        days=days_of(model, split.test),
        slices=slices,
        staged=_judge_staged(model, trained.digest, judged, split, staging),
        behaviours=_judge_behaviours(model, judged, split),
        incomparable=incomparable,
    )
    gates = judge_gates(evidence, model.spec.gates, seed=model.spec.training.seed)
    verdict = combine("may_become_challenger", gates)
    write_once(ledger, "evaluation", model.name, trained.digest, asdict(judged.report), clock.now())
    body = {
        "model": trained.digest,
        "training_set": training_set.digest,
        "code": model.code_digest,
        "policy": model.policy_digest,
        "champion": champion.digest if champion else None,
        "identity": identity,
        "outcome": verdict.outcome,
        "reason": verdict.reason,
        "gates": [asdict(gate) for gate in gates],
    }
    write_once(ledger, "verdict", model.name, trained.digest, body, clock.now())
    return Evaluated(trained, judged.report, evidence.champion, gates, verdict)


def _find_champion(
    model: ModelDefinition, trained: TrainedModel, ledger: Ledger
) -> tuple[Champion | None, str | None]:
    """The champion to compare with, or why one that is there cannot be compared with.

    One trained later was fitted on these very rows: comparing would flatter it, and a backtest of
    an earlier partition is no reason to replace it.
    """
    champion = read_champion(ledger, model.name)
    if champion is None or champion.digest == trained.digest:
        return None, None
    if champion.train_as_of > trained.as_of:
        return None, f"{champion.version} was trained later, as of {champion.train_as_of}"
    return champion, None


def _identity(
    model: ModelDefinition,
    trained: TrainedModel,
    champion: Champion | None,
    incomparable: str | None,
) -> str:
    """Digest of all that decides what an evaluation says, but the speed of this machine."""
    judged = [trained.digest, trained.training_set, model.code_digest, model.policy_digest]
    against = champion.digest if champion else incomparable
    return digest_value([*judged, against, model.spec.evaluation.model_dump(mode="json")])


def _read_known(
    model: ModelDefinition, trained: TrainedModel, identity: str, ledger: Ledger
) -> Evaluated | None:
    verdict = ledger.latest("verdict", model.name, trained.digest)
    report = ledger.latest("evaluation", model.name, trained.digest)
    if not verdict or not report or verdict.body["identity"] != identity:
        return None
    gates = [Verdict(**gate) for gate in verdict.body["gates"]]
    over = Verdict("may_become_challenger", verdict.body["outcome"], verdict.body["reason"])
    return Evaluated(trained, EvaluationReport(**report.body), None, gates, over, reused=True)


def _judge(model: ModelDefinition, digest: str, split: Split, files: ModelFiles) -> Judged:
    fitted, signature = files.load(digest)
    probability = predict_probability(fitted, split.test, signature.features)
    report = measure_evaluation(
        fitted,
        split.test,
        signature.features,
        model.spec.label,
        slices=model.spec.evaluation.slices,
        days=days_of(model, split.test),
        costs=model.spec.evaluation.costs,
        probability=probability,
        seed=model.spec.training.seed,
    )
    return Judged(fitted, signature, probability, report)


def _judge_leaks(model: ModelDefinition, split: Split) -> Verdict:
    import polars as pl

    return judge_leakage(
        pl.concat([split.fit, split.calibration]),
        split.test,
        model.features,
        model.spec.label,
        model.spec.entities.key,
        model.spec.gates.leakage,
    )


def _judge_staged(
    model: ModelDefinition, digest: str, judged: Judged, split: Split, staging: StagingServer
) -> Sequence[Verdict]:
    """The version in the real server, on rows with all that live rows may hold."""
    policy = model.spec.gates.serving
    if policy is None:
        return ()
    features = judged.signature.features
    rows = build_probe_rows(split.test, features, policy.rows, seed=model.spec.training.seed)
    answers = staging.measure(judged.signature, digest, rows, policy.samples)
    offline = predict_offline(judged.fitted, rows, features)
    return (
        judge_parity(answers, offline, policy),
        judge_latency(answers, policy),
        judge_size(answers, policy),
    )


def _judge_behaviours(model: ModelDefinition, judged: Judged, split: Split) -> list[Verdict]:
    rows = pick_behaviour_rows(split.test, seed=model.spec.training.seed)

    def predict(frame: pl.DataFrame) -> npt.NDArray[np.float64]:
        return predict_probability(judged.fitted, frame, judged.signature.features)

    return [
        judge_behaviour(name, model.function(name)(rows), rows, predict)
        for name in model.spec.gates.behaviour
    ]


def describe_gates(gates: Sequence[Verdict]) -> list[Mapping[str, str]]:
    """Gates as rows of a table."""
    return [{"gate": gate.name, "outcome": gate.outcome, "reason": gate.reason} for gate in gates]
