"""Where a replay keeps things: a folder that all policies begin from, and one for each."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops_assets.adapters.in_memory.clock import FixedClock
from mlops_assets.commands.home import prepare_home
from mlops_assets.commands.location import Location
from mlops_assets.commands.ports import free_port

if TYPE_CHECKING:
    from mlops_assets.components.definition import ModelDefinition


@dataclass(frozen=True)
class Place:
    """The folder ``build/replay_year`` and what lies in it."""

    root: Path

    @property
    def base(self) -> Path:
        """Rows and fitted models, the same for all policies."""
        return self.root / "base"

    def state(self, policy: str) -> Path:
        """The state folder of a policy; ``make dev STATE=...`` browses it afterwards."""
        return self.root / policy

    def course(self, policy: str) -> Path:
        """What came of a policy."""
        return self.root / f"{policy}.json"

    def begin(self, policy: str) -> Path:
        """A fresh copy of the base for a policy, whatever an earlier replay left."""
        state = self.state(policy)
        stop_server(state)
        self.course(policy).unlink(missing_ok=True)
        shutil.rmtree(state, ignore_errors=True)
        shutil.copytree(self.base, state)
        return state


def open_location(
    model: ModelDefinition, state: Path
) -> tuple[Location, dict[str, Any], FixedClock]:
    """The model on the adapters of a state folder, with a clock that is told the time.

    The folder and a free port are put in this process's environment, where Dagster and
    ``defs/platform/resources.py`` look for them.
    """
    from mlops_assets.defs.platform import resources as platform

    prepare_home(state, os.environ)
    os.environ["MLOPS_ASSETS_SERVING_PORT"] = str(free_port())
    platform.silence_telemetry(os.environ)
    clock = FixedClock()
    resources = {**platform.build_resources(platform.read_settings(os.environ)), "clock": clock}
    return Location.of(model, resources), resources, clock


def stop_server(state: Path) -> None:
    """End the model server of a state folder, if one runs."""
    from mlops_assets.defs.platform.resources import build_serving, read_settings

    if state.exists():
        settings = read_settings({**os.environ, "MLOPS_ASSETS_STATE": str(state)})
        build_serving(settings).stop()
