"""A model with real files and a real ledger, and a server on them."""

from __future__ import annotations

import functools
import json
import socket
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

import polars as pl
import pytest
from sklearn.compose import ColumnTransformer, make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OrdinalEncoder
from starlette.testclient import TestClient

from mlops_assets.adapters.journal import write_champion, write_once, write_rollout
from mlops_assets.adapters.jsonl_telemetry import JsonlTelemetry
from mlops_assets.adapters.local_serving import LocalServing
from mlops_assets.adapters.skops_models import FolderModelFiles
from mlops_assets.adapters.sql_ledger import SqlLedger
from mlops_assets.lifecycle.rollout.state import Champion, RolloutState
from mlops_assets.lifecycle.training import Feature, ModelSignature, fit_estimator
from mlops_assets.serving.answering.answering import Answering
from mlops_assets.serving.app import build_app
from mlops_assets.serving.routing.routing import RoutingWatch
from mlops_assets.serving.routing.versions import Version, Versions
from mlops_assets.serving.settings import Settings

MODEL = "delays"
FEATURES = (Feature("distance", "numeric"), Feature("carrier", "categorical"))
ROWS = pl.DataFrame(
    {
        "distance": [100.0, 2000.0, None, 400.0, 1500.0, 90.0],
        "carrier": ["UA", "DL", "UA", "AA", None, "DL"],
        "late": [0, 1, 0, 0, 1, 1],
    }
)


def build_estimator(features: tuple[Feature, ...], seed: int) -> Pipeline:
    """Takes missing values; a single row's answer depends on distance and carrier."""
    boosting = HistGradientBoostingClassifier(min_samples_leaf=1, random_state=seed)
    return make_pipeline(_encoded_carrier(), boosting)


def build_fragile_estimator(features: tuple[Feature, ...], seed: int) -> Pipeline:
    """Fits, but raises on a row whose distance is missing."""
    return make_pipeline(_encoded_carrier(), LogisticRegression(random_state=seed))


def _encoded_carrier() -> ColumnTransformer:
    encoder = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
    return make_column_transformer((encoder, ["carrier"]), remainder="passthrough")


def signature(**changes: Any) -> ModelSignature:
    fields = {
        "model": MODEL,
        "features": FEATURES,
        "entity_key": "flight",
        "time": "departs_at",
        "label": "late",
        "train_as_of": "2013-06-01",
        "training_set": "abc",
        "estimator": "logistic",
    }
    return ModelSignature(**{**fields, **changes})


@functools.cache
def saved(version: str, fragile: bool) -> tuple[str, dict[str, bytes]]:
    """The digest and files of a version, fitted once for all tests."""
    number = int(version[1:])
    if fragile:
        build, rows = build_fragile_estimator, ROWS.drop_nulls()
        parameters: dict[str, Any] = {"logisticregression__C": 1.0 / number}
    else:
        build, rows = build_estimator, ROWS
        parameters = {"histgradientboostingclassifier__max_iter": number}
    model = fit_estimator(build, rows, FEATURES, "late", parameters=parameters, seed=0)
    with tempfile.TemporaryDirectory() as root:
        files = FolderModelFiles(Path(root))
        digest = files.save(model, signature(training_set=version))
        return digest, {path.name: path.read_bytes() for path in files.path(digest).iterdir()}


def tensor(name: str, data: list[Any], datatype: str | None = None, **more: Any) -> dict[str, Any]:
    inferred = "FP64" if name == "distance" else "BYTES"
    body = {"name": name, "shape": [len(data)], "datatype": datatype or inferred, "data": data}
    return {**body, **more}


def request_body(
    distance: list[Any] | None = None,
    carrier: list[Any] | None = None,
    *,
    flight: list[Any] | None = None,
    departs_at: list[Any] | None = None,
    **more: Any,
) -> dict[str, Any]:
    """A v2 request; two sound rows unless told otherwise."""
    inputs = [
        tensor("distance", [500.0, 700.0] if distance is None else distance),
        tensor("carrier", ["UA", "DL"] if carrier is None else carrier),
    ]
    inputs += [tensor("flight", flight)] if flight else []
    inputs += [tensor("departs_at", departs_at)] if departs_at else []
    return {"inputs": inputs, **more}


