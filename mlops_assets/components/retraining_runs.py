"""The runs that retraining asks for: at most one for an episode, however often it is asked."""

import dagster as dg

from mlops_assets.components.definition import ModelDefinition
from mlops_assets.lifecycle.digests import digest_value
from mlops_assets.lifecycle.retraining.history import Ask

EPISODE = "mlops_assets/episode"


def build_retraining_request(model: ModelDefinition, ask: Ask) -> dg.RunRequest:
    """The run that answers what was asked.

    Dagster remembers run keys for ever. The key names what is answered, which stays the same
    from week to week, and the policy that asked.
    """
    policy = digest_value(model.spec.retraining)[:8]
    return dg.RunRequest(
        run_key=f"{model.name}/retrain/{ask.trigger}/{ask.episode}/{policy}",
        partition_key=ask.as_of,
        tags={
            "mlops_assets/trigger": ask.trigger,
            "mlops_assets/window": ask.window or "",
            EPISODE: f"{model.name}/{ask.episode}",
        },
    )


def find_launched(instance: dg.DagsterInstance, model: ModelDefinition, ask: Ask) -> str | None:
    """What became of the run that answered the same before, in words; None when there is none.

    It is looked up by the episode alone: an edited policy is no reason to answer it twice.
    """
    wanted = dg.RunsFilter(tags={EPISODE: f"{model.name}/{ask.episode}"})
    runs = instance.get_runs(filters=wanted, limit=1)
    if not runs:
        return None
    run = runs[0]
    said = f"asked for already: run {run.run_id[:8]} as of {ask.as_of} is {run.status.value}"
    if run.status in (dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED):
        said += f", launch it again from its page or ask by {model.name}__ask_for_retraining"
    return said
