"""What a model's ``defs.yaml`` may say. The policies are the values of ``lifecycle`` themselves."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints

from mlops_assets.lifecycle.calendar import Calendar
from mlops_assets.lifecycle.errors import did_you_mean
from mlops_assets.lifecycle.features import EntityPolicy
from mlops_assets.lifecycle.gates import ChampionGate, GatePolicy
from mlops_assets.lifecycle.monitoring import DriftPolicy
from mlops_assets.lifecycle.retraining import RetrainingPolicy
from mlops_assets.lifecycle.rollout.analysis import AnalysisPolicy
from mlops_assets.lifecycle.rollout.strategy import RolloutPolicy
from mlops_assets.lifecycle.sources import Column, Source
from mlops_assets.lifecycle.splits import SplitPolicy
from mlops_assets.lifecycle.training import Feature
from mlops_assets.lifecycle.tuning import Dimension, Tuning
from mlops_assets.lifecycle.validation import ValidationPolicy

POLICIES: tuple[type, ...] = (
    AnalysisPolicy,
    Calendar,
    ChampionGate,
    Column,
    Dimension,
    DriftPolicy,
    EntityPolicy,
    GatePolicy,
    RetrainingPolicy,
    RolloutPolicy,
    SplitPolicy,
    Tuning,
    ValidationPolicy,
)
for _policy in POLICIES:
    # Lifecycle values know nothing of pydantic; read from YAML they refuse keys they do not have.
    _policy.__pydantic_config__ = ConfigDict(extra="forbid")  # type: ignore[attr-defined]

Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]*$")]
Path = tuple[str | int, ...]
Complaint = tuple[Path, str]
"""Where in the YAML, and what is wrong there."""


def expand_column(value: Any) -> Any:
    """``int`` and ``int?`` stand for ``{type: int}`` and ``{type: int, nullable: true}``."""
    if isinstance(value, str):
        return {"type": value.removesuffix("?"), "nullable": value.endswith("?")}
    return value


class Section(BaseModel):
    """A part of ``defs.yaml``: unknown keys are refused, values are frozen."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)


class SourceSpec(Section):
    """One raw table; see ``lifecycle.sources.Source``."""

    path: str = Field(
        description="package:NAME/FILE, absolute, or relative to defs.yaml; "
        "{partition} stands for the partition key"
    )
    key: tuple[str, ...] = Field(min_length=1, description="columns that identify a row")
    columns: dict[
        str, Annotated[Column, BeforeValidator(expand_column, json_schema_input_type=str | Column)]
    ] = Field(min_length=1, description="name: type, type? when it may be null, or a mapping")
    partitioned_by: tuple[str, ...] = Field(
        (), description="one date or datetime column, or year, month and day; empty for none"
    )
    time: str | None = Field(None, description="column that says when a row became known")
    rules: dict[Name, str] = Field({}, description="SQL expressions a plausible row fulfils")
    null_values: tuple[str, ...] = Field(("NA", ""), description="texts that mean missing")
    description: str = ""

    def to_source(self, name: str) -> Source:
        return Source(name=name, **{key: getattr(self, key) for key in type(self).model_fields})


class FeaturesSpec(Section):
    """The columns ``build_features`` returns and the model sees, in this order."""

    categorical: tuple[str, ...] = ()
    numeric: tuple[str, ...] = ()

    def to_features(self) -> tuple[Feature, ...]:
        categories = tuple(Feature(name, "categorical") for name in self.categorical)
        return categories + tuple(Feature(name, "numeric") for name in self.numeric)


class TrainingSpec(Section):
    """How the estimator is made and on which rows it is fitted."""

    estimator: str = Field("build_estimator", description="function of model.py")
    parameters: dict[str, Any] = Field({}, description="scikit-learn parameters to set")
    seed: int = 7
    split: SplitPolicy = SplitPolicy()


class EvaluationSpec(Section):
    """What an evaluation shows beside the whole."""

    slices: tuple[str, ...] = Field((), description="features whose values are measured apart")


class ScheduleSpec(Section):
    """When a job runs by the clock."""

    cron: str = "0 6 * * 1"
    timezone: str = "UTC"
    default_status: Literal["RUNNING", "STOPPED"] = "STOPPED"


class SensorSpec(Section):
    """Whether a sensor ticks from the start, and how often at most."""

    default_status: Literal["RUNNING", "STOPPED"] = "STOPPED"
    interval_seconds: int = Field(30, ge=1)


class SchedulesSpec(Section):
    """The schedules of a model."""

    ingest: ScheduleSpec = ScheduleSpec()


class SensorsSpec(Section):
    """The sensors of a model."""

    retrain_on_drift: SensorSpec = SensorSpec()
    advance_rollout: SensorSpec = SensorSpec()


