"""The example models as the component reads them, with some of their YAML put otherwise."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from mlops_assets.components.definition import ModelDefinition
from mlops_assets.components.reading import read_spec

HERE = Path(__file__).parent


def written(name: str) -> dict[str, Any]:
    """The attributes in an example's defs.yaml."""
    read = yaml.safe_load((HERE / name / "defs.yaml").read_text())
    attributes: dict[str, Any] = read["attributes"]
    return attributes


def read_example(
    name: str, changes: Mapping[str, Any] | None = None, folder: Path | None = None
) -> ModelDefinition:
    """An example with some sections of its defs.yaml replaced, or removed with None.

    ``folder`` holds another model.py, whose text is digested; what runs is the example's own.
    """
    stated = {**written(name), **(changes or {})}
    kept = {section: value for section, value in stated.items() if value is not None}
    spec = read_spec(kept, folder or HERE / name, lambda _: "defs.yaml")
    return ModelDefinition(spec, f"mlops_assets_tests.examples.{name}.model", folder or HERE / name)
