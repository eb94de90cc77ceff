"""The sensors of a model. A tick reads the ledger and the log, asks a pure rule, and says why."""

import dagster as dg

from mlops_assets.adapters.ports import Clock, Ledger, TableStore
from mlops_assets.adapters.serving_ports import Telemetry
from mlops_assets.components.definition import ModelDefinition
from mlops_assets.components.jobs import ModelJobs
from mlops_assets.components.retraining_runs import build_retraining_request, find_launched
from mlops_assets.components.specs import SensorSpec
from mlops_assets.components.stages.release import NextStep, find_next_step
from mlops_assets.components.stages.retraining import find_open_asks, read_history
from mlops_assets.lifecycle.retraining.decision import decide_retraining

Tick = dg.RunRequest | list[dg.RunRequest] | dg.SkipReason


def build_sensors(model: ModelDefinition, jobs: ModelJobs) -> list[dg.SensorDefinition]:
    """``<model>__retrain_on_drift`` and ``<model>__advance_rollout``."""
    return [_retrain_on_drift(model, jobs), _advance_rollout(model, jobs)]


def _retrain_on_drift(model: ModelDefinition, jobs: ModelJobs) -> dg.SensorDefinition:
    spec = model.spec.sensors.retrain_on_drift

    @dg.sensor(
        name=f"{model.name}__retrain_on_drift",
        job=jobs.train,
        minimum_interval_seconds=spec.interval_seconds,
        default_status=_status(spec),
        description="Asks for a training once a person, performance, drift, new data or the "
        "schedule does.",
    )
    def retrain_on_drift(
        context: dg.SensorEvaluationContext, ledger: dg.ResourceParam[Ledger]
    ) -> Tick:
        history = read_history(model, ledger)
        decision = decide_retraining(history, model.calendar, model.spec.retraining)
        asked = find_open_asks(model, history, decision, ledger)
        launched = [find_launched(context.instance, model, ask) for ask in asked]
        requests = [
            build_retraining_request(model, ask)
            for ask, found in zip(asked, launched, strict=True)
            if not found
        ]
        return requests or dg.SkipReason("; ".join([*filter(None, launched), decision.reason]))

    return retrain_on_drift


def _advance_rollout(model: ModelDefinition, jobs: ModelJobs) -> dg.SensorDefinition:
    spec = model.spec.sensors.advance_rollout

    @dg.sensor(
        name=f"{model.name}__advance_rollout",
        job=jobs.release,
        minimum_interval_seconds=spec.interval_seconds,
        default_status=_status(spec),
        description="Begins the rollout of a new challenger and takes it step by step to an end.",
    )
    def advance_rollout(
        ledger: dg.ResourceParam[Ledger],
        telemetry: dg.ResourceParam[Telemetry],
        tables: dg.ResourceParam[TableStore],
        clock: dg.ResourceParam[Clock],
    ) -> Tick:
        due = find_next_step(model, ledger, telemetry, tables, clock)
        if not isinstance(due, NextStep):
            return dg.SkipReason(due)
        return dg.RunRequest(
            # The hour is in the key, so that a step whose run failed is asked for again.
            run_key=f"{model.name}/rollout/{due.key}/{clock.now():%Y%m%dT%H}",
            partition_key=due.version,
            tags={"mlops_assets/trigger": "rollout"},
        )

    return advance_rollout


def _status(spec: SensorSpec) -> dg.DefaultSensorStatus:
    return dg.DefaultSensorStatus(spec.default_status)