class LifecycleSpec(Section):
    """One model: its data, how it is learned, and the policies of its life."""

    model_config = ConfigDict(defer_build=False)

    name: Name = Field(description="prefix of all asset keys and name of the registered model")
    description: str = ""
    owners: tuple[str, ...] = Field((), description="team:NAME or an e-mail address")
    calendar: Calendar
    sources: dict[Name, SourceSpec] = Field(min_length=1)
    entities: EntityPolicy
    label: str = Field(description="column of build_labels, true for the event predicted")
    features: FeaturesSpec
    training: TrainingSpec = TrainingSpec()
    validation: ValidationPolicy = ValidationPolicy()
    tuning: Tuning | None = None
    evaluation: EvaluationSpec = EvaluationSpec()
    gates: GatePolicy = GatePolicy()
    rollout: RolloutPolicy = RolloutPolicy()
    monitoring: DriftPolicy = DriftPolicy()
    retraining: RetrainingPolicy = RetrainingPolicy()
    schedules: SchedulesSpec = SchedulesSpec()
    sensors: SensorsSpec = SensorsSpec()


def find_complaints(spec: LifecycleSpec, functions: Mapping[str, int]) -> Iterator[Complaint]:
    """What only shows when sections, and the functions of ``model.py``, are read together."""
    for name, source in spec.sources.items():
        yield from _source_complaints(("sources", name), source)
    yield from _entity_complaints(spec)
    yield from _feature_complaints(spec)
    wanted = {
        ("entities",): "build_entities",
        ("label",): "build_labels",
        ("features",): "build_features",
        ("training", "estimator"): spec.training.estimator,
    }
    for path, function in wanted.items():
        if function not in functions:
            yield (
                path,
                (
                    f"model.py has no function '{function}', it has "
                    f"{', '.join(sorted(functions)) or 'none'}{did_you_mean(function, functions)}"
                ),
            )


def _source_complaints(path: Path, source: SourceSpec) -> Iterator[Complaint]:
    named = {"key": source.key, "partitioned_by": source.partitioned_by}
    named["time"] = (source.time,) if source.time else ()
    for key, names in named.items():
        for name in names:
            if name not in source.columns:
                yield (*path, key), _unknown("column", name, source.columns)
    for rule, expression in source.rules.items():
        for name in columns_in_sql(expression):
            if name not in source.columns:
                yield (*path, "rules", rule), _unknown("column", name, source.columns)
    if len(source.partitioned_by) not in (0, 1, 3):
        yield (
            (*path, "partitioned_by"),
            (
                f"names one date or datetime column, or year, month and day; "
                f"got {len(source.partitioned_by)} columns"
            ),
        )
    if "{partition}" in source.path and not source.partitioned_by:
        yield (*path, "path"), "has {partition}, so partitioned_by has to name the date column"


def _entity_complaints(spec: LifecycleSpec) -> Iterator[Complaint]:
    source = spec.sources.get(spec.entities.source)
    if source is None:
        yield ("entities", "source"), _unknown("source", spec.entities.source, spec.sources)
        return
    if not source.partitioned_by:
        yield ("entities", "source"), f"source '{spec.entities.source}' has to be partitioned"
    for name in spec.entities.outcomes:
        if name not in source.columns:
            yield ("entities", "outcomes"), _unknown("column", name, source.columns)


def _feature_complaints(spec: LifecycleSpec) -> Iterator[Complaint]:
    names = [*spec.features.categorical, *spec.features.numeric]
    if not names:
        yield ("features",), "name at least one categorical or numeric feature"
    for name in sorted({name for name in names if names.count(name) > 1}):
        yield ("features",), f"feature '{name}' is named twice"
    for name in spec.evaluation.slices:
        if name not in names:
            yield ("evaluation", "slices"), _unknown("feature", name, names)
    if spec.label in names:
        yield ("features",), f"the label '{spec.label}' cannot be a feature"


_SQL_WORDS = frozenset(
    [
        "and",
        "or",
        "not",
        "in",
        "is",
        "null",
        "between",
        "like",
        "true",
        "false",
        "case",
        "when",
        "then",
        "else",
        "end",
        "as",
        "cast",
        "int",
        "double",
        "float",
        "varchar",
        "date",
        "interval",
    ]
)


def columns_in_sql(expression: str) -> list[str]:
    """The column names in an SQL expression: words that are no keyword, function or text."""
    bare = re.sub(r"'[^']*'", " ", expression)
    words = re.findall(r"[A-Za-z_]\w*(?!\w)(?!\s*\()", bare)
    return [word for word in dict.fromkeys(words) if word.lower() not in _SQL_WORDS]


def _unknown(what: str, name: str, allowed: Any) -> str:
    return f"unknown {what} '{name}', allowed are {', '.join(allowed)}{did_you_mean(name, allowed)}"
