"""From a request to a logged prediction: choosing, predicting, falling back, copying."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import UTC, datetime
from uuid import uuid4

from mlops_assets.lifecycle.errors import RequestError
from mlops_assets.lifecycle.rollout.state import CutOff
from mlops_assets.serving.answering.arms import falls_to_canary, is_mirrored
from mlops_assets.serving.answering.asked import Asked
from mlops_assets.serving.answering.attempts import Attempt, Attempts, PredictionError
from mlops_assets.serving.answering.guards import Guard, GuardPolicy
from mlops_assets.serving.answering.inputs import Inputs, Lookups
from mlops_assets.serving.answering.mirroring import WAITING, Mirroring
from mlops_assets.serving.answering.plans import Plans, Trial
from mlops_assets.serving.answering.prediction_log import LogLine, PredictionLog, utc_now
from mlops_assets.serving.answering.rows import Rows, read_rows
from mlops_assets.serving.protocol import InferRequest, InferResponse
from mlops_assets.serving.routing.catalog import Catalog
from mlops_assets.serving.routing.versions import Version

DEADLINE = 2.0
"""Seconds a version on trial has for an answer, before the primary gives one in its place."""

logger = logging.getLogger(__name__)


class Answering:
    """Answers inference requests; belongs to one event loop.

    ``deadline``: seconds that a canary, a shadow or a version called by name may take.
    ``observe`` hears of every line of the log. ``cut_offs`` counts the versions cut off here.
    """

    def __init__(
        self,
        catalog: Catalog,
        log: PredictionLog,
        *,
        max_rows: int,
        now: Callable[[], datetime] = utc_now,
        deadline: float = DEADLINE,
        lookups: Lookups | None = None,
        observe: Callable[[LogLine], None] | None = None,
        guard: GuardPolicy | None = None,
        max_copies: int = WAITING,
    ) -> None:
        self.cut_offs = 0
        self._catalog = catalog
        self._log = log
        self._max_rows = max_rows
        self._now = now
        self._lookups = lookups
        self._plans = Plans(catalog, lookups)
        self._guard = Guard(guard)
        self._attempts = Attempts(log, observe, deadline)
        self._mirroring = Mirroring(self._answer_copy, capacity=max_copies)

    @property
    def dropped_copies(self) -> int:
        """Copies for shadows that found no room, or whose version was cut off meanwhile."""
        return self._mirroring.dropped

    @property
    def lost_lines(self) -> int:
        """Lines that are missing in the prediction log."""
        return self._log.lost

    async def close(self, seconds: float = 1.0) -> None:
        """Go on with the copies that wait, for so long at most."""
        await self._mirroring.close(seconds)

    async def infer(self, model: str, version: str | None, request: InferRequest) -> InferResponse:
        """The answer to ``request``, by the routing or by the named version.

        Raises ``RequestError`` with the status to answer with; what is returned is in the log.
        """
        plan = self._plans.find(model, version)
        asked = self._read(model, request, plan.inputs)
        if version:
            return await self._answer(asked, asked.attempt(plan.version, plan.arm, None))
        trial = plan.trial
        if trial and falls_to_canary(model, trial.target, asked.unit):
            return await self._answer_by_canary(asked, plan.version, trial)
        attempt = asked.attempt(plan.version, "primary", trial, routed=True)
        response = await self._answer(asked, attempt)
        if trial and is_mirrored(model, trial.target, asked.unit):
            self._mirroring.offer(asked.attempt(trial.version, "shadow", trial))
        return response

    def cut_off(self, model: str, version: str, reason: str, by: str) -> CutOff:
        """Give a version no more requests or copies from now on, because somebody says so.

        Raises ``RequestError``: 404 for what does not exist, 409 for the primary, in whose place
        nobody could answer.
        """
        route = self._catalog.route(model)
        digest = self._catalog.find_digest(route, version)
        if route.served.primary and route.served.primary.digest == digest:
            raise RequestError(
                f"{model} {version} answers by default and cannot be cut off; roll back to "
                "another version instead",
                status=409,
            )
        return self._cut_off(model, CutOff(version, digest, reason, by))

    async def _answer_by_canary(
        self, asked: Asked, primary: Version, trial: Trial
    ) -> InferResponse:
        """The canary answers, or the primary at once when it fails."""
        attempt = asked.attempt(trial.version, "canary", trial, routed=True)
        try:
            return asked.respond(attempt, await self._try(attempt))
        except PredictionError:  # in the log as the canary's error, and no caller's concern
            instead = asked.attempt(primary, "primary", trial)
            return await self._answer(asked, instead, fallback=True)

    async def _answer(
        self, asked: Asked, attempt: Attempt, *, fallback: bool = False
    ) -> InferResponse:
        """The answer of the one version that can give it. A primary is waited for."""
        try:
            probability = await self._make(attempt, patient=attempt.arm == "primary")
        except PredictionError as error:
            raise RequestError(
                f"{attempt.model} {attempt.version.name} could not predict these rows; the "
                f"prediction log has the reason under request {attempt.request_id}",
                status=500,
            ) from error
        return asked.respond(attempt, probability, fallback=fallback)

    async def _answer_copy(self, attempt: Attempt) -> None:
        """A shadow answers for the log alone, unless it was cut off while the copy waited."""
        if self._catalog.find_cut_off(attempt.model, attempt.version.digest):
            self._mirroring.dropped += 1
            return
        try:
            await self._try(attempt)
        except PredictionError as error:
            logger.debug("shadow %s: %s", attempt.version.name, error)
        except RequestError as error:  # not logged: lost, and counted as such
            logger.debug("shadow %s: %s", attempt.version.name, error)

    async def _try(self, attempt: Attempt) -> list[float]:
        """The attempt of a version on trial: it counts for its guard, and has a deadline."""
        try:
            probability = await self._make(attempt, patient=False)
        except PredictionError as error:
            self._record(attempt, str(error))
            raise
        self._record(attempt, None)
        return probability

    async def _make(self, attempt: Attempt, *, patient: bool) -> list[float]:
        try:
            return await self._attempts.make(attempt, patient=patient)
        except OSError as error:
            why = error.strerror or error
            reason = f"the prediction is not acknowledged, it could not be logged: {why}"
            raise RequestError(reason, status=503) from error

    def _record(self, attempt: Attempt, failure: str | None) -> None:
        """Count the attempt, and cut the version off once it has failed too often."""
        version = attempt.version
        verdict = self._guard.record(attempt.model, version.digest, answered=failure is None)
        if verdict:
            reason = f"{verdict}, the last one with {failure}"
            self._cut_off(attempt.model, CutOff(version.name, version.digest, reason))

    def _cut_off(self, model: str, cut_off: CutOff) -> CutOff:
        if self._catalog.cut_off(model, cut_off):
            self.cut_offs += 1
        return self._catalog.find_cut_off(model, cut_off.digest) or cut_off

    def _read(self, model: str, request: InferRequest, inputs: Inputs) -> Asked:
        """The request as rows, with the features that it left to be looked up."""
        received = self._now().astimezone(UTC).isoformat(timespec="microseconds")
        rows = read_rows(request.inputs, inputs, self._max_rows)
        as_of = self._look_up(model, rows, inputs)
        identity = uuid4().hex if request.id is None else request.id
        unit = rows.entity[0] if rows.entity else None
        return Asked(model, identity, received, rows, unit or identity, as_of)

    def _look_up(self, model: str, rows: Rows, inputs: Inputs) -> str | None:
        """Add the features that were left out; as of when they are, None when none were."""
        if self._lookups is None or rows.columns.keys() >= inputs.optional:
            return None
        try:
            return self._lookups.fill(model, rows.columns, rows.height)
        except RequestError:
            if rows.columns.keys() >= set(inputs.names):
                return None  # what answers by default is all there: what else a canary takes is not
            raise
