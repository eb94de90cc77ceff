"""Where people see Dagster, so that other tools can lead back to a run, an asset or a sensor."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal
from urllib.parse import quote, urlencode


@dataclass(frozen=True)
class DagsterUi:
    """The web address of the Dagster UI."""

    url: str

    def run_url(self, run_id: str) -> str:
        """The page of a run."""
        return f"{self._base}/runs/{run_id}"

    def asset_url(self, key: Sequence[str], partition: str | None = None) -> str:
        """The page of an asset, at one of its partitions if that is named."""
        page = f"{self._base}/assets/{'/'.join(quote(part, safe='') for part in key)}"
        if partition is None:
            return page
        return f"{page}?{urlencode({'view': 'partitions', 'partition': partition})}"

    def automation_url(
        self, location: str, kind: Literal["sensors", "schedules"], name: str
    ) -> str:
        """The page of a sensor or schedule of a code location, with its ticks."""
        return f"{self._base}/locations/{quote(location, safe='')}/{kind}/{quote(name, safe='')}"

    @property
    def _base(self) -> str:
        return self.url.rstrip("/")
