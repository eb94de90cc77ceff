"""The jobs by which a person steps in: they materialize nothing, what they do is in the ledger."""

from typing import Literal

import dagster as dg

from mlops_assets.adapters.ports import Clock, Ledger, Registry
from mlops_assets.components.assets.wiring import failing_when_refused
from mlops_assets.components.definition import ModelDefinition
from mlops_assets.components.stages import clearance, interventions, retraining


class RollBackConfig(dg.Config):
    """``reason``: why, in words; ``by``: who, where there is time to say so."""

    reason: str = "rolled back by hand"
    by: str = ""


class PersonConfig(dg.Config):
    """``by``: who answers for it; ``reason``: why, in words. Both are kept."""

    by: str
    reason: str


class RetrainingConfig(PersonConfig):
    """``as_of``: the partition to train as of; empty for the one after the newest monitored."""

    as_of: str = ""


class ApprovalConfig(PersonConfig):
    """``version``: which, like ``v3``."""

    version: str


def build_intervention_jobs(model: ModelDefinition) -> tuple[dg.JobDefinition, ...]:
    """``roll_back``, ``abort``, ``pause``, ``resume``, ``ask_for_retraining``, ``approve``."""
    return (
        _build_job(
            model,
            "roll_back",
            _roll_back(model),
            "End the rollout in progress, or go back to the champion before.",
        ),
        _build_job(
            model,
            "abort",
            _abort(model),
            "End the rollout in progress; the champion answers everything again.",
        ),
        _build_job(
            model,
            "pause",
            _hold(model, "pause"),
            "Hold the rollout in progress at its share of the requests; harm still takes it back.",
        ),
        _build_job(model, "resume", _hold(model, "resume"), "Let a rollout that is held go on."),
        _build_job(
            model,
            "ask_for_retraining",
            _ask_for_retraining(model),
            "Ask for a training now, whatever cooldown and budget say; the sensor launches it.",
        ),
        _build_job(
            model,
            "approve",
            _approve(model),
            "Approve a registered version: with rollout.approval it waits for this.",
        ),
    )


def _build_job(
    model: ModelDefinition, name: str, op: dg.OpDefinition, description: str
) -> dg.JobDefinition:
    @dg.job(
        name=f"{model.name}__{name}",
        description=description,
        tags={"mlops_assets/model": model.name},
    )
    def stepped_in() -> None:
        op()

    return stepped_in


def _request(context: dg.OpExecutionContext) -> str:
    """The launch: a run that is tried again is the same one, a new launch another."""
    return context.run.root_run_id or context.run.run_id


def _roll_back(model: ModelDefinition) -> dg.OpDefinition:
    @dg.op(name=f"{model.name}__roll_back_release", pool=f"{model.name}__deployment")
    def roll_back_release(
        context: dg.OpExecutionContext,
        config: RollBackConfig,
        ledger: dg.ResourceParam[Ledger],
        registry: dg.ResourceParam[Registry],
        clock: dg.ResourceParam[Clock],
    ) -> None:
        with failing_when_refused():
            done = interventions.roll_back(
                model, config.by, config.reason, ledger, registry, clock, request=_request(context)
            )
        context.log.info(done)

    return roll_back_release


def _abort(model: ModelDefinition) -> dg.OpDefinition:
    @dg.op(name=f"{model.name}__abort_rollout", pool=f"{model.name}__deployment")
    def abort_rollout(
        context: dg.OpExecutionContext,
        config: PersonConfig,
        ledger: dg.ResourceParam[Ledger],
        registry: dg.ResourceParam[Registry],
        clock: dg.ResourceParam[Clock],
    ) -> None:
        with failing_when_refused():
            done = interventions.abort(
                model, config.by, config.reason, ledger, registry, clock, request=_request(context)
            )
        context.log.info(done)

    return abort_rollout


def _hold(model: ModelDefinition, action: Literal["pause", "resume"]) -> dg.OpDefinition:
    act = {"pause": interventions.pause, "resume": interventions.resume}[action]

    @dg.op(name=f"{model.name}__{action}_rollout", pool=f"{model.name}__deployment")
    def hold_rollout(
        context: dg.OpExecutionContext,
        config: PersonConfig,
        ledger: dg.ResourceParam[Ledger],
        clock: dg.ResourceParam[Clock],
    ) -> None:
        with failing_when_refused():
            done = act(model, config.by, config.reason, ledger, clock, request=_request(context))
        context.log.info(done)

    return hold_rollout


def _approve(model: ModelDefinition) -> dg.OpDefinition:
    @dg.op(name=f"{model.name}__approve_version", pool=f"{model.name}__deployment")
    def approve_version(
        context: dg.OpExecutionContext,
        config: ApprovalConfig,
        ledger: dg.ResourceParam[Ledger],
        clock: dg.ResourceParam[Clock],
    ) -> None:
        with failing_when_refused():
            done = clearance.approve(model, config.version, config.by, config.reason, ledger, clock)
        context.log.info(done)

    return approve_version


def _ask_for_retraining(model: ModelDefinition) -> dg.OpDefinition:
    @dg.op(name=f"{model.name}__request_retraining")
    def request_retraining(
        context: dg.OpExecutionContext,
        config: RetrainingConfig,
        ledger: dg.ResourceParam[Ledger],
        clock: dg.ResourceParam[Clock],
    ) -> None:
        by, reason, as_of = config.by, config.reason, config.as_of or None
        with failing_when_refused():
            done = retraining.request_retraining(
                model, by, reason, as_of, ledger, clock, request=_request(context)
            )
        context.log.info(done)

    return request_retraining
