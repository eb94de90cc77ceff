"""The component: one ``defs.yaml`` and one ``model.py`` become the whole life of a model."""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import Any

import dagster as dg
from pydantic import BaseModel, GetJsonSchemaHandler, RootModel
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from mlops_assets.components.assets import build_assets
from mlops_assets.components.assets.reproduction import build_reproduction_check
from mlops_assets.components.definition import ModelDefinition
from mlops_assets.components.jobs import build_jobs
from mlops_assets.components.reading import read_spec, refuse_repeated_keys
from mlops_assets.components.scaffolder import ModelScaffolder
from mlops_assets.components.schedules import build_schedules
from mlops_assets.components.sensors import build_sensors
from mlops_assets.components.specs import LifecycleSpec


class LifecycleAttributes(RootModel[dict[str, Any]]):
    """The attributes as written. Their schema is that of ``LifecycleSpec``; checking them is left
    to ``read_spec``, whose messages name file, line and what is allowed.
    """

    @classmethod
    def __get_pydantic_json_schema__(
        cls, _: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return handler(LifecycleSpec.__pydantic_core_schema__)


@dg.scaffold_with(ModelScaffolder)
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
        written = attributes.root if isinstance(attributes, LifecycleAttributes) else {}
        folder = context.path if context.path.is_dir() else context.path.parent
        tree = resolution.source_position_tree

        if tree is not None:
            refuse_repeated_keys(Path(tree.position.filename))

        def locate(path: tuple[str | int, ...]) -> str:
            if tree is None:
                return str(folder / "defs.yaml")
            return str(tree.lookup_closest_and_path(["attributes", *path], trace=None)[0])

        attributes_read = _resolved(written, resolution, ("attributes",))
        spec = read_spec(attributes_read, folder, locate)
        module = context.defs_relative_module_name(folder / "model.py")
        return cls(ModelDefinition(spec, module, folder))

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:  # noqa: ARG002
        jobs = build_jobs(self.model)
        return dg.Definitions(
            assets=build_assets(self.model),
            asset_checks=[build_reproduction_check(self.model)],
            jobs=jobs.all,
            schedules=build_schedules(self.model, jobs),
            sensors=build_sensors(self.model, jobs),
        )


def _resolved(value: Any, context: dg.ResolutionContext, path: tuple[str | int, ...]) -> Any:
    """The value with its ``{{ templates }}`` filled in.

    Most texts are none, and filling in each one costs more than reading the rest of the file.
    """
    if isinstance(value, dict):
        return {key: _resolved(inner, context, (*path, key)) for key, inner in value.items()}
    if isinstance(value, list):
        return [_resolved(inner, context, (*path, index)) for index, inner in enumerate(value)]
    if not (isinstance(value, str) and "{{" in value):
        return value
    # A context that knows the path names the line of a template that means nothing.
    return reduce(dg.ResolutionContext.at_path, path, context).resolve_value(value)
