"""Where people see Dagster, so that other tools can lead back to a run."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class DagsterUi:
    """The web address of the Dagster UI."""

    url: str

    def run_url(self, run_id: str) -> str:
        """The page of a run."""
        return f"{self.url.rstrip('/')}/runs/{run_id}"
