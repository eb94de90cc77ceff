"""What the tests of the wiring share: the real model read from changed text, and a small world."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml
from dagster_shared.yaml_utils import parse_yaml_with_source_position

import mlops_assets.defs.flight_delays
from mlops_assets.adapters.in_memory import (
    FixedClock,
    InMemoryLedger,
    InMemoryRegistry,
    InMemoryServing,
    InMemoryTables,
    InMemoryTelemetry,
)
from mlops_assets.adapters.journal import sequence_of, write_champion, write_once
from mlops_assets.components.definition import ModelDefinition
from mlops_assets.components.reading import read_spec
from mlops_assets.components.specs import LifecycleSpec
from mlops_assets.defs.platform.resources import build_resources, read_settings
from mlops_assets.lifecycle.errors import SpecError
from mlops_assets.lifecycle.rollout.state import Champion
from mlops_assets.lifecycle.rollout.window import Arm, Window

FOLDER = Path(mlops_assets.defs.flight_delays.__file__).parent
MODULE = "mlops_assets.defs.flight_delays.model"
NAME = "flight_delays"
NOW = datetime(2013, 6, 5, 12, 30, tzinfo=UTC)
TRAINING_SET = "d" * 64
_numbers = itertools.count(1)


def replaced(text: str, changes: dict[str, str]) -> str:
    """The text with each change made; what is to be changed has to stand there exactly once."""
    for old, new in changes.items():
        assert text.count(old) == 1, f"{old!r} stands {text.count(old)} times in defs.yaml"
        text = text.replace(old, new)
    return text


@pytest.fixture(scope="session")
def flight_delays_text() -> str:
    """The real defs.yaml."""
    return (FOLDER / "defs.yaml").read_text()


@pytest.fixture(scope="session")
def written(flight_delays_text) -> dict[str, Any]:
    """What the real defs.yaml says, as plain YAML: names the tests need are taken from it."""
    attributes: dict[str, Any] = yaml.safe_load(flight_delays_text)["attributes"]
    return attributes


@pytest.fixture(scope="session")
def searched(written) -> str:
    """The one candidate of the real defs.yaml that has a space to search."""
    (name,) = [name for name, of in written["candidates"].items() if "space" in of]
    return str(name)


@pytest.fixture(scope="session")
def space_text(flight_delays_text) -> str:
    """The lines of that space, to be replaced."""
    (lines,) = re.findall(r"(?m)^      space:\n(?:        .*\n)+", flight_delays_text)
    return str(lines)


@pytest.fixture(scope="session")
def retraining_text(flight_delays_text) -> str:
    """The section that says when to train again, to be replaced."""
    (lines,) = re.findall(r"(?m)^  retraining:\n(?:    .*\n)+", flight_delays_text)
    return str(lines)


@pytest.fixture(scope="session")
def change(flight_delays_text) -> Callable[[dict[str, str]], str]:
    """The real defs.yaml with some of its text replaced."""
    return lambda changes: replaced(flight_delays_text, changes)


@pytest.fixture(scope="session")
def read() -> Callable[..., LifecycleSpec]:
    """Read a text as the component does, with Dagster's own positions as ``defs.yaml:LINE``."""

    def read_text(text: str, folder: Path = FOLDER) -> LifecycleSpec:
        parsed = parse_yaml_with_source_position(text, "defs.yaml")
        tree = parsed.source_position_tree

        def locate(path: tuple[str | int, ...]) -> str:
            return str(tree.lookup_closest_and_path(["attributes", *path], trace=None)[0])

        return read_spec(parsed.value["attributes"], folder, locate)

    return read_text


@pytest.fixture(scope="session")
def lines_said(read) -> Callable[..., list[str]]:
    """Each line of what is said about a wrong text."""

    def refuse(text: str, folder: Path = FOLDER) -> list[str]:
        with pytest.raises(SpecError) as refused:
            read(text, folder)
        return str(refused.value).splitlines()

    return refuse


@pytest.fixture(scope="session")
def line_of() -> Callable[[str, str], int]:
    """The first line of a text that holds a marker as a whole word."""

    def find(text: str, marker: str) -> int:
        found = re.search(rf"(?<![\w.]){re.escape(marker)}", text)
        assert found, f"{marker!r} is not in the changed text"
        return text.count("\n", 0, found.start()) + 1

    return find


@pytest.fixture(scope="session")
def make_model(change, read) -> Callable[..., ModelDefinition]:
    """The real model, with some of the text of its defs.yaml replaced."""

    def make(changes: dict[str, str] | None = None) -> ModelDefinition:
        return ModelDefinition(read(change(changes or {})), MODULE, FOLDER)

    return make


@pytest.fixture(scope="session")
def model(make_model) -> ModelDefinition:
    """The real model as it is shipped."""
    return make_model()


@pytest.fixture
def platform(tmp_path) -> dg.Definitions:
    """The resources that every model's definitions ask for."""
    settings = read_settings({"MLOPS_ASSETS_STATE": str(tmp_path / "state")})
    return dg.Definitions(resources=build_resources(settings))


