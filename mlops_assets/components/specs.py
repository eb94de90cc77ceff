"""What a model's ``defs.yaml`` may say. The policies are the values of ``lifecycle`` themselves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
)

from mlops_assets.components.spec_values import (
    expand_column,
    name_slices,
    require_cron,
    require_owner,
    require_timezone,
)
from mlops_assets.lifecycle.calendar import Calendar
from mlops_assets.lifecycle.calibration import CalibrationMethod
from mlops_assets.lifecycle.costs import CostPolicy
from mlops_assets.lifecycle.drift.policy import DriftPolicy
from mlops_assets.lifecycle.ensembles import EnsemblePolicy
from mlops_assets.lifecycle.features import EntityPolicy
from mlops_assets.lifecycle.freshness import FreshnessLimit, FreshnessPolicy
from mlops_assets.lifecycle.gate_policies import ChampionGate, GatePolicy, SliceGate
from mlops_assets.lifecycle.leakage import LeakagePolicy
from mlops_assets.lifecycle.online import FeatureGroup
from mlops_assets.lifecycle.retraining.policy import (
    PerformanceTrigger,
    RetrainingBudget,
    RetrainingPolicy,
    Triggers,
)
from mlops_assets.lifecycle.rollout.policy import (
    AnalysisPolicy,
    OutcomePolicy,
    PredictionPolicy,
    RolloutPolicy,
    ShadowPolicy,
)
from mlops_assets.lifecycle.skew import SkewPolicy
from mlops_assets.lifecycle.sources import Column, Source
from mlops_assets.lifecycle.splits import SplitPolicy
from mlops_assets.lifecycle.staging import ServingPolicy
from mlops_assets.lifecycle.training import Feature
from mlops_assets.lifecycle.tuning import Dimension, Tuning
from mlops_assets.lifecycle.validation import ValidationPolicy

POLICIES: tuple[type, ...] = (
    AnalysisPolicy,
    Calendar,
    ChampionGate,
    Column,
    CostPolicy,
    Dimension,
    DriftPolicy,
    EnsemblePolicy,
    EntityPolicy,
    FreshnessLimit,
    FreshnessPolicy,
    GatePolicy,
    LeakagePolicy,
    OutcomePolicy,
    PerformanceTrigger,
    PredictionPolicy,
    RetrainingBudget,
    RetrainingPolicy,
    RolloutPolicy,
    ServingPolicy,
    ShadowPolicy,
    SkewPolicy,
    SliceGate,
    SplitPolicy,
    Triggers,
    ValidationPolicy,
)
for _policy in POLICIES:
    # Lifecycle values know nothing of pydantic; read from YAML they refuse keys they do not have.
    _policy.__pydantic_config__ = ConfigDict(extra="forbid")  # type: ignore[attr-defined]

_CRONS = {"daily": "0 6 * * *", "weekly": "0 6 * * 1", "monthly": "0 6 1 * *"}

Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]*$")]


class Section(BaseModel):
    """A part of ``defs.yaml``: unknown keys are refused, values are frozen."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)


