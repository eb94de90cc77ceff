"""The versions that are loaded, by the digest of their files."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from mlops_assets.adapters.ports import ModelFiles
from mlops_assets.lifecycle.errors import ArtifactError
from mlops_assets.lifecycle.rollout.state import Target
from mlops_assets.lifecycle.training import ModelSignature

WARM = 3
"""Versions of a model that stay loaded: what is routed, then what was routed last."""


@dataclass(frozen=True)
class Version:
    """A version that can answer. ``name`` is like ``v3``; ``estimator`` is fitted."""

    name: str
    digest: str
    estimator: Any
    signature: ModelSignature


class Versions:
    """Loads versions and remembers why one could not be loaded.

    ``load`` and ``refuse`` belong to one thread; the others may be called from any.
    """

    def __init__(self, files: ModelFiles) -> None:
        self._files = files
        self._loaded: dict[str, dict[str, Version]] = {}
        self._errors: dict[tuple[str, str], str] = {}

    def load(self, model: str, target: Target) -> Version | None:
        """The loaded version, or None; ``error`` then says why. Loading failures never raise."""
        self._errors.pop((model, target.digest), None)
        try:
            version = self.warm(model).get(target.digest) or self._read(model, target)
        except Exception as error:  # noqa: BLE001 - whatever a broken file raises, the others go on answering
            self.refuse(model, target, f"{type(error).__name__}: {error}")
            return None
        self._keep(model, version)
        return version

    def refuse(self, model: str, target: Target, reason: str) -> None:
        """Remember why a version must not answer."""
        self._errors[model, target.digest] = reason

    def error(self, model: str, digest: str) -> str | None:
        """Why the version cannot answer, None when it can or has not been tried."""
        return self._errors.get((model, digest))

    def warm(self, model: str) -> dict[str, Version]:
        """The loaded versions of a model by digest, the one used longest ago first."""
        return self._loaded.get(model, {})

    def _read(self, model: str, target: Target) -> Version:
        estimator, signature = self._files.load(target.digest)
        if signature.model != model:
            raise ArtifactError(
                f"the files were trained as '{signature.model}', not as '{model}'; "
                "deploy the version that training made"
            )
        return Version(target.version, target.digest, estimator, signature)

    def _keep(self, model: str, version: Version) -> None:
        """Count the version as used last; forget the ones used longest ago."""
        others = [v for v in self.warm(model).values() if v.digest != version.digest]
        kept = [*others, version][-WARM:]
        self._loaded[model] = {v.digest: v for v in kept}
