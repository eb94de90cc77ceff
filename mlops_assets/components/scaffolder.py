"""A new model's folder as ``dg scaffold defs`` writes it: small, and complete enough to load."""

from __future__ import annotations

import re
from string import Template

import dagster as dg

from mlops_assets.lifecycle.errors import SpecError

DEFS_YAML = Template("""\
type: $type

attributes:
  name: $name
  description: What does it predict? One sentence.
  owners: ["team:$name"]

  # 1. The data: partitions of equal length, and the raw tables they are read from.
  calendar: {cadence: weekly, start: "2024-01-01", end: "2025-12-29", timezone: UTC}
  sources:
    events:
      path: events.csv          # beside this file, absolute, or package:NAME/FILE
      partitioned_by: [at]      # a date or datetime column, or year, month and day
      key: [event_id]           # the columns that identify a row
      columns:                  # every column the functions of model.py use
        event_id: str
        at: {type: datetime, description: "UTC, ISO 8601"}
        size: {type: float, nullable: true, ge: 0}
        succeeded: bool

  # 2. What is predicted: one row per entity, and the label that becomes known afterwards.
  entities:
    source: events
    key: entity_id              # the columns that build_entities makes
    time: asked_at
    known: [event_id, at, size] # the columns known when the prediction is made
  label: success                # the column that build_labels makes

  # 3. What the model sees: the columns that build_features makes.
  features:
    categorical: []
    numeric: [event_size]
""")

MODEL_PY = Template('''\
"""The science of $name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import polars as pl

from mlops_assets.lifecycle.features import FeatureInputs
from mlops_assets.lifecycle.training import Feature


def build_entities(events: pl.DataFrame) -> pl.DataFrame:
    """One row per row of the source, from what is known: the key (text) and the time (UTC)."""
    return events.select(entity_id="event_id", asked_at="at", size="size")


def build_labels(events: pl.DataFrame) -> pl.DataFrame:
    """The key, the label (null for none), and when each label became known (UTC)."""
    return events.select(
        entity_id="event_id",
        success="succeeded",
        known_at=pl.col("at") + pl.duration(hours=1),
    )


def build_features(inputs: FeatureInputs) -> pl.DataFrame:
    """The key and the features, from what was known by the time of the prediction."""
    return inputs.entities.with_columns(event_size="size")


def build_estimator(features: Sequence[Feature], seed: int) -> Any:
    """Any scikit-learn classifier; missing numbers reach it as NaN, missing texts as ""."""
    from sklearn.compose import ColumnTransformer
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import OneHotEncoder

    texts = [feature.name for feature in features if feature.kind == "categorical"]
    numbers = [feature.name for feature in features if feature.kind == "numeric"]
    encode = OneHotEncoder(handle_unknown="ignore")
    prepare = ColumnTransformer([("texts", encode, texts), ("numbers", SimpleImputer(), numbers)])
    return Pipeline([("prepare", prepare), ("classify", LogisticRegression(random_state=seed))])
''')


class ModelScaffolder(dg.Scaffolder):
    """Writes ``defs.yaml``, ``model.py`` and ``__init__.py`` of a model that loads as it is."""

    def scaffold(self, request: dg.ScaffoldRequest) -> None:
        folder, name = request.target_path, request.target_path.name
        if request.scaffold_format != "yaml" or request.append:
            raise SpecError(f"{folder}: a model is written as YAML, in a folder of its own")
        if not re.fullmatch("[a-z][a-z0-9_]*", name):
            raise SpecError(
                f"{folder}: a model's name has lower case letters, digits and _, got '{name}'"
            )
        files = {
            "defs.yaml": DEFS_YAML.substitute(type=request.type_name, name=name),
            "model.py": MODEL_PY.substitute(name=name),
            "__init__.py": f'"""The model {name}."""\n',
        }
        for file, text in files.items():
            (folder / file).write_text(text)
