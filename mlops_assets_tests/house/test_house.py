"""The rules of the house that a machine can keep."""

from __future__ import annotations

import ast
import json
import re
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

import mlops_assets

PACKAGE = Path(mlops_assets.__file__).parent
ROOT = PACKAGE.parent
TESTS = Path(__file__).parents[1]
MODULES = sorted(path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.py"))
CODE = [name for name in MODULES if not name.endswith("__init__.py")]
LAYERS = ("lifecycle", "adapters", "serving", "components")

BODY_CAP = 14
FILE_CAP = 300
HEAVY = (
    "polars",
    "pandas",
    "sklearn",
    "mlflow",
    "optuna",
    "evidently",
    "dagster_k8s",
    "dagster_mlflow",
    "kubernetes",
    "matplotlib",
    "deltalake",
    "pandera",
    "skops",
)
EMPTY_WORDS = {"utils", "util", "helpers", "helper", "common", "misc", "manager", "managers"}
DECORATORS = {
    "asset",
    "multi_asset",
    "asset_check",
    "multi_asset_check",
    "sensor",
    "asset_sensor",
    "run_failure_sensor",
    "run_status_sensor",
    "schedule",
}

TOO_LONG: dict[str, str] = {}
"""Files above the cap, and what fills them: to be divided."""

TESTED_ELSEWHERE = {
    "serving/protocol.py": "the bodies of answers: serving/test_app.py asks for them over HTTP",
    "serving/state_files.py": "one function: serving/test_process.py kills its writer's process",
}
"""Modules without a test that imports them by name, and where their behaviour is tested."""


def source(name: str) -> str:
    return (PACKAGE / name).read_text()


@cache
def tree(name: str) -> ast.Module:
    return ast.parse(source(name))


@cache
def texts_of_tests() -> str:
    here = Path(__file__)
    return "\n".join(p.read_text() for p in sorted(TESTS.rglob("*.py")) if p != here)


def decorated(name: str) -> list[ast.FunctionDef]:
    """The functions of a module that Dagster calls."""

    def word(decorator: ast.expr) -> str:
        called = decorator.func if isinstance(decorator, ast.Call) else decorator
        return called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", "")

    return [
        node
        for node in ast.walk(tree(name))
        if isinstance(node, ast.FunctionDef) and {word(d) for d in node.decorator_list} & DECORATORS
    ]


def statement_lines(function: ast.FunctionDef) -> int:
    """How many statements a body has, those inside of others counted too, its docstring not."""
    body = function.body[1:] if ast.get_docstring(function) else function.body
    return sum(isinstance(node, ast.stmt) for part in body for node in ast.walk(part))


def has_test(name: str) -> bool:
    """Whether a test file is named after the module, or a test imports it by its name."""
    path = Path(name)
    mirrored = list(TESTS.glob(f"{path.parts[0]}/**/test_{path.stem.lstrip('_')}*.py"))
    dotted = f"mlops_assets.{name.removesuffix('.py').replace('/', '.')}"
    parent, _, last = dotted.rpartition(".")
    offered = "|".join([last, *(set(public_names(name)) & set(public_names(package_of(name))))])
    names = rf"(?:\([^)]*|[^\n]*)\b(?:{offered})\b"
    named = rf"{re.escape(dotted)}\b|from {re.escape(parent)} import {names}"
    return bool(mirrored or re.search(named, texts_of_tests()))


def package_of(name: str) -> str:
    return (Path(name).parent / "__init__.py").as_posix()


def public_names(name: str) -> list[str]:
    """What a module defines, or, of a package, what it hands on."""
    defined = [getattr(node, "name", "") for node in tree(name).body]
    imported = [
        alias.name
        for node in tree(name).body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    ]
    return [found for found in (imported if name.endswith("__init__.py") else defined) if found]


def public_without_docstring(name: str) -> list[str]:
    """Public classes and functions at the top of a module, and the module, that say nothing."""
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    defined = [node for node in tree(name).body if isinstance(node, kinds)]
    public = [node for node in defined if not node.name.startswith("_")]
    silent = [node.name for node in public if not ast.get_docstring(node)]
    return silent if ast.get_docstring(tree(name)) else ["the module", *silent]


def print_calls(name: str) -> list[int]:
    return [
        node.lineno
        for node in ast.walk(tree(name))
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "print"
    ]


@pytest.fixture(scope="module")
def loaded_modules(tmp_path_factory) -> set[str]:
    """What a fresh process has imported once the code location is loaded and resolved."""
    asked = """
import json, sys
from mlops_assets.definitions import definitions
repository = definitions().get_repository_def()
assert len(list(repository.asset_graph.get_all_asset_keys())) > 20
print(json.dumps(sorted({name.split(".")[0] for name in sys.modules})))
"""
    done = subprocess.run(
        [sys.executable, "-c", asked],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path_factory.mktemp("elsewhere"),
    )
    return set(json.loads(done.stdout.splitlines()[-1]))


def test_loading_the_code_location_is_seen_to_load_dagster(loaded_modules):
    assert {"dagster", "mlops_assets"} <= loaded_modules


@pytest.mark.parametrize("brand", HEAVY)
def test_loading_the_code_location_imports_no_heavy_library(loaded_modules, brand):
    assert brand not in loaded_modules


def test_the_functions_that_dagster_calls_are_found():
    names = {function.name for name in CODE for function in decorated(name)}
    assert {"raw", "deployment", "advance_rollout", "ingest", "alert"} <= names


@pytest.mark.parametrize("name", [name for name in CODE if decorated(name)])
def test_the_functions_that_dagster_calls_are_short(name):
    long = {f.name: statement_lines(f) for f in decorated(name) if statement_lines(f) > BODY_CAP}
    assert not long


def test_no_module_is_named_for_nothing():
    parts = {part for name in MODULES for part in Path(name).with_suffix("").parts}
    words = {word for part in parts for word in part.split("_")}
    assert not words & EMPTY_WORDS


@pytest.mark.parametrize("name", [n for n in CODE if n.startswith(LAYERS)])
def test_every_module_of_the_layers_has_a_test_that_names_it(name):
    assert has_test(name) or name in TESTED_ELSEWHERE


def test_every_exception_to_a_rule_is_a_module_that_exists():
    assert set(TESTED_ELSEWHERE) | set(TOO_LONG) <= set(MODULES)


@pytest.mark.parametrize("name", MODULES)
def test_a_file_is_short_enough_to_read(name):
    assert len(source(name).splitlines()) <= FILE_CAP or name in TOO_LONG


@pytest.mark.parametrize("name", MODULES)
def test_public_things_say_what_they_are(name):
    assert public_without_docstring(name) == []


@pytest.mark.parametrize("name", MODULES)
def test_no_path_of_one_machine_and_no_host_of_a_registry_is_written(name):
    paths = re.findall(
        r"""["'](/(?:home|root|work|tmp|Users|opt|mnt|srv|var)/[^"']*)""", source(name)
    )
    hosts = re.findall(
        r"(?i)\b(?:pypi|conda|docker|ghcr|quay|gcr|ecr|npmjs)\.(?:\w+\.)?\w+/?", source(name)
    )
    assert paths + hosts == []


@pytest.mark.parametrize("page", sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]))
def test_no_page_names_the_host_of_a_registry(page):
    hosts = r"(?i)\b(?:pypi|conda|docker|ghcr|quay|gcr|ecr|npmjs)\.(?:org|io|com|dev)\b"
    assert re.findall(hosts, page.read_text()) == []


