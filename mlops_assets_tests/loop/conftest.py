"""The second model, plugged in: the weather of Seattle, with every adapter a real one."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl
import pytest
import yaml

from mlops_assets.adapters.ports import Ledger, TableStore
from mlops_assets.components.assets import build_assets
from mlops_assets.components.definition import ModelDefinition
from mlops_assets.components.jobs import build_jobs
from mlops_assets.components.reading import read_spec
from mlops_assets.components.sensors import build_sensors
from mlops_assets.defs.platform.resources import Settings, build_resources

EXAMPLE = Path(__file__).parents[1] / "examples" / "seattle_rain"
MODULE = "mlops_assets_tests.examples.seattle_rain.model"
AS_OF = "2015-01-01"
TOO_STRICT = {"gates": {"minimum": {"auc": 0.999}, "minimum_rows": 150}}

QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


def written() -> dict[str, Any]:
    """The attributes in the example's defs.yaml."""
    attributes: dict[str, Any] = yaml.safe_load((EXAMPLE / "defs.yaml").read_text())["attributes"]
    return attributes


def read_example(
    folder: Path = EXAMPLE, changes: Mapping[str, Any] | None = None
) -> ModelDefinition:
    """The example as it is written, with some sections of its defs.yaml put otherwise."""
    spec = read_spec({**written(), **(changes or {})}, folder, lambda _: "defs.yaml")
    return ModelDefinition(spec, MODULE, folder)


@dataclass
class World:
    """A model, its resources below one folder, and a Dagster instance of its own."""

    model: ModelDefinition
    resources: dict[str, Any]
    instance: dg.DagsterInstance = field(default_factory=dg.DagsterInstance.ephemeral)

    @property
    def ledger(self) -> Ledger:
        return self.resources["ledger"]

    @property
    def tables(self) -> TableStore:
        return self.resources["tables"]

    @cached_property
    def definitions(self) -> dg.Definitions:
        jobs = build_jobs(self.model)
        return dg.Definitions(
            assets=build_assets(self.model),
            jobs=jobs.all,
            sensors=build_sensors(self.model, jobs),
            resources=self.resources,
            executor=dg.in_process_executor,
        )

    def read(self, table: str, *keys: str) -> pl.DataFrame:
        """Rows of a table of the model, in the order of their partitions and keys."""
        rows = self.tables.read(self.model.table(table), keys or None)
        first = [name for name in ("day", "date", "source_line", "entity") if name in rows.columns]
        return rows.sort("partition", *first)

    def job(self, name: str, partition: str | None = None, **tags: str) -> Any:
        """Run a job in process; whether it succeeded is for the caller to ask."""
        job = self.definitions.resolve_job_def(f"{self.model.name}__{name}")
        return self._execute(job, partition, tags)

    def ingest(self, first: str | None = None, last: str | None = None) -> Any:
        """The partitions from ``first`` to ``last``, all when not given, as one run."""
        keys = self.model.calendar.keys
        bounds = {"start": first or keys[0], "end": last or keys[-1]}
        tags = {f"dagster/asset_partition_range_{end}": key for end, key in bounds.items()}
        return self.job("ingest", None, **tags)

    def materialize(self, asset: str, partition: str) -> Any:
        """One asset alone, as a click in the UI would."""
        return dg.materialize(
            build_assets(self.model),
            selection=[dg.AssetKey([self.model.name, asset])],
            partition_key=partition,
            run_config=QUIET,
            instance=self.instance,
            resources=self.resources,
            raise_on_error=False,
        )

    def ask(self, sensor: str) -> dg.RunRequest | str:
        """One tick of a sensor: what it requests, or why nothing."""
        repository = self.definitions.get_repository_def()
        definition = repository.get_sensor_def(f"{self.model.name}__{sensor}")
        context = dg.build_sensor_context(
            self.instance, repository_def=repository, resources=self.resources
        )
        answer = definition(context)
        return answer if isinstance(answer, dg.RunRequest) else str(answer.skip_message)

    def stating(self, changes: Mapping[str, Any]) -> World:
        """The same world after somebody edited defs.yaml."""
        return replace(self, model=read_example(self.model.folder, changes))

    def _execute(self, job: Any, partition: str | None, tags: Mapping[str, str]) -> Any:
        return job.execute_in_process(
            run_config=QUIET,
            instance=self.instance,
            partition_key=partition,
            tags=dict(tags),
            raise_on_error=False,
        )


def failure(result: Any) -> str:
    """Why the run's first failed step failed: the innermost message."""
    assert not result.success
    (event, *_) = [event for event in result.all_node_events if event.is_step_failure]
    data = event.step_failure_data
    if data.user_failure_data:
        return str(data.user_failure_data.description)
    error = data.error
    while error.cause is not None:
        error = error.cause
    return str(error.message)


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


MakeWorld = Callable[..., World]


@pytest.fixture(scope="session", autouse=True)
def _tell_nobody() -> Iterator[None]:
    """Libraries tell nobody what is done with them, here and in processes started from here."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("MLFLOW_DISABLE_TELEMETRY", "DO_NOT_TRACK", "DAGSTER_DISABLE_TELEMETRY"):
            patch.setenv(name, "true")
        yield


@pytest.fixture(scope="session")
def make_world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MakeWorld]:
    """Worlds that share nothing; their model servers are stopped at the end."""
    made: list[World] = []

    def make(changes: Mapping[str, Any] | None = None, folder: Path = EXAMPLE) -> World:
        state = tmp_path_factory.mktemp("state")
        settings = Settings(
            state=state,
            ledger=f"sqlite:///{state / 'ledger.db'}",
            tracking=f"sqlite:///{state / 'mlflow' / 'mlflow.db'}",
            tracking_ui=None,
            tables=str(state / "tables"),
            serving_port=free_port(),
            alert_urls=(),
        )
        world = World(read_example(folder, changes), build_resources(settings))
        made.append(world)
        return world

    yield make
    for world in made:
        world.resources["serving"].stop()


@pytest.fixture(scope="session")
def ingested(make_world: MakeWorld) -> World:
    """All four years ingested as one run, under gates that no model can pass."""
    world = make_world(TOO_STRICT)
    assert world.ingest().success
    return world


@pytest.fixture(scope="session")
def serving(make_world: MakeWorld) -> World:
    """A first version trained as of 2015, released as the sensor asked, and answering."""
    world = make_world()
    assert world.ingest().success
    assert world.job("train", AS_OF).success
    request = world.ask("advance_rollout")
    assert isinstance(request, dg.RunRequest)
    assert world.job("release", request.partition_key).success
    return world
