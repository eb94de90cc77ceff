"""How a model is doing, in the few sentences a person takes in within ten seconds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from mlops_assets.lifecycle.performance import Maturity
    from mlops_assets.lifecycle.rollout.state import Champion, RolloutState
    from mlops_assets.lifecycle.triage import Cause
    from mlops_assets.lifecycle.verdicts import Outcome

Status = Literal["all is well", "worth a look", "somebody has to act"]

_SPARKS = "▁▂▃▄▅▆▇█"

SHOWN = 3
"""How many partitions a sentence speaks of."""


@dataclass(frozen=True)
class MonitoredPartition:
    """What monitoring knows about one partition, answered by ``version``.

    ``estimated`` and ``realised`` are Brier scores, None as long as nothing is known;
    ``positive_rate`` is that of the labels. ``alarm``: some column was flagged. ``retrain_as_of``:
    a training was asked for here. ``first``: the version answers here for the first time.
    """

    partition: str
    version: str
    predictions: int = 0
    labelled: int = 0
    maturity: Maturity = "estimated"
    positive_rate: float | None = None
    estimated: float | None = None
    realised: float | None = None
    drift: Outcome | None = None
    alarm: bool = False
    cause: Cause = "nothing"
    said: str = ""
    retrain_as_of: str | None = None
    first: bool = False


@dataclass(frozen=True)
class Overview:
    """The status, why in one sentence, and an answer to each of the questions people have."""

    status: Status
    reason: str
    answers: tuple[tuple[str, str], ...]


def summarise(
    partitions: Sequence[MonitoredPartition],
    champion: Champion | None,
    rollout: RolloutState | None,
    tested: float | None,
    decision: str,
) -> Overview:
    """The overview of a model; ``partitions`` oldest first, ``tested`` the champion's Brier score
    when it was tested, ``decision`` what was last decided about a retraining.
    """
    newest = partitions[-1] if partitions else None
    status, reason = _judge(newest, champion, rollout)
    answers = (
        ("What serves?", _say_serving(champion, rollout)),
        ("Is it as good as tested?", _say_performance(partitions, tested)),
        ("Is the data as in training?", _say_drift(partitions)),
        ("Is it trained again?", decision),
    )
    return Overview(status, reason, answers)


def draw_sparks(values: Sequence[float | None]) -> str:
    """A letter per value, the higher the larger; a space where there is none."""
    known = [value for value in values if value is not None]
    lowest, width = (min(known), max(known) - min(known)) if known else (0.0, 0.0)
    top = len(_SPARKS) - 1
    return "".join(
        " " if value is None else _SPARKS[round(top * (value - lowest) / width) if width else 0]
        for value in values
    )


def _judge(
    newest: MonitoredPartition | None, champion: Champion | None, rollout: RolloutState | None
) -> tuple[Status, str]:
    if champion is None:
        return "somebody has to act", "no version serves yet"
    if newest is None:
        return "worth a look", "no partition has been monitored yet"
    broken = newest.cause == "data_bug"
    if rollout is not None and rollout.phase == "failed" and not broken:
        return "worth a look", f"{rollout.version} was rolled back: {rollout.reason}"
    return _judge_partition(newest)


def _judge_partition(newest: MonitoredPartition) -> tuple[Status, str]:
    if newest.cause == "data_bug":
        return "somebody has to act", f"the data of {newest.partition} are broken: {newest.said}"
    if newest.drift == "failed" or newest.cause != "nothing":
        cause = newest.cause.replace("_", " ") if newest.cause != "nothing" else "drift"
        return "worth a look", f"{cause} in {newest.partition}: {newest.said}"
    if newest.drift == "inconclusive":
        return "worth a look", f"{newest.partition} could not be judged: {newest.said}"
    return "all is well", f"nothing stands out in {newest.partition}"


def _say_serving(champion: Champion | None, rollout: RolloutState | None) -> str:
    if champion is None:
        return "nothing"
    said = f"{champion.version}, trained as of {champion.train_as_of}"
    if rollout is not None and rollout.active:
        return f"{said}; {rollout.version} is being rolled out, at {rollout.weight} %"
    return said


def _say_performance(partitions: Sequence[MonitoredPartition], tested: float | None) -> str:
    beside = "" if tested is None else f", {tested:.3f} when it was tested"
    known = [p for p in partitions if p.realised is not None]
    said = [f"{p.partition} {p.realised:.3f} ({p.labelled} labels)" for p in known[-SHOWN:]]
    later = [p for p in partitions[len(partitions) - SHOWN :] if p.realised is None]
    said += [f"{p.partition} estimated {p.estimated:.3f}" for p in later if p.estimated is not None]
    return f"Brier score {', '.join(said)}{beside}" if said else f"no label yet{beside}"


def _say_drift(partitions: Sequence[MonitoredPartition]) -> str:
    judged = [p for p in partitions if p.drift is not None][-SHOWN:]
    if not judged:
        return "not compared yet"
    drifted = [p.partition for p in judged if p.drift == "failed"]
    counted = f"{len(drifted)} of the last {len(judged)} partitions drifted"
    return f"{counted}; {judged[-1].partition}: {judged[-1].said}"