class SourceSpec(Section):
    """One raw table; see ``lifecycle.sources.Source``."""

    path: str = Field(
        min_length=1,
        description="package:NAME/FILE, absolute, or relative to defs.yaml; "
        "{partition} stands for the partition key",
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


class OnlineSpec(Section):
    """Features that depend on a few columns of the entity, and on the moment, alone."""

    by: tuple[str, ...] = Field(description="columns of build_entities, none for the moment alone")
    features: tuple[str, ...] = Field(min_length=1)


class FeaturesSpec(Section):
    """The columns ``build_features`` returns and the model sees, in this order."""

    categorical: tuple[str, ...] = ()
    numeric: tuple[str, ...] = ()
    online: list[OnlineSpec] = Field([], description="what the endpoint looks up by itself")

    def to_groups(self) -> tuple[FeatureGroup, ...]:
        return tuple(FeatureGroup(group.by, group.features) for group in self.online)

    def to_features(self) -> tuple[Feature, ...]:
        categories = tuple(Feature(name, "categorical") for name in self.categorical)
        return categories + tuple(Feature(name, "numeric") for name in self.numeric)


class TrainingSpec(Section):
    """How the estimator is made and on which rows it is fitted."""

    estimator: str = Field("build_estimator", description="function of model.py")
    parameters: dict[str, Any] = Field({}, description="scikit-learn parameters to set")
    seed: int = 7
    threads: int = Field(2, ge=1, description="of a fit; another number rounds otherwise")
    split: SplitPolicy = SplitPolicy()
    calibration: CalibrationMethod = Field(
        "none", description="fitted on split.calibration, applied where it helps"
    )


Space = dict[str, Dimension]


class CandidateSpec(Section):
    """One of several estimators, each an asset of its own."""

    estimator: str = Field(description="function of model.py")
    parameters: dict[str, Any] = Field({}, description="scikit-learn parameters to set")
    space: Space = Field({}, description="ranges by parameter; what the study searches")
    space_from: str | None = Field(None, description="function of model.py that returns the space")


class TuningSpec(Section):
    """How long and how a study searches; see ``lifecycle.tuning.Tuning``."""

    space: Space = Field({}, description="of training.estimator; candidates have their own")
    space_from: str | None = Field(None, description="function of model.py that returns the space")
    trials: int = Field(10, ge=1, description="how many in all")
    timeout: float | None = Field(None, gt=0, description="seconds of search in all")
    seed: int = 7
    workers: int = Field(1, ge=1, description="processes that fit at once")
    pruning: bool = Field(False, description="give up trials whose first folds are poor")

    def to_tuning(self, space: Mapping[str, Dimension]) -> Tuning:
        """The search of one candidate."""
        return Tuning(space, self.trials, self.seed, self.timeout, self.workers, self.pruning)


class EvaluationSpec(Section):
    """What an evaluation shows beside the whole."""

    slices: Annotated[
        dict[str, str],
        BeforeValidator(name_slices, json_schema_input_type=dict[str, str] | list[str]),
    ] = Field({}, description="features, or name: SQL expression over them, measured apart")
    costs: CostPolicy = CostPolicy()


class ScheduleSpec(Section):
    """When a job runs by the clock."""

    cron: Annotated[str, AfterValidator(require_cron)] | None = Field(
        None, description="five fields; without it at six, on the day after a partition has ended"
    )
    timezone: Annotated[str, AfterValidator(require_timezone)] = "UTC"
    default_status: Literal["RUNNING", "STOPPED"] = "STOPPED"

    def cron_for(self, calendar: Calendar) -> str:
        """The cron expression, by default once per partition of the calendar."""
        return _CRONS[calendar.cadence] if self.cron is None else self.cron


class SensorSpec(Section):
    """Whether a sensor ticks from the start, and how often at most."""

    default_status: Literal["RUNNING", "STOPPED"] = "STOPPED"
    interval_seconds: int = Field(30, ge=1)


class SchedulesSpec(Section):
    """The schedules of a model."""

    ingest: ScheduleSpec = ScheduleSpec()
    drill: ScheduleSpec = Field(
        ScheduleSpec(), description="of going back; without a cron each Monday at five"
    )
    refresh: ScheduleSpec = Field(
        ScheduleSpec(), description="of online features; without a cron seven minutes past the hour"
    )


class SensorsSpec(Section):
    """The sensors of a model."""

    retrain_on_drift: SensorSpec = SensorSpec()
    advance_rollout: SensorSpec = SensorSpec()


class LifecycleSpec(Section):
    """One model: its data, how it is learned, and the policies of its life."""

    model_config = ConfigDict(defer_build=False)

    name: Name = Field(description="prefix of all asset keys and name of the registered model")
    description: str = ""
    owners: tuple[Annotated[str, AfterValidator(require_owner)], ...] = Field(
        (), description="team:NAME or an e-mail address"
    )
    calendar: Calendar
    sources: dict[Name, SourceSpec] = Field(min_length=1)
    entities: EntityPolicy
    label: str = Field(description="column of build_labels, true for the event predicted")
    features: FeaturesSpec
    training: TrainingSpec = TrainingSpec()
    candidates: dict[Name, CandidateSpec] = {}
    ensemble: EnsemblePolicy | None = None
    validation: ValidationPolicy = ValidationPolicy()
    tuning: TuningSpec | None = None
    evaluation: EvaluationSpec = EvaluationSpec()
    gates: GatePolicy = GatePolicy()
    rollout: RolloutPolicy = RolloutPolicy()
    monitoring: DriftPolicy = DriftPolicy()
    skew: SkewPolicy = SkewPolicy()
    retraining: RetrainingPolicy = RetrainingPolicy()
    freshness: FreshnessPolicy = FreshnessPolicy()
    schedules: SchedulesSpec = SchedulesSpec()
    sensors: SensorsSpec = SensorsSpec()
