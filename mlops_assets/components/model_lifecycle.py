"""The component: one ``defs.yaml`` and one ``model.py`` become the whole life of a model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import dagster as dg
from pydantic import BaseModel, ModelWrapValidatorHandler, PrivateAttr, model_validator

from mlops_assets.components.assets import build_assets
from mlops_assets.components.definition import ModelDefinition
from mlops_assets.components.jobs import build_jobs
from mlops_assets.components.reading import read_spec
from mlops_assets.components.schedules import build_schedules
from mlops_assets.components.sensors import build_sensors
from mlops_assets.components.specs import LifecycleSpec


class LifecycleAttributes(LifecycleSpec):
    """The attributes as written. Their schema is ``LifecycleSpec``; reading them is left to
    ``read_spec``, whose messages name file, line and what is allowed.
    """

    _written: Any = PrivateAttr(default=None)

    @model_validator(mode="wrap")
    @classmethod
    def keep_as_written(
        cls, value: Any, _: ModelWrapValidatorHandler[LifecycleAttributes]
    ) -> LifecycleAttributes:
        kept = cls.model_construct()  # type: ignore[call-arg]  # nothing is read yet
        kept._written = value
        return kept


@dataclass(frozen=True)
class ModelLifecycleComponent(dg.Component):
    """The life of one model as assets: raw rows, features, training, gates, registry, rollout,
    monitoring and retraining, with the jobs, schedules and sensors that drive them.

    Scaffold one with ``dg scaffold defs mlops_assets.components.ModelLifecycleComponent NAME``.
    """

    model: ModelDefinition

    @classmethod
    def get_model_cls(cls) -> type[BaseModel]:
        return LifecycleAttributes

    @classmethod
    def load(
        cls, attributes: BaseModel | None, context: dg.ComponentLoadContext
    ) -> ModelLifecycleComponent:
        resolution = context.resolution_context
        written = attributes._written if isinstance(attributes, LifecycleAttributes) else None
        folder = context.path if context.path.is_dir() else context.path.parent
        tree = resolution.source_position_tree

        def locate(path: tuple[str | int, ...]) -> str:
            if tree is None:
                return str(folder / "defs.yaml")
            return str(tree.lookup_closest_and_path(["attributes", *path], trace=None)[0])

        spec = read_spec(resolution.resolve_value(written or {}), folder, locate)
        module = context.defs_relative_module_name(folder / "model.py")
        return cls(ModelDefinition(spec, module, folder))

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:  # noqa: ARG002
        jobs = build_jobs(self.model)
        return dg.Definitions(
            assets=build_assets(self.model),
            jobs=jobs.all,
            schedules=build_schedules(self.model, jobs),
            sensors=build_sensors(self.model, jobs),
        )