@pytest.mark.parametrize("name", MODULES)
def test_only_the_command_line_prints(name):
    assert not print_calls(name) or name == "cli.py" or name.startswith("commands/")


def test_the_command_line_is_seen_to_print():
    assert print_calls("cli.py")


def test_the_entry_of_the_code_location_stays_small():
    assert len(source("definitions.py").splitlines()) <= 20


def test_only_the_platform_and_the_commands_read_the_environment():
    def reads(name: str) -> bool:
        return any(
            isinstance(node, ast.Attribute) and node.attr in ("environ", "getenv")
            for node in ast.walk(tree(name))
        )

    found = {name for name in CODE if reads(name)}
    allowed = {n for n in found if n.startswith(("cli.py", "commands/", "defs/platform/"))}
    assert "defs/platform/resources.py" in found
    assert found - allowed <= {
        "serving/__main__.py",
        "serving/settings.py",
        "adapters/local_serving.py",
    }


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed here")
def test_every_target_of_make_is_described_by_make_help():
    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"(?m)^\.PHONY: (\S+)", makefile))
    done = subprocess.run(
        ["make", "--no-print-directory", "help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    described = re.findall(r"(?m)^  make (\S+) +(\S.*)$", done.stdout)
    assert {name for name, _ in described} == targets
    assert len(described) == len(targets) >= 5


def test_every_target_of_make_is_declared_phony():
    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"(?m)^([a-z][a-z-]*):(?!=)", makefile))
    assert targets == set(re.findall(r"(?m)^\.PHONY: (\S+)", makefile))


def test_no_folder_of_tests_is_a_package():
    folders = {test.parent for test in TESTS.rglob("test_*.py")}
    assert len(folders) > 4
    assert not [folder for folder in folders if (folder / "__init__.py").exists()]
