"""The check ``is_reproducible``, asked for by itself."""

from __future__ import annotations

from typing import Any

import dagster as dg
import pytest

from mlops_assets.components.assets import build_assets
from mlops_assets.components.assets.reproduction import build_reproduction_check, reproduction_key
from mlops_assets_tests.loop.conftest import (
    AS_OF,
    ENSEMBLE,
    QUIET,
    MakeWorld,
    World,
    failure,
    materialized,
)

FITTING = ["training_set", "candidate_recent", "candidate_tree", "trained_model"]
STATED = {
    "tuning": None,
    "ensemble": None,
    "gates": {"minimum": {"auc": 0.5}, "minimum_rows": 150},
    "candidates": {
        "recent": {"estimator": "build_recent"},
        "tree": {"estimator": "build_tree", "parameters": {"classify__max_depth": 4}},
    },
}
PLANTED = {
    **STATED,
    "candidates": {
        "recent": {"estimator": "build_recent"},
        "tree": {"estimator": "build_unrepeatable"},
    },
}


@pytest.fixture(scope="module")
def world(make_world: MakeWorld, ensemble_rows: World) -> World:
    world = make_world(STATED, name=ENSEMBLE, rows_of=ensemble_rows)
    made = world.select(FITTING, AS_OF)
    assert made.success, failure(made)
    return world


def ask(world: World, tags: dict[str, str] | None = None) -> dg.AssetCheckEvaluation:
    """Run the check alone, as a person does who wants to know."""
    done = dg.materialize(
        [*build_assets(world.model), build_reproduction_check(world.model)],
        selection=dg.AssetSelection.checks(reproduction_key(world.model)),
        tags=tags,
        run_config=QUIET,
        instance=world.instance,
        resources=world.resources,
        raise_on_error=False,
    )
    assert done.success, failure(done)
    assert materialized(done) == set()
    (evaluation,) = done.get_asset_check_evaluations()
    return evaluation


def test_given_a_run_without_a_partition_then_the_newest_model_is_made_again(world):
    with_partition = ask(world, {"dagster/partition": AS_OF})
    assert evidence(ask(world)) == evidence(with_partition)


def evidence(evaluation: dg.AssetCheckEvaluation) -> dict[str, Any]:
    return {name: value.value for name, value in evaluation.metadata.items()}


def test_given_the_same_data_code_and_seed_then_all_files_come_out_the_same(world):
    before = (world.ledger.position(), len(world.tracked()))
    said = ask(world)
    assert said.passed
    assert said.description == "3 of 3 models came out byte for byte the same"
    assert (
        evidence(said)["expected"]["trained_model"]
        == (world.latest("trained_model", AS_OF)["digest"])
    )
    assert (world.ledger.position(), len(world.tracked())) == before


def test_given_model_py_was_edited_since_then_the_check_says_that_it_cannot_tell(world, tmp_path):
    written = (world.model.folder / "model.py").read_text()
    (tmp_path / "model.py").write_text(f"{written}\n# edited\n")
    said = ask(world.stating(STATED, tmp_path))
    assert not said.passed
    assert evidence(said)["outcome"] == "inconclusive"
    assert "model.py was changed since" in said.description


def test_given_an_estimator_that_takes_no_heed_of_its_seed_then_it_is_named(
    make_world, ensemble_rows
):
    planted = make_world(PLANTED, name=ENSEMBLE, rows_of=ensemble_rows)
    made = planted.select(FITTING, AS_OF)
    assert made.success, failure(made)
    said = ask(planted)
    assert not said.passed
    came = evidence(said)
    differing = [name for name in came["expected"] if came["came"][name] != came["expected"][name]]
    assert "tree" in differing
    assert "recent" not in differing
    assert said.description.startswith(f"{', '.join(differing)} came out with other files")


@pytest.mark.parametrize("job", ["train", "walk_forward"])
def test_no_job_asks_for_it(world, job):
    found = world.definitions.resolve_job_def(f"{ENSEMBLE}__{job}")
    assert not [node.name for node in found.nodes if "is_reproducible" in node.name]
