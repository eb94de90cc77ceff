"""What a person does to a rollout, beside the strategy's own steps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

InterventionAction = Literal["pause", "resume", "abort", "roll_back"]


@dataclass(frozen=True)
class Intervention:
    """That a person held, let go on, ended or took back a version, and why.

    ``request`` names the launch, so that the same one tried again does nothing twice; ``version``
    is the version it was done to, ``done`` says in words what came of it.
    """

    request: str
    action: InterventionAction
    version: str
    by: str
    reason: str
    done: str

    def describe(self) -> str:
        """Who and why, in one line; nobody has to give a name to take traffic away."""
        return f"{self.by}: {self.reason}" if self.by else self.reason
