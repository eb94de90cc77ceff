"""One model as the stages and assets see it: its spec, its names, and its science on demand."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
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
from mlops_assets.lifecycle.tuning import Dimension, Tuning

SOLE = "model"
"""The name of the only candidate of a model whose YAML names none."""


@dataclass(frozen=True)
class Candidate:
    """One estimator of a model: how it is made, and what a study searches for it, if anything."""

    name: str
    estimator: str
    parameters: Mapping[str, Any]
    space: Mapping[str, Dimension]
    space_from: str | None

    @property
    def tuned(self) -> bool:
        """Whether there is anything to search."""
        return bool(self.space or self.space_from)


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
    def candidates(self) -> dict[str, Candidate]:
        """The estimators to choose from, by name; one called ``model`` when there is no choice."""
        training, tuning = self.spec.training, self.spec.tuning
        if not self.spec.candidates:
            space = (tuning.space, tuning.space_from) if tuning else ({}, None)
            only = Candidate(SOLE, training.estimator, training.parameters, *space)
            return {SOLE: only}
        return {
            name: Candidate(name, of.estimator, of.parameters, of.space, of.space_from)
            for name, of in self.spec.candidates.items()
        }

    @property
    def compares_candidates(self) -> bool:
        """Whether candidates are assets of their own, weighed against each other."""
        return bool(self.spec.candidates)

    def tuning_of(self, candidate: Candidate) -> Tuning | None:
        """The search for a candidate's parameters; None when there is none."""
        if self.spec.tuning is None or not candidate.tuned:
            return None
        given = candidate.space_from
        space: Mapping[str, Dimension] = self.function(given)() if given else candidate.space
        return self.spec.tuning.to_tuning(space)

    @cached_property
    def code_digest(self) -> str:
        """Digest of the science: ``model.py`` as it is written."""
        return digest_bytes((self.folder / "model.py").read_bytes())

    @cached_property
    def policy_digest(self) -> str:
        """Digest of the gates a version has to pass."""
        return digest_value(self.spec.gates)
