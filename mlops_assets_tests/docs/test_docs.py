"""Documentation is held against what it describes."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from fnmatch import fnmatch
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from mlops_assets.components.assets import build_assets
from mlops_assets.components.reading import allowed_keys
from mlops_assets.components.specs import LifecycleSpec
from mlops_assets_tests.examples.reading import read_example, written

RAIN = "seattle_rain"

ROOT = Path(__file__).parents[2]
TESTS = ROOT / "mlops_assets_tests"
PACKAGE = ROOT / "mlops_assets"
GUIDES = sorted((ROOT / "docs" / "guides").glob("*.md"))
README = (ROOT / "README.md").read_text()
ARCHITECTURE = (ROOT / "ARCHITECTURE.md").read_text()
TABLE_ROW = re.compile(r"^\| (`.+?) \|", re.MULTILINE)
WRITTEN_KIND = re.compile(r"""(?:write_once\(\w+, |Record\()(?:"(\w+)"|([A-Z]+))""")
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


def test_every_key_of_a_defs_yaml_is_explained_in_a_guide() -> None:
    pages = "\n".join(page.read_text() for page in GUIDES)
    spans = re.findall(r"`([^`\n]+)`", re.sub(r"```.*?```", "", pages, flags=re.DOTALL))
    explained = {span.rpartition(".")[2] for span in spans}
    keys = [".".join(path) for path in _keys(())]
    assert len(keys) > 100
    assert [key for key in keys if key.rpartition(".")[2] not in explained] == []


def _keys(path: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """The path of every key that a defs.yaml may hold; ``*`` stands for a name people choose."""
    try:
        below = allowed_keys(path)
    except IndexError:  # neither a section nor a mapping of sections
        return
    for key in below:
        yield (*path, key)
        yield from _keys((*path, key))
    if path and not below and path[-1] != "*":
        yield from _keys((*path, "*"))


EXAMPLES = [
    (page.stem, name or RAIN, block)
    for page in GUIDES
    for name, block in re.findall(r"```yaml ?(\w*)\n(.*?)```", page.read_text(), re.DOTALL)
]
"""The YAML of the guides: on which page, of which example model, and its text."""


@pytest.mark.parametrize(("name", "block"), [example[1:] for example in EXAMPLES])
def test_every_yaml_of_a_guide_is_read_as_part_of_the_model_it_is_about(
    name: str, block: str
) -> None:
    sections = _sections(block)
    spec = read_example(name, sections).spec
    assert sections
    assert set(sections) <= spec.model_fields_set


def test_the_yaml_of_the_guide_is_that_of_the_finished_folder() -> None:
    finished = written(RAIN)
    shown: dict[str, Any] = {}
    for page, name, block in EXAMPLES:
        if page == "add-your-model" and name == RAIN:
            shown |= _sections(block)
    assert shown == finished


@pytest.mark.parametrize(
    ("page", "example"), [("add-your-model", RAIN), ("train-and-gate", "seattle_ensemble")]
)
def test_the_functions_a_guide_shows_are_those_of_its_example(page: str, example: str) -> None:
    guide = (ROOT / "docs" / "guides" / f"{page}.md").read_text()
    model = (TESTS / "examples" / example / "model.py").read_text()
    shown = re.findall(r"```python\n(.*?)```", guide, re.DOTALL)
    functions = [part for block in shown for part in re.split(r"\n\n\n(?=def )", block.strip())]
    assert functions
    assert [function for function in functions if function not in model] == []


def _sections(block: str) -> dict[str, Any]:
    """The sections that a piece of YAML writes, with or without what stands around them."""
    read: dict[str, Any] = yaml.safe_load(block)
    sections: dict[str, Any] = read.get("attributes", read)
    return sections


def test_every_asset_of_a_model_is_in_the_architecture() -> None:
    shown = [name for row in TABLE_ROW.findall(ARCHITECTURE) for name in re.findall("`(.+?)`", row)]
    assets = {
        key.path[-1] for made in build_assets(read_example("seattle_ensemble")) for key in made.keys
    }
    assert {"gate_override", "backtest", "candidate_tree"} <= assets
    assert [name for name in sorted(assets) if not any(fnmatch(name, of) for of in shown)] == []
    assert [of for of in shown if not any(fnmatch(name, of) for name in assets)] == []


@cache
def _kinds() -> frozenset[str]:
    """The kinds of ledger rows that the package writes; a constant is named like its kind."""
    sources = [path.read_text() for path in PACKAGE.rglob("*.py")]
    found = [kind for text in sources for kind in WRITTEN_KIND.findall(text)]
    return frozenset(literal or constant.lower() for literal, constant in found)


def test_every_kind_of_ledger_row_is_in_the_architecture_and_no_other() -> None:
    listed = re.search(r"Kinds: (.+?)\.\n", ARCHITECTURE, re.DOTALL)
    assert listed
    assert set(re.findall(r"`(\w+)`", listed[1])) == _kinds()


@pytest.mark.parametrize("layer", ["lifecycle", "serving", "commands"])
def test_every_module_of_a_layer_is_on_the_code_map(layer: str) -> None:
    code_map = ARCHITECTURE.partition("## Code map")[2].partition("## How data flows")[0]
    named = set(re.findall(r"\w+", " ".join(re.findall(r"`([^`]+)`", code_map))))
    modules = {path.stem for path in (PACKAGE / layer).rglob("*.py") if "__" not in path.stem}
    assert len(modules) > 4
    assert sorted(modules - named) == []


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
