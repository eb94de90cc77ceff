"""One version answering one request: where it runs, for how long, and what is logged of it."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from math import isfinite
from typing import Literal

import msgspec

from mlops_assets.lifecycle.errors import FeatureError
from mlops_assets.serving.answering.prediction_log import LogLine, PredictionLog
from mlops_assets.serving.answering.rows import Rows
from mlops_assets.serving.routing.versions import Version

MAX_REASON_LENGTH = 300
INLINE_ROWS = 128
"""Compiled predictions of up to so many rows take less time than handing them to a thread."""

Arm = Literal["primary", "canary", "shadow"]


class PredictionError(Exception):
    """A version raised, took too long, or its answer was not a probability."""


class Attempt(msgspec.Struct, frozen=True):
    """One version about to answer one request.

    ``unit``, ``canary`` and ``weight`` are the request's assignment, as in ``LogLine``.
    """

    model: str
    request_id: str
    received_at: str
    rows: Rows
    version: Version
    arm: Arm | None
    routed: bool
    unit: str
    canary: str | None = None
    weight: int = 0


class Attempts:
    """Makes attempts and logs each, whether it comes off or not.

    ``observe`` hears of every line that is logged, or that was lost while answers go on.
    """

    def __init__(
        self, log: PredictionLog, observe: Callable[[LogLine], None] | None, deadline: float
    ) -> None:
        self._log = log
        self._observe = observe
        self._deadline = deadline

    async def make(self, attempt: Attempt, *, patient: bool) -> list[float]:
        """One probability per row; raises ``PredictionError`` with the reason that is logged.

        Unless ``patient``, it has to come within the deadline. Raises ``OSError`` when the line
        cannot be written and nothing may be answered that is not logged.
        """
        began = time.perf_counter()
        try:
            probability = await self._predict(attempt, patient)
        except Exception as error:  # an estimator may raise anything
            reason = self._explain(error)
            self._write(_line(attempt, began, None, reason))
            raise PredictionError(reason) from error
        self._write(_line(attempt, began, probability, None))
        return probability

    async def _predict(self, attempt: Attempt, patient: bool) -> list[float]:
        version, rows = attempt.version, attempt.rows
        if version.predictor.kind == "compiled" and rows.height <= INLINE_ROWS:
            return predict(version, rows)
        deadline = None if patient else self._deadline
        return await version.threads.run(partial(predict, version, rows), deadline)

    def _explain(self, error: Exception) -> str:
        if isinstance(error, TimeoutError) and not str(error):
            return f"TimeoutError: no answer within {self._deadline:g} s"
        return f"{type(error).__name__}: {error}"[:MAX_REASON_LENGTH]

    def _write(self, line: LogLine) -> None:
        self._log.write(line)
        if self._observe:
            self._observe(line)


def predict(version: Version, rows: Rows) -> list[float]:
    """One finite probability per row. Raises whatever the predictor does, ``FeatureError`` naming
    the inputs that did not come, or ``ValueError`` for an answer that is none."""
    if not rows.columns.keys() >= version.names:
        missing = [name for name in version.signature.names if name not in rows.columns]
        raise FeatureError(f"{version.name} needs {', '.join(missing)}, which the request left out")
    probability = version.predictor.predict(rows.columns, rows.height)
    if len(probability) != rows.height or not all(map(isfinite, probability)):
        raise ValueError("the version did not answer one finite probability per row")
    return probability


def _line(
    attempt: Attempt, began: float, probability: list[float] | None, reason: str | None
) -> LogLine:
    rows, version = attempt.rows, attempt.version
    columns = rows.columns
    return LogLine(
        request_id=attempt.request_id,
        model=attempt.model,
        version=version.name,
        digest=version.digest,
        arm=attempt.arm,
        routed=attempt.routed,
        status="error" if probability is None else "ok",
        reason=reason,
        received_at=attempt.received_at,
        milliseconds=round((time.perf_counter() - began) * 1000, 3),
        entity=rows.entity,
        time=rows.time,
        features={name: columns[name] for name in version.signature.names if name in columns},
        probability=probability,
        unit=attempt.unit,
        canary=attempt.canary,
        weight=attempt.weight,
    )
