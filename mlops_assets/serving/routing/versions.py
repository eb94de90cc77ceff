"""The versions that are loaded, by the digest of their files."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from functools import cached_property

from mlops_assets.adapters.ports import ModelFiles
from mlops_assets.lifecycle.errors import ArtifactError
from mlops_assets.lifecycle.rollout.state import Target
from mlops_assets.lifecycle.training import ModelSignature
from mlops_assets.serving.answering.threads import ThreadBudget
from mlops_assets.serving.compiling import Predictor, build_predictor

WARM = 3
"""Versions of a model that stay loaded: what is pinned, then what was routed last."""


@dataclass(frozen=True)
class Version:
    """A version that can answer. ``name`` is like ``v3``; ``threads`` are those it may occupy."""

    name: str
    digest: str
    predictor: Predictor
    signature: ModelSignature
    threads: ThreadBudget = field(default_factory=ThreadBudget, compare=False)

    @cached_property
    def names(self) -> frozenset[str]:
        """The inputs it cannot answer without."""
        return frozenset(self.signature.names)


class Versions:
    """Loads versions and remembers why one could not be loaded.

    ``load``, ``refuse``, ``expect`` and ``keep`` belong to one thread; the others to any.
    """

    def __init__(self, files: ModelFiles) -> None:
        self._files = files
        self._loaded: dict[str, dict[str, Version]] = {}
        self._errors: dict[tuple[str, str], str] = {}

    def load(self, model: str, target: Target) -> Version | None:
        """The loaded version, or None; ``error`` then says why. Loading failures never raise."""
        try:
            version = self.warm(model).get(target.digest) or self._read(model, target)
        except Exception as error:  # noqa: BLE001 - whatever a broken file raises, the others go on answering
            self.refuse(model, target, f"{type(error).__name__}: {error}")
            return None
        others = {d: v for d, v in self.warm(model).items() if d != version.digest}
        self._loaded[model] = {**others, version.digest: version}
        return version

    def refuse(self, model: str, target: Target, reason: str) -> None:
        """Remember why a version must not answer."""
        self._errors[model, target.digest] = reason

    def expect(self, model: str, target: Target) -> None:
        """Forget what was wrong with a version that is about to be tried, again or at last.

        Whoever waits for it then hears that it is being loaded, not what once was wrong with it.
        """
        self._errors.pop((model, target.digest), None)

    def error(self, model: str, digest: str) -> str | None:
        """Why the version cannot answer, None when it can or has not been tried."""
        return self._errors.get((model, digest))

    def warm(self, model: str) -> dict[str, Version]:
        """The loaded versions of a model by digest, the one used longest ago first."""
        return self._loaded.get(model, {})

    def keep(self, model: str, pinned: Collection[str]) -> None:
        """Forget what was used longest ago, down to ``WARM`` versions, but none that is pinned."""
        warm = self.warm(model)
        idle = [digest for digest in warm if digest not in pinned]
        room = max(WARM - sum(digest in pinned for digest in warm), 0)
        gone = set(idle[: len(idle) - room]) if room < len(idle) else set()
        self._loaded[model] = {d: v for d, v in warm.items() if d not in gone}

    def _read(self, model: str, target: Target) -> Version:
        estimator, signature = self._files.load(target.digest)
        if signature.model != model:
            raise ArtifactError(
                f"the files were trained as '{signature.model}', not as '{model}'; "
                "deploy the version that training made"
            )
        predictor = build_predictor(estimator, signature.features)
        return Version(target.version, target.digest, predictor, signature)
