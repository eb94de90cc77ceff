"""When the endpoint stops asking a version by itself: the rule, and the attempts it looks at."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class GuardPolicy:
    """How much failing is too much: so many attempts in a row, or within the last few.

    ``in_a_row`` and ``failures`` of ``window`` are counts of attempts, whatever their units: this
    is the fuse of the data plane, and the statistics of a rollout decide on anything subtler.
    """

    in_a_row: int = 5
    failures: int = 10
    window: int = 20

    def __post_init__(self) -> None:
        if not 1 <= self.in_a_row <= self.window or not 1 <= self.failures <= self.window:
            raise ValueError(
                f"guard: {self.in_a_row} in a row and {self.failures} failures do not fit into a "
                f"window of {self.window} attempts; each has to be between 1 and the window"
            )


def judge_attempts(attempts: Sequence[bool], policy: GuardPolicy) -> str | None:
    """Why a version has to be cut off, None while it need not be.

    ``attempts`` says of each whether it was answered, the latest last.
    """
    row = attempts[-policy.in_a_row :]
    if len(row) == policy.in_a_row and not any(row):
        return f"{policy.in_a_row} attempts in a row failed"
    recent = attempts[-policy.window :]
    failed = recent.count(False)
    if failed >= policy.failures:
        return f"{failed} of its last {len(recent)} attempts failed"
    return None


class Guard:
    """The latest attempts of every version that is on trial; belongs to the event loop."""

    def __init__(self, policy: GuardPolicy | None = None) -> None:
        self._policy = policy or GuardPolicy()
        self._attempts: dict[tuple[str, str], deque[bool]] = {}

    def record(self, model: str, digest: str, *, answered: bool) -> str | None:
        """Count one attempt; why the version has to be cut off now, None while it need not be."""
        key = (model, digest)
        if key not in self._attempts:
            self._attempts[key] = deque(maxlen=self._policy.window)
        self._attempts[key].append(answered)
        return None if answered else judge_attempts(list(self._attempts[key]), self._policy)
