"""Runs the checks against this project's server, or any other one.

    pytest mlops_assets_tests/conformance --endpoint http://127.0.0.1:8080 --model NAME

``--example FILE`` holds a request (JSON) that the model answers, for servers whose metadata does
not describe its inputs. Checks marked ``extension`` are about what the protocols leave open.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from mlops_assets_tests.conformance import own_server
from mlops_assets_tests.conformance.endpoint import Endpoint
from mlops_assets_tests.conformance.template import (
    Template,
    template_of_example,
    template_of_metadata,
)

HERE = "mlops_assets_tests/conformance/"
EXTENSION = "extension"
PASSED: dict[str, dict[bool, int]] = {"protocol": {}, "extension": {}}
SKIPPED: list[str] = []


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("conformance", "another server than this project's")
    group.addoption("--endpoint", help="its address, like http://127.0.0.1:8080")
    group.addoption("--model", help="the model to ask; by default its first one")
    group.addoption("--example", type=Path, help="file with a request that the model answers")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", f"{EXTENSION}: what the protocols leave open")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.nodeid.startswith(HERE) and item.get_closest_marker(EXTENSION):
            item.user_properties.append((EXTENSION, True))


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Count each check once: when it ran, or when it could not."""
    if not report.nodeid.startswith(HERE) or (report.when != "call" and report.passed):
        return
    kind = "extension" if (EXTENSION, True) in report.user_properties else "protocol"
    if report.skipped:
        SKIPPED.append(report.nodeid)
    else:
        PASSED[kind][report.passed] = PASSED[kind].get(report.passed, 0) + 1


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    counts = {
        kind: (seen.get(True, 0), sum(seen.values())) for kind, seen in PASSED.items() if seen
    }
    if not counts:
        return
    passed, total = (sum(column) for column in zip(*counts.values(), strict=True))
    parts = [f"{kind} {good} of {of}" for kind, (good, of) in counts.items()]
    left_out = f"; {len(SKIPPED)} do not apply" if SKIPPED else ""
    line = f"conformance: {passed} of {total} checks passed ({', '.join(parts)}){left_out}"
    terminalreporter.write_sep("=", line)


@pytest.fixture(scope="session")
def is_own(pytestconfig: pytest.Config) -> bool:
    """Whether it is this project's server that is checked."""
    return not pytestconfig.getoption("endpoint", default=None)


@pytest.fixture(scope="session")
def url(
    pytestconfig: pytest.Config, is_own: bool, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    if not is_own:
        yield pytestconfig.getoption("endpoint").rstrip("/")
        return
    with own_server.run_own_server(tmp_path_factory.mktemp("server")) as address:
        yield address


@pytest.fixture(scope="session")
def client(url: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=url, timeout=60, trust_env=False) as session:
        yield session


@pytest.fixture(scope="session")
def model(pytestconfig: pytest.Config, client: httpx.Client) -> str:
    named = pytestconfig.getoption("model", default=None)
    return named or client.get("/v2/models").json()["models"][0]


@pytest.fixture(scope="session")
def template(pytestconfig: pytest.Config, client: httpx.Client, model: str) -> Template:
    example = pytestconfig.getoption("example", default=None)
    if example:
        return template_of_example(json.loads(example.read_text()))
    inputs = client.get(f"/v2/models/{model}").json().get("inputs")
    assert inputs, "the metadata describes no inputs: give a request with --example FILE"
    return template_of_metadata(inputs)


@pytest.fixture(scope="session")
def endpoint(client: httpx.Client, model: str, template: Template) -> Endpoint:
    return Endpoint(client, model, template)


@pytest.fixture(scope="session")
def numeric(template: Template) -> str:
    """The name of an input that holds floating-point numbers of one value per row."""
    found = template.numeric
    if found is None:
        pytest.skip("the model takes no floating-point numbers")
    return found.name


@pytest.fixture(scope="session")
def text(template: Template) -> str:
    """The name of an input that holds texts."""
    texts = [
        given.name for given in template.inputs if given.datatype == "BYTES" and len(given.row) == 1
    ]
    if not texts:
        pytest.skip("the model takes no texts")
    return texts[0]
