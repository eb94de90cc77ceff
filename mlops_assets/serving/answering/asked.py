"""A request that was understood, and the attempts it may lead to."""

from __future__ import annotations

import msgspec

from mlops_assets.serving.answering.attempts import Arm, Attempt
from mlops_assets.serving.answering.plans import Trial
from mlops_assets.serving.answering.rows import Rows
from mlops_assets.serving.protocol import InferResponse, probabilities
from mlops_assets.serving.routing.versions import Version


class Asked(msgspec.Struct, frozen=True):
    """The rows of one request and how it is assigned.

    ``unit`` is what falls to an arm: the first row's entity, else the request. ``as_of``: the
    moment of the features that were looked up for it, None when none were.
    """

    model: str
    request_id: str
    received_at: str
    rows: Rows
    unit: str
    as_of: str | None

    def attempt(
        self, version: Version, arm: Arm | None, trial: Trial | None, *, routed: bool = False
    ) -> Attempt:
        """The attempt of one version; ``trial`` is the rollout the request was assigned in."""
        return Attempt(
            self.model,
            self.request_id,
            self.received_at,
            self.rows,
            version,
            arm,
            routed,
            self.unit,
            trial.version.name if trial else None,
            trial.target.weight if trial and arm != "shadow" else 0,
        )

    def respond(
        self, attempt: Attempt, probability: list[float], *, fallback: bool = False
    ) -> InferResponse:
        """What the caller gets for an attempt that came off."""
        parameters: dict[str, object] = {"arm": attempt.arm} if attempt.arm else {}
        if fallback:
            parameters["fallback"] = True
        if self.as_of:
            parameters["features_as_of"] = self.as_of
        outputs = probabilities(probability)
        return InferResponse(self.model, attempt.version.name, self.request_id, parameters, outputs)
