"""Releases on a real ledger and a real registry, also as a process that can be killed.

``python -m mlops_assets_tests.faults.releases`` imports once, and for each folder named on its
stdin forks a process that takes v2 of that folder through its whole rollout, and may kill it.
"""

from __future__ import annotations

import importlib
import json
import os
import runpy
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mlops_assets.adapters.journal import read_rollout, write_once
from mlops_assets.adapters.mlflow_registry import MlflowRegistry
from mlops_assets.adapters.sql_ledger import SqlLedger
from mlops_assets.components.definition import ModelDefinition
from mlops_assets.components.stages.rollout_steps import RolloutStep, step_rollout
from mlops_assets_tests.examples.reading import HERE, read_example

COMPONENTS = runpy.run_path(str(Path(__file__).parents[1] / "components" / "conftest.py"))
KILLED = runpy.run_path(str(Path(__file__).parents[1] / "components" / "test_killed_anywhere.py"))
MODEL = "delays"
CANARY = {"strategy": "canary", "steps": [10, 50], "analysis": {"minimum_sample": 100}}
STEPS = 10
"""More than a whole rollout takes."""

require_whole: Callable[[Any], None] = KILLED["require_whole"]
rows: Callable[[Any], list[Any]] = KILLED["rows"]


def read_model(name: str = MODEL) -> ModelDefinition:
    """A model whose rollout begins at 10 percent, under the name that the served files have."""
    return read_example("seattle_rain", {"name": name, "rollout": CANARY}, HERE / "seattle_rain")


def open_world(ledger: str, tracking: str, **parts: Any) -> Any:
    """A release's surroundings; ``parts`` replace those that are only said to run."""
    return COMPONENTS["World"](
        read_model(), ledger=SqlLedger(ledger), registry=MlflowRegistry(tracking), **parts
    )


def open_folder(folder: Path) -> Any:
    """The same, with ledger and registry in one folder."""
    return open_world(f"sqlite:///{folder}/ledger.db", f"sqlite:///{folder}/mlflow.db")


def add_version(world: Any, digest: str, as_of: str, folder: Path) -> str:
    """Register a model that passed its gates, whose files are said to lie in ``folder``."""
    world.judge(digest)
    version: str = world.registry.register(world.name, digest, str(folder), {}).version
    world.registry.set_alias(world.name, "challenger", version)
    recorded = world.recorded(digest, as_of)
    write_once(world.ledger, "version", world.name, version, recorded, world.clock.now())
    return version


def step(world: Any, version: str) -> RolloutStep:
    """One step of the version's rollout."""
    ports = (world.ledger, world.registry, world.serving, world.telemetry, world.tables)
    return step_rollout(world.model, version, *ports, world.clock)


def finish(world: Any, begun: Callable[[], object] = lambda: None) -> None:
    """Take v2 through its rollout; every unit it is asked for is answered."""
    for version in ("v1", "v2"):
        world.serving.ready.add((world.name, version))
    world.observe("v2", "v1", units=2000)
    world.registry.versions(world.name)  # connects, which takes longer than all steps
    begun()
    for _ in range(STEPS):
        step(world, "v2")
        state = read_rollout(world.ledger, world.name, "v2")
        if state is not None and not state.active:
            return
    raise AssertionError("the rollout of v2 has not ended")


def main() -> None:
    """Per line of stdin, a folder and seconds or null: fork a rollout of that folder, kill it so
    long after it began, and say how it ended and after how many seconds."""
    importlib.import_module("mlflow.store.model_registry.sqlalchemy_store")  # once for all forks
    for line in sys.stdin:
        folder, kill_after = json.loads(line)
        heard, told = os.pipe()
        pid = os.fork()
        if pid == 0:
            finish(open_folder(Path(folder)), lambda told=told: os.write(told, b"1"))
            os._exit(0)
        os.close(told)
        os.read(heard, 1)
        os.close(heard)
        began = time.monotonic()
        if kill_after is not None:
            time.sleep(kill_after)
            os.kill(pid, signal.SIGKILL)  # its id is not given to another before the wait below
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        os.write(1, f"{json.dumps([status, time.monotonic() - began])}\n".encode())


if __name__ == "__main__":
    main()
