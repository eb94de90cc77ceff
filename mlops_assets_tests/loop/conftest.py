"""The example models plugged in: the weather of Seattle, with every adapter a real one."""

from __future__ import annotations

import shutil
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl
import pytest

from mlops_assets.adapters.mlflow_tracking import connect
from mlops_assets.adapters.ports import Ledger, ModelVersion, TableStore
from mlops_assets.components.assets import build_assets
from mlops_assets.components.assets.reproduction import build_reproduction_check
from mlops_assets.components.definition import ModelDefinition
from mlops_assets.components.jobs import build_jobs
from mlops_assets.components.sensors import build_sensors
from mlops_assets.defs.platform.resources import Settings, build_resources
from mlops_assets_tests.examples.reading import HERE, read_example

RAIN, ENSEMBLE = "seattle_rain", "seattle_ensemble"
EXAMPLE = HERE / RAIN
AS_OF = "2015-01-01"
TOO_STRICT = {"gates": {"minimum": {"auc": 0.999}, "minimum_rows": 150}}
UI = "http://dagster.example"

QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


@dataclass
class World:
    """A model, its resources below one folder, and a Dagster instance of its own."""

    model: ModelDefinition
    resources: dict[str, Any]
    state: Path
    instance: dg.DagsterInstance = field(default_factory=dg.DagsterInstance.ephemeral)

    @property
    def ledger(self) -> Ledger:
        return self.resources["ledger"]

    @property
    def tables(self) -> TableStore:
        return self.resources["tables"]

    @cached_property
    def definitions(self) -> dg.Definitions:
        return self.define(build_assets(self.model))

    def define(self, assets: Sequence[dg.AssetsDefinition]) -> dg.Definitions:
        """The code location with these assets."""
        jobs = build_jobs(self.model)
        return dg.Definitions(
            assets=assets,
            asset_checks=[build_reproduction_check(self.model)],
            jobs=jobs.all,
            sensors=build_sensors(self.model, jobs),
            resources=self.resources,
            executor=dg.in_process_executor,
        )

    def key(self, asset: str) -> dg.AssetKey:
        return dg.AssetKey([self.model.name, asset])

    def read(self, table: str, *keys: str) -> pl.DataFrame:
        """Rows of a table of the model, in the order of their partitions and keys."""
        rows = self.tables.read(self.model.table(table), keys or None)
        first = [name for name in ("day", "date", "source_line", "entity") if name in rows.columns]
        return rows.sort("partition", *first)

    def job(self, name: str, partition: str | None = None, **tags: str) -> Any:
        """Run a job in process; whether it succeeded is for the caller to ask."""
        return self._execute(self._find_job(name), partition, tags, {})

    def launch(self, name: str, partition: str | None = None, **config: Mapping[str, Any]) -> Any:
        """Run a job with a run config: one section per asset or op."""
        return self._execute(self._find_job(name), partition, {}, config)

    def over(self, name: str, first: str, last: str) -> Any:
        """A job over the partitions from ``first`` to ``last``, as one run."""
        return self.job(name, None, **range_of(first, last))

    def ingest(self, first: str | None = None, last: str | None = None) -> Any:
        """The partitions from ``first`` to ``last``, all when not given, as one run."""
        keys = self.model.calendar.keys
        return self.over("ingest", first or keys[0], last or keys[-1])

    def materialize(self, asset: str, partition: str | None = None, **config: Any) -> Any:
        """One asset alone, as a click in the UI would; ``config`` is its run config."""
        return self.select([asset], partition, {asset: config} if config else {})

    def select(
        self,
        assets: Sequence[str],
        partition: str | None = None,
        config: Mapping[str, Mapping[str, Any]] | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> Any:
        """A selection made by hand, as one run."""
        return dg.materialize(
            build_assets(self.model),
            selection=[self.key(asset) for asset in assets],
            partition_key=partition,
            run_config=self._configured(config or {}),
            instance=self.instance,
            resources=self.resources,
            tags=dict(tags or {}),
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
        if isinstance(answer, dg.SkipReason):
            return str(answer.skip_message)
        (request,) = answer if isinstance(answer, list) else [answer]
        assert isinstance(request, dg.RunRequest)
        return request

    def stating(self, changes: Mapping[str, Any], folder: Path | None = None) -> World:
        """The same world after somebody edited defs.yaml, or model.py in another ``folder``."""
        name = self.model.name
        return replace(self, model=read_example(name, changes, folder or self.model.folder))

    def timed_by(self, clock: Any) -> World:
        """The same world by another clock."""
        return replace(self, resources={**self.resources, "clock": clock})

    def latest(self, kind: str, subject: str | None = None) -> Any:
        """The body of the latest row, None before the first."""
        row = self.ledger.latest(kind, self.model.name, subject)
        return row.body if row else None

    def rows(self, kind: str) -> list[Any]:
        """The bodies of all rows of a kind, oldest first."""
        return [row.body for row in self.ledger.history(kind, self.model.name)]

    def versions(self) -> list[ModelVersion]:
        """What is registered, oldest first."""
        return self.resources["registry"].versions(self.model.name)

    def tracked(self, **tags: str) -> list[Any]:
        """The MLflow runs with these tags, oldest first."""
        client = connect(self.resources["registry"].uri)
        known = [experiment.experiment_id for experiment in client.search_experiments()]
        found = client.search_runs(known, order_by=["attributes.start_time ASC"])
        return [run for run in found if tags.items() <= run.data.tags.items()]

    def _find_job(self, name: str) -> dg.JobDefinition:
        return self.definitions.resolve_job_def(f"{self.model.name}__{name}")

    def _configured(self, config: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
        ops = {f"{self.model.name}__{op}": {"config": dict(said)} for op, said in config.items()}
        return {**QUIET, **({"ops": ops} if ops else {})}

    def _execute(
        self,
        job: dg.JobDefinition,
        partition: str | None,
        tags: Mapping[str, str],
        config: Mapping[str, Mapping[str, Any]],
    ) -> Any:
        return job.execute_in_process(
            run_config=self._configured(config),
            instance=self.instance,
            partition_key=partition,
            tags=dict(tags),
            raise_on_error=False,
        )


def range_of(first: str, last: str) -> dict[str, str]:
    """The run tags of a range of partitions."""
    bounds = {"start": first, "end": last}
    return {f"dagster/asset_partition_range_{end}": key for end, key in bounds.items()}


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


def shown(result: Any, asset: str) -> dict[str, Any]:
    """What a run's only materialization of an asset shows, as plain values."""
    events = result.get_asset_materialization_events()
    (found,) = [e.materialization for e in events if e.asset_key.path[-1] == asset]
    return {name: value.value for name, value in found.metadata.items()}


def materialized(result: Any) -> set[str]:
    """The names of the assets that a run materialized."""
    return {event.asset_key.path[-1] for event in result.get_asset_materialization_events()}


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
def empty_tracking(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An MLflow database without a run: making one takes longer than training a model here."""
    path = tmp_path_factory.mktemp("tracking") / "mlflow.db"
    connect(f"sqlite:///{path}").search_experiments()
    return path


@pytest.fixture(scope="session")
def make_world(
    tmp_path_factory: pytest.TempPathFactory, empty_tracking: Path
) -> Iterator[MakeWorld]:
    """Worlds that share nothing; their model servers are stopped at the end.

    With ``rows_of`` another world, one of the same model begins with that one's tables.
    """
    made: list[World] = []

    def make(
        changes: Mapping[str, Any] | None = None,
        folder: Path | None = None,
        *,
        name: str = RAIN,
        rows_of: World | None = None,
    ) -> World:
        state = tmp_path_factory.mktemp("state")
        settings = Settings(
            state=state,
            ledger=f"sqlite:///{state / 'ledger.db'}",
            tracking=f"sqlite:///{state / 'mlflow' / 'mlflow.db'}",
            tracking_ui="http://mlflow.example",
            tracking_sinks=(),
            studies=None,
            tables=str(state / "tables"),
            dagster_ui=UI,
            reports_url="http://127.0.0.1:8082",
            serving_port=free_port(),
            alert_urls=(),
        )
        (state / "mlflow").mkdir()
        shutil.copy(empty_tracking, state / "mlflow" / "mlflow.db")
        if rows_of:
            shutil.copytree(rows_of.state / "tables", state / "tables")
        world = World(read_example(name, changes, folder), build_resources(settings), state)
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
def ensemble_rows(make_world: MakeWorld) -> World:
    """All four years ingested for the model that weighs candidates; nothing is trained here."""
    world = make_world(name=ENSEMBLE)
    assert world.ingest().success
    return world


@pytest.fixture(scope="session")
def serving(make_world: MakeWorld, ingested: World) -> World:
    """A first version trained as of 2015, released as the sensor asked, and answering."""
    world = make_world(rows_of=ingested)
    assert world.job("train", AS_OF).success
    request = world.ask("advance_rollout")
    assert isinstance(request, dg.RunRequest)
    assert world.job("release", request.partition_key).success
    return world