@pytest.fixture
def load(tmp_path, monkeypatch, platform) -> Callable[..., dg.Definitions]:
    """Write a project with one model, or another beside it, and load it as Dagster does."""

    def load_project(text: str, beside: str | None = None, **files: str | None) -> dg.Definitions:
        package = f"temporary_location_{next(_numbers)}"
        defs = tmp_path / package / "defs"
        for name, written in {NAME: text, "beside": beside}.items():
            if written is not None:
                (defs / name).mkdir(parents=True)
                (defs / name / "defs.yaml").write_text(written)
                for file, content in {"model": (FOLDER / "model.py").read_text(), **files}.items():
                    if content is not None:
                        (defs / name / f"{file}.py").write_text(content)
        for inner in (defs.parent, defs):
            (inner / "__init__.py").write_text("")
        said = f'directory_type = "project"\n[tool.dg.project]\nroot_module = "{package}"\n'
        (tmp_path / "pyproject.toml").write_text(f"[tool.dg]\n{said}")
        monkeypatch.syspath_prepend(str(tmp_path))
        return dg.Definitions.merge(dg.ComponentTree.for_project(tmp_path).build_defs(), platform)

    return load_project


@dataclass
class World:
    """The outside world of one model in memory, and the usual things that happen in it."""

    model: ModelDefinition
    ledger: InMemoryLedger = field(default_factory=InMemoryLedger)
    registry: InMemoryRegistry = field(default_factory=InMemoryRegistry)
    serving: InMemoryServing = field(default_factory=InMemoryServing)
    telemetry: InMemoryTelemetry = field(default_factory=InMemoryTelemetry)
    tables: InMemoryTables = field(default_factory=InMemoryTables)
    clock: FixedClock = field(default_factory=lambda: FixedClock(NOW))

    @property
    def name(self) -> str:
        return self.model.name

    def judge(self, digest: str, **differences: Any) -> None:
        """Record that a model passed its gates, or what else is said of it."""
        body = {
            "model": digest,
            "training_set": TRAINING_SET,
            "code": self.model.code_digest,
            "policy": self.model.policy_digest,
            "champion": None,
            "identity": f"identity of {digest}",
            "outcome": "passed",
            "reason": "3 of 3 passed",
            "gates": [],
        }
        write_once(self.ledger, "verdict", self.name, digest, body | differences, NOW)

    def override(self, digest: str, expires: datetime, **differences: Any) -> None:
        """Record that a person lets a model out until a moment, as ``gate_override`` does."""
        body = {
            "by": "the flight desk",
            "reason": "the drop is known and accepted",
            "expires": expires.isoformat(),
            "policy": self.model.policy_digest,
            "verdict": sequence_of(self.ledger, "verdict", self.name, digest),
        }
        write_once(self.ledger, "override", self.name, digest, body | differences, NOW)

    def add_version(self, digest: str, as_of: str = "2013-04-01", *, loads: bool = True) -> str:
        """Register a model that passed its gates, as the asset ``model_version`` does."""
        self.judge(digest)
        version = self.registry.register(self.name, digest, f"models:/{digest}", {}).version
        self.registry.set_alias(self.name, "challenger", version)
        write_once(self.ledger, "version", self.name, version, self.recorded(digest, as_of), NOW)
        if loads:
            self.serving.ready.add((self.name, version))
        return version

    def recorded(self, digest: str, as_of: str = "2013-04-01") -> dict[str, Any]:
        """What the ledger keeps of a registered version."""
        return {
            "digest": digest,
            "train_as_of": as_of,
            "uri": f"models:/{digest}",
            "training_set": TRAINING_SET,
            "code": self.model.code_digest,
        }

    def crown(self, version: str, digest: str, as_of: str = "2013-03-04") -> None:
        """Record a champion without a rollout."""
        champion = Champion(version, digest, as_of, "the first version")
        write_champion(self.ledger, self.name, champion, NOW)

    def drift(self, partition: str, outcome: str, version: str = "v1") -> None:
        """Record a drift report."""
        body = {"version": version, "outcome": outcome, "reason": f"{partition} {outcome}"}
        write_once(self.ledger, "drift", self.name, partition, body, NOW)

    def observe(
        self,
        version: str,
        baseline: str,
        errors: int = 0,
        units: int = 500,
        weights: tuple[int, ...] = (),
    ) -> None:
        """Units that the canary answered at each weight, ``errors`` of which failed; the baseline
        answered its share beside it, and failed nobody.
        """
        windows = []
        for weight in weights or self.model.spec.rollout.steps:
            beside = Arm(baseline, *(2 * [units * (100 - weight) // weight]))
            canary = Arm(version, units, units, failed=errors, errors=errors)
            windows.append(Window(weight, canary, beside))
        self.telemetry.seen[self.name, version] = tuple(windows)

    def aliases(self) -> dict[str, str]:
        """Which version each alias names."""
        versions = self.registry.versions(self.name)
        return {alias: known.version for known in versions for alias in known.aliases}

    def rows(self, kind: str, subject: str | None = None) -> list[dict[str, Any]]:
        """The bodies of a kind of row, oldest first."""
        return [dict(row.body) for row in self.ledger.history(kind, self.name, subject)]


@pytest.fixture
def world(model) -> World:
    """The world of the real model, empty."""
    return World(model)


@pytest.fixture
def make_world(make_model) -> Callable[..., World]:
    """The world of the real model with some of its policy replaced."""
    return lambda changes: World(make_model(changes))


@pytest.fixture
def resources() -> Callable[[World], dict[str, Any]]:
    """A world as the resources of the code location."""
    return lambda world: {
        "ledger": world.ledger,
        "registry": world.registry,
        "serving": world.serving,
        "telemetry": world.telemetry,
        "tables": world.tables,
        "clock": world.clock,
    }
