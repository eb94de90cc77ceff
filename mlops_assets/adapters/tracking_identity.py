"""What every tracking adapter agrees on: which run is which, how it ended, how it is told of."""

from __future__ import annotations

from collections.abc import Mapping

from mlops_assets.adapters.ports import RunStatus

IDENTITY = ("dagster_run_id", "dagster_asset", "dagster_partition")
"""The tags that together name one tracking run of an experiment."""

TRACKING_RUN = "tracking_run"
"""The tag that gives a run a second name to be annotated by: its id in another adapter."""

RUN_URL = "dagster_run_url"
"""The tag with the address of the Dagster run, where there is one."""


def ended_by(error: BaseException) -> RunStatus:
    """``FAILED`` for an ``Exception``; ``KILLED`` for all else, which no fault of the work raises.

    Ctrl-C, ``SystemExit``, a closed generator, and Dagster's own word for a run that was terminated
    derive from ``BaseException`` alone.
    """
    return "FAILED" if isinstance(error, Exception) else "KILLED"


def describe_run(tags: Mapping[str, str]) -> str:
    """A short Markdown note: asset, partition, and the way back to the Dagster run."""
    run_id, asset, partition = (tags[tag] for tag in IDENTITY)
    run = f"[{run_id}]({tags[RUN_URL]})" if tags.get(RUN_URL) else f"`{run_id}`"
    return f"- Asset: `{asset}`\n- Partition: `{partition}`\n- Dagster run: {run}\n"
