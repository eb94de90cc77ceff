"""The runs that retraining asks for: at most one for an episode, however often it is asked."""

import dagster as dg

from mlops_assets.components.definition import ModelDefinition
from mlops_assets.lifecycle.digests import digest_value
from mlops_assets.lifecycle.retraining.history import Ask

EPISODE = "mlops_assets/episode"

ASKED_IN = "mlops_assets/asked_in"
"""The champion and the window that a rule asked in: it asks for one run there."""


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
            **_names(model, ask),
        },
    )


def find_launched(instance: dg.DagsterInstance, model: ModelDefinition, ask: Ask) -> str | None:
    """What became of the run that answered the same before, in words; None when there is none.

    An edited policy is no reason to answer an episode twice. Nor is a late report that renames it
    between the tick that asked and the row of the ledger that keeps its name.
    """
    wanted = [dg.RunsFilter(tags={tag: name}) for tag, name in _names(model, ask).items()]
    run = next((run for each in wanted for run in instance.get_runs(filters=each, limit=1)), None)
    if run is None:
        return None
    as_of = run.tags.get("dagster/partition", ask.as_of)
    said = f"asked for already: run {run.run_id[:8]} as of {as_of} is {run.status.value}"
    if run.status in (dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED):
        said += f", launch it again from its page or ask by {model.name}__ask_for_retraining"
    return said


def _names(model: ModelDefinition, ask: Ask) -> dict[str, str]:
    """The tags that tell what a run answers."""
    episode = {EPISODE: f"{model.name}/{ask.episode}"}
    if ask.trigger == "by_hand":
        return episode
    return episode | {ASKED_IN: f"{model.name}/{ask.version}/{ask.window}"}
