"""A person lets a model out, from the verdict that failed to the version that answers."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from typing import Any

import dagster as dg
import pytest

from mlops_assets.adapters.journal import read_champion, read_rollout
from mlops_assets_tests.loop.conftest import (
    AS_OF,
    RAIN,
    TOO_STRICT,
    MakeWorld,
    World,
    failure,
    shown,
)

STATED = {**TOO_STRICT, "rollout": {"approval": True}}
LENIENT = {"gates": {"minimum": {"auc": 0.5}, "minimum_rows": 150}}
OVERRIDE = {
    "by": "the weather desk",
    "reason": "the old model is down and this one is no worse",
    "expires": "2116-03-01T12:00",
}
SAID = (
    "overridden by the weather desk until 2116-03-01T12:00: the old model is down and this one is "
    "no worse"
)
APPROVAL = {"version": "v1", "by": "the head of the desk", "reason": "seen the model card"}


@dataclass
class Story:
    """One model's way out, and what each step said and showed."""

    world: World
    override: Any
    registered: Any
    waiting: str
    refused: Any
    approved: Any
    request: dg.RunRequest
    released: Any


@pytest.fixture(scope="module")
def story(make_world: MakeWorld, ingested: World) -> Story:
    world = make_world(STATED, rows_of=ingested)
    assert "auc_is_high_enough" in failure(world.job("train", AS_OF))
    override = world.materialize("gate_override", AS_OF, **OVERRIDE)
    registered = world.materialize("model_version", AS_OF)
    waiting, refused = world.ask("advance_rollout"), world.job("release", "v1")
    approved = world.launch("approve", approve_version=APPROVAL)
    request = world.ask("advance_rollout")
    assert isinstance(waiting, str)
    assert isinstance(request, dg.RunRequest)
    released = world.job("release", request.partition_key)
    return Story(world, override, registered, waiting, refused, approved, request, released)


def test_the_override_says_who_why_until_when_and_which_verdict(story):
    digest = story.world.latest("trained_model", AS_OF)["digest"]
    assert shown(story.override, "gate_override") == {
        "digest": digest,
        "by": OVERRIDE["by"],
        "reason": OVERRIDE["reason"],
        "expires": "2116-03-01T12:00:00+00:00",
        "overridden_verdict": 1,
    }
    (row,) = story.world.rows("override")
    assert row["policy"] == story.world.model.policy_digest


def test_the_version_is_registered_and_says_by_whom_it_was_let_out(story):
    assert story.registered.success
    described = shown(story.registered, "model_version")
    assert described["version"] == "v1"
    assert described["clearance"].endswith(SAID)
    assert described["aliases"] == "challenger"


def test_the_registry_says_so_too(story):
    (version,) = story.world.versions()
    assert version.tags["verdict"] == "overridden"
    assert version.tags["clearance"].endswith(SAID)


def test_it_waits_for_an_approval_whoever_launches_the_release(story):
    assert story.waiting == f"v1 waits for approval; launch {RAIN}__approve"
    assert failure(story.refused) == f"{RAIN}: {story.waiting}"


def test_once_approved_the_sensor_asks_for_the_release_and_says_by_whom_it_was_let_out(story):
    assert story.approved.success
    (row,) = story.world.rows("approval")
    assert row == APPROVAL
    assert story.request.partition_key == "v1"


def test_the_deployment_shows_the_override_and_the_version_answers(story):
    assert story.released.success
    assert shown(story.released, "deployment")["clearance"].endswith(SAID)
    assert read_rollout(story.world.ledger, RAIN, "v1").phase == "succeeded"
    assert read_champion(story.world.ledger, RAIN).version == "v1"
    assert story.world.resources["serving"].wait_until_ready(RAIN, "v1", 30)


def test_the_model_card_of_the_next_evaluation_names_the_override(story):
    evaluated = story.world.materialize("evaluation", AS_OF)
    assert SAID in shown(evaluated, "evaluation")["model_card"]


def test_a_model_that_passed_has_nothing_to_override(story):
    world, later = story.world.stating(LENIENT), "2015-02-01"
    made = world.select(["training_set", "trained_model", "evaluation"], later)
    assert made.success, failure(made)
    said = failure(world.materialize("gate_override", later, **OVERRIDE))
    assert said.endswith("passed its gates; there is nothing to override")


REGISTER = """
import sys
from mlops_assets.adapters.mlflow_registry import MlflowRegistry
state, digest, uri = sys.argv[1:]
print(MlflowRegistry(f"sqlite:///{state}/mlflow/mlflow.db").register("alone", digest, uri, {}))
"""


def test_a_version_is_registered_by_a_process_that_trained_nothing(story, tmp_path):
    """As Dagster launches ``model_version`` alone, after an override: each run is a process."""
    assert story.world.select(["training_set", "trained_model"], "2015-03-01").success
    trained = story.world.latest("trained_model", "2015-03-01")
    asked = [str(story.world.state), trained["digest"], trained["model_uri"]]
    done = subprocess.run(
        [sys.executable, "-c", REGISTER, *asked],
        cwd=tmp_path,
        env={name: value for name, value in os.environ.items() if name != "MLFLOW_TRACKING_URI"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-500:]
