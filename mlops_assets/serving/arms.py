"""Which arm of a rollout answers: a matter of the caller's entity, not of chance."""

from __future__ import annotations

from hashlib import sha256

from mlops_assets.lifecycle.rollout.state import Target


def falls_to_canary(model: str, canary: Target, unit: str) -> bool:
    """Whether the canary answers for ``unit`` (an entity key, or a request id without one).

    The same unit falls the same way throughout a step, and a growing weight only adds units.
    """
    seed = f"{model}/{canary.digest}/{unit}".encode()
    share = int.from_bytes(sha256(seed).digest()[:8], "big") / 2**64 * 100
    return share < canary.weight
