"""From the body of a request to a logged prediction: choosing, predicting, falling back."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from uuid import uuid4

import numpy as np

from mlops_assets.lifecycle.errors import RequestError
from mlops_assets.lifecycle.rollout.state import Target
from mlops_assets.lifecycle.training import predict_probability
from mlops_assets.serving.arms import falls_to_canary
from mlops_assets.serving.catalog import Catalog
from mlops_assets.serving.prediction_log import LogLine, PredictionLog, utc_now
from mlops_assets.serving.protocol import (
    InferRequest,
    InferResponse,
    decode_request,
    probabilities,
)
from mlops_assets.serving.routes import Route
from mlops_assets.serving.rows import Rows, read_rows
from mlops_assets.serving.versions import Version

MAX_REASON_LENGTH = 300


class PredictionError(Exception):
    """A version raised while it predicted, or its answer was not a probability."""


@dataclass(frozen=True)
class Attempt:
    """One version about to answer one request."""

    model: str
    request_id: str
    received_at: str
    rows: Rows
    version: Version
    target: Target | None
    routed: bool = True
    fallback: bool = False


class Answering:
    """Answers inference requests; ``infer`` blocks and may be called from several threads."""

    def __init__(
        self,
        catalog: Catalog,
        log: PredictionLog,
        *,
        max_rows: int,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        self._catalog = catalog
        self._log = log
        self._max_rows = max_rows
        self._now = now

    def infer(self, model: str, version: str | None, body: bytes) -> InferResponse:
        """The answer to ``body``, by the routing or by the named version.

        Raises ``RequestError`` with the status to answer with; what is returned is in the log.
        """
        received = self._now().astimezone(UTC).isoformat(timespec="microseconds")
        route = self._catalog.route(model)
        if version:
            return self._ask(model, version, route, body, received)
        return self._ask_routed(model, route, body, received)

    def _ask(
        self, model: str, name: str, route: Route, body: bytes, received: str
    ) -> InferResponse:
        """The named version answers, whatever its weight."""
        version = self._catalog.version(route, name)
        request = decode_request(body)
        rows = read_rows(request.inputs, [version.signature], self._max_rows)
        identity = _request_id(request)
        target = route.target(name)
        return self._answer(Attempt(model, identity, received, rows, version, target, routed=False))

    def _ask_routed(self, model: str, route: Route, body: bytes, received: str) -> InferResponse:
        """The arm that the routing gives answers; the primary for a canary that fails."""
        target, primary = self._catalog.primary(route)
        aside, canary = route.served.canary, None
        if aside and aside.weight:
            canary = route.versions[aside.digest]
        request = decode_request(body)
        signatures = [version.signature for version in (primary, canary) if version]
        rows = read_rows(request.inputs, signatures, self._max_rows)
        attempt = Attempt(model, _request_id(request), received, rows, primary, target)
        unit = rows.entity[0] if rows.entity else None
        if aside and canary and falls_to_canary(model, aside, unit or attempt.request_id):
            try:
                return self._predict(replace(attempt, version=canary, target=aside))
            except PredictionError:  # in the log as the canary's error, and no caller's concern
                attempt = replace(attempt, routed=False, fallback=True)
        return self._answer(attempt)

    def _answer(self, attempt: Attempt) -> InferResponse:
        try:
            return self._predict(attempt)
        except PredictionError as error:
            raise RequestError(
                f"{attempt.model} {attempt.version.name} could not predict these rows; the "
                f"prediction log has the reason under request {attempt.request_id}",
                status=500,
            ) from error

    def _predict(self, attempt: Attempt) -> InferResponse:
        """One attempt, logged whether it comes off or raises ``PredictionError``."""
        began = time.perf_counter()
        try:
            probability = predict(attempt.version, attempt.rows)
        except Exception as error:  # an estimator may raise anything
            reason = f"{type(error).__name__}: {error}"[:MAX_REASON_LENGTH]
            self._write(_line(attempt, began, None, reason))
            raise PredictionError(reason) from error
        self._write(_line(attempt, began, probability, None))
        return _response(attempt, probability)

    def _write(self, line: LogLine) -> None:
        try:
            self._log.write(line)
        except OSError as error:
            reason = f"the prediction is not acknowledged, it could not be logged: {error.strerror}"
            raise RequestError(reason, status=503) from error


def predict(version: Version, rows: Rows) -> list[float]:
    """One finite probability per row. Raises whatever the estimator does, or ``ValueError``."""
    probability = predict_probability(version.estimator, rows.frame, version.signature.features)
    if probability.shape != (rows.frame.height,) or not np.isfinite(probability).all():
        raise ValueError("the version did not answer one finite probability per row")
    plain: list[float] = probability.astype(float).tolist()
    return plain


def _request_id(request: InferRequest) -> str:
    return uuid4().hex if request.id is None else request.id


def _response(attempt: Attempt, probability: list[float]) -> InferResponse:
    arm = {"arm": attempt.target.arm} if attempt.target else {}
    return InferResponse(
        attempt.model,
        attempt.version.name,
        attempt.request_id,
        {**arm, **({"fallback": True} if attempt.fallback else {})},
        probabilities(probability),
    )


def _line(
    attempt: Attempt, began: float, probability: list[float] | None, reason: str | None
) -> LogLine:
    rows, names = attempt.rows, attempt.version.signature.names
    return LogLine(
        request_id=attempt.request_id,
        model=attempt.model,
        version=attempt.version.name,
        digest=attempt.version.digest,
        arm=attempt.target.arm if attempt.target else None,
        routed=attempt.routed,
        status="error" if probability is None else "ok",
        reason=reason,
        received_at=attempt.received_at,
        milliseconds=round((time.perf_counter() - began) * 1000, 3),
        entity=rows.entity,
        time=rows.time,
        features={name: rows.frame[name].to_list() for name in names if name in rows.frame},
        probability=probability,
    )