@dataclass
class World:
    """Model files, ledger and folders of one server."""

    root: Path
    at: datetime = datetime(2013, 6, 1, tzinfo=UTC)
    digests: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.url = f"sqlite:///{self.root}/ledger.db"
        self.ledger = SqlLedger(self.url)
        self.files = FolderModelFiles(self.root / "models")
        self.settings = Settings(
            self.url, self.root / "models", self.root / "log", self.root / "state", port=0
        )
        self.telemetry = JsonlTelemetry(self.settings.log)

    def train(self, version: str, *, passed: bool = True, fragile: bool = False) -> str:
        """Fit and save a version; its verdict lets it serve unless told otherwise."""
        digest, contents = saved(version, fragile)
        folder = self.files.path(digest)
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in contents.items():
            (folder / name).write_bytes(content)
        self.digests[version] = digest
        if passed:
            self.judge(version, "passed")
        return digest

    def train_wider(self, version: str) -> str:
        """A version with the input ``gusts`` on top."""
        features = (*FEATURES, Feature("gusts", "numeric"))
        rows = ROWS.with_columns(gusts=pl.Series([1.0, 5.0, 2.0, 1.0, 6.0, 7.0]))
        model = fit_estimator(build_estimator, rows, features, "late", parameters={}, seed=0)
        self.digests[version] = self.files.save(model, signature(features=features))
        self.judge(version, "passed")
        return self.digests[version]

    def judge(self, version: str, outcome: str) -> None:
        body = {"outcome": outcome}
        write_once(self.ledger, "verdict", MODEL, self.digests[version], body, self._next())

    def promote(self, version: str) -> None:
        champion = Champion(version, self.digests[version], "2013-06-01", "better")
        write_champion(self.ledger, MODEL, champion, self._next())

    def roll_out(
        self, version: str, weight: int, phase: Any = "progressing", *, mirror: int = 0
    ) -> None:
        since = self._next()
        state = RolloutState(
            version=version,
            digest=self.digests[version],
            train_as_of="2013-06-01",
            phase=phase,
            step=0,
            weight=weight,
            since=since.isoformat(),
            reason="test",
            mirror=mirror,
        )
        write_rollout(self.ledger, MODEL, state, since)

    def server(self, port: int) -> LocalServing:
        """The server as a process, not started yet."""
        s = self.settings
        return LocalServing(
            ledger_url=s.ledger, models=s.models, log=s.log, state=s.state, port=port
        )

    def _next(self) -> datetime:
        self.at += timedelta(minutes=1)
        return self.at


@pytest.fixture(name="tensor")
def tensor_fixture() -> Callable[..., dict[str, Any]]:
    return tensor


@pytest.fixture(name="request_body")
def request_body_fixture() -> Callable[..., dict[str, Any]]:
    return request_body


@pytest.fixture(name="signature")
def signature_fixture() -> Callable[..., ModelSignature]:
    return signature


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


@dataclass
class Server:
    """The application, with its watch driven by hand so that no test waits."""

    world: World
    client: TestClient
    watch: RoutingWatch
    answering: Answering

    def follow(self) -> None:
        self.watch.follow()

    def infer(self, body: Any, version: str | None = None) -> Any:
        part = f"/versions/{version}" if version else ""
        return self.client.post(f"/v2/models/{MODEL}{part}/infer", json=body)

    def get(self, path: str = "") -> Any:
        return self.client.get(f"/v2/models/{MODEL}{path}")

    def log(self) -> list[dict[str, Any]]:
        """Every line of the log, in the order of writing."""
        paths = sorted(self.world.settings.log.rglob("*.jsonl"), key=lambda p: p.stat().st_mtime_ns)
        return [json.loads(line) for path in paths for line in path.read_bytes().splitlines()]


@dataclass
class SubstitutePredictor:
    """Answers as a test says, in a thread unless it passes for compiled."""

    predict: Callable[[Any, int], list[float]]
    kind: Literal["compiled", "scikit-learn"] = "scikit-learn"
    reason: str | None = "a test answers"


@pytest.fixture
def predict_by(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Lets a function answer for a version that is loaded from here on."""
    substitutes: dict[str, SubstitutePredictor] = {}
    read = Versions._read

    def substituted(versions: Versions, model: str, target: Any) -> Version:
        version = read(versions, model, target)
        return replace(version, predictor=substitutes.get(version.name, version.predictor))

    monkeypatch.setattr(Versions, "_read", substituted)

    def use(version: str, predict: Callable[[Any, int], list[float]], **more: Any) -> None:
        substitutes[version] = SubstitutePredictor(predict, **more)

    return use


@pytest.fixture
def start(world: World, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Server]]:
    """Starts the application on the world; the routing follows when the test says so."""
    monkeypatch.setattr(RoutingWatch, "start", lambda _: None)
    monkeypatch.setattr(RoutingWatch, "stop", lambda _: None)
    clients: list[TestClient] = []

    def begin(*, follow: bool = True, **changes: Any) -> Server:
        settings = Settings(**{**vars(world.settings), **changes})
        app = build_app(settings)
        client = TestClient(app, raise_server_exceptions=False)
        client.__enter__()
        clients.append(client)
        server = Server(world, client, app.state.watch, app.inference._answers)
        if follow:
            server.follow()
        return server

    yield begin
    for client in clients:
        client.__exit__(None, None, None)


@pytest.fixture
def server(world: World, start: Callable[..., Server]) -> Server:
    """A server with champion v1."""
    world.train("v1")
    world.promote("v1")
    return start()


@pytest.fixture
def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
