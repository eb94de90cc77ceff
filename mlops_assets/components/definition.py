"""One model as the stages and assets see it: its spec, its names, and its science on demand."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from mlops_assets.components.specs import LifecycleSpec
from mlops_assets.lifecycle.calendar import Calendar
from mlops_assets.lifecycle.digests import digest_bytes, digest_value
from mlops_assets.lifecycle.errors import SpecError
from mlops_assets.lifecycle.sources import Source
from mlops_assets.lifecycle.training import Feature


@dataclass(frozen=True)
class ModelDefinition:
    """A model's spec together with where its ``model.py`` lies; importing that is left to use."""

    spec: LifecycleSpec
    module: str
    folder: Path

    @property
    def name(self) -> str:
        return self.spec.name

    @property
    def calendar(self) -> Calendar:
        return self.spec.calendar

    @cached_property
    def sources(self) -> dict[str, Source]:
        return {name: source.to_source(name) for name, source in self.spec.sources.items()}

    @cached_property
    def features(self) -> tuple[Feature, ...]:
        return self.spec.features.to_features()

    @cached_property
    def timed_sources(self) -> dict[str, str]:
        """The tables whose rows become known at a moment, and the column that says when."""
        return {name: source.time for name, source in self.sources.items() if source.time}

    @property
    def feature_sources(self) -> list[Source]:
        """The tables features may draw on beside the entities themselves."""
        return [s for name, s in self.sources.items() if name != self.spec.entities.source]

    def table(self, name: str) -> str:
        """The name of one of the model's tables in the table store."""
        return f"{self.name}/{name}"

    def function(self, name: str) -> Callable[..., Any]:
        """A function of ``model.py``; the module is imported when first asked."""
        function = getattr(importlib.import_module(self.module), name, None)
        if not callable(function):
            raise SpecError(f"{self.folder / 'model.py'}: has no function '{name}'")
        return function  # type: ignore[no-any-return]

    @cached_property
    def code_digest(self) -> str:
        """Digest of the science: ``model.py`` as it is written."""
        return digest_bytes((self.folder / "model.py").read_bytes())

    @cached_property
    def policy_digest(self) -> str:
        """Digest of the gates a version has to pass."""
        return digest_value(self.spec.gates)
