"""Single values of a ``defs.yaml``: short forms written out, and what is none refused."""

from __future__ import annotations

import re
from typing import Any


def expand_column(value: Any) -> Any:
    """``int`` and ``int?`` stand for ``{type: int}`` and ``{type: int, nullable: true}``."""
    if isinstance(value, str):
        return {"type": value.removesuffix("?"), "nullable": value.endswith("?")}
    return value


def require_owner(owner: str) -> str:
    """A team or an e-mail address, as Dagster shows them."""
    if not re.fullmatch(r"team:[\w-]+|\w[\w.%+-]*@[\w.-]+\.[a-zA-Z]{2,7}", owner, re.ASCII):
        allowed = "team:NAME (letters, digits, - and _) or an e-mail address"
        raise ValueError(f"'{owner}' is no owner, allowed are {allowed}")
    return owner


def require_cron(cron: str) -> str:
    """A cron expression that Dagster runs by."""
    if not _runs_by(cron, "UTC"):
        raise ValueError(f"'{cron}' is no cron expression of five fields, such as '0 6 * * 1'")
    return cron


def require_timezone(timezone: str) -> str:
    """A time zone that Dagster runs by."""
    if not _runs_by("0 6 * * 1", timezone):
        raise ValueError(f"unknown timezone '{timezone}', use a name like Europe/Berlin or UTC")
    return timezone


def _runs_by(cron: str, timezone: str) -> bool:
    import dagster as dg

    try:
        dg.ScheduleDefinition(
            "asked", job_name="asked", cron_schedule=cron, execution_timezone=timezone
        )
    except dg.DagsterInvalidDefinitionError:
        return False
    return True


def name_slices(value: Any) -> Any:
    """A list of columns stands for slices of the same names."""
    listed = isinstance(value, list | tuple) and all(isinstance(name, str) for name in value)
    return {name: name for name in value} if listed else value
