"""Documentation is held against what it describes."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from mlops_assets.components.specs import LifecycleSpec

ROOT = Path(__file__).parents[2]
TESTS = ROOT / "mlops_assets_tests"
README = (ROOT / "README.md").read_text()
ARCHITECTURE = (ROOT / "ARCHITECTURE.md").read_text()
INVARIANTS = re.findall(r"^  `([\w/]+\.py)::(\w+)`$", ARCHITECTURE, re.MULTILINE)


def test_the_architecture_names_invariants() -> None:
    assert len(INVARIANTS) > 15


@pytest.mark.parametrize(("file", "test"), INVARIANTS)
def test_each_invariant_names_a_test_that_exists(file: str, test: str) -> None:
    assert f"def {test}(" in (TESTS / file).read_text()


def test_every_runtime_dependency_has_a_word_in_the_readme() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    names = [re.split(r"[\[=<>]", needed)[0] for needed in project["dependencies"]]
    assert names
    assert [name for name in names if f"`{name}`" not in README] == []


def test_every_make_target_the_documents_name_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    pages = [README, ARCHITECTURE, (ROOT / "CONTRIBUTING.md").read_text()]
    pages += [page.read_text() for page in (ROOT / "docs").rglob("*.md")]
    named = {name for page in pages for name in re.findall(r"`make ([a-z-]+)", page)}
    assert named
    assert named - targets == set()


def test_every_section_of_a_defs_yaml_is_in_the_guide() -> None:
    guide = (ROOT / "docs" / "guides" / "add-your-model.md").read_text()
    missing = [name for name in LifecycleSpec.model_fields if f"`{name}`" not in guide]
    assert missing == []


def test_every_variable_the_platform_reads_is_in_the_readme() -> None:
    source = (ROOT / "mlops_assets" / "defs" / "platform" / "resources.py").read_text()
    variables = set(re.findall(r'"((?:MLOPS_ASSETS|MLFLOW_TRACKING)_[A-Z_]+)"', source))
    assert len(variables) > 5
    assert sorted(name for name in variables if f"`{name}`" not in README) == []


def test_links_between_documents_lead_somewhere() -> None:
    pages = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
    broken = [
        f"{page.name}: {link}"
        for page in pages
        for link in re.findall(r"\]\(([^)#]+)\)", page.read_text())
        if "://" not in link and not (page.parent / link).exists()
    ]
    assert broken == []
