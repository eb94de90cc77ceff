"""Which arm of a rollout answers: a matter of the caller's entity, not of chance."""

from __future__ import annotations

from hashlib import sha256

from mlops_assets.lifecycle.rollout.state import Target


def falls_to_canary(model: str, canary: Target, unit: str) -> bool:
    """Whether the canary answers for ``unit`` (an entity key, or a request id without one).

    The same unit falls the same way throughout a step, and a growing weight only adds units.
    """
    return canary.weight > 0 and _share(f"{model}/{canary.digest}/{unit}") < canary.weight


def is_mirrored(model: str, shadow: Target, unit: str) -> bool:
    """Whether a request for ``unit`` is copied to the shadow, sticky in the same way.

    Drawn apart from the arms: of the units that the primary answers, the percent stated is copied.
    """
    return shadow.mirror > 0 and _share(f"{model}/{shadow.digest}/mirror/{unit}") < shadow.mirror


def _share(seed: str) -> float:
    """A number from 0 up to 100, the same for the same seed."""
    digest = sha256(seed.encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:8], "big") / 2**64 * 100
