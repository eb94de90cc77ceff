"""Each materialization of a deployment shows what was decided, on what evidence, and by whom."""

from __future__ import annotations

from typing import Any

import dagster as dg
import pytest

from mlops_assets.adapters.journal import write_cut_off
from mlops_assets.components.assets.release import build_deployment
from mlops_assets.components.stages.interventions import pause
from mlops_assets.lifecycle.rollout.state import CutOff

A, B = ("a" * 64, "b" * 64)


class Deployments:
    """A world whose versions are deployed by the asset itself."""

    def __init__(self, world, resources) -> None:
        self.world, self.resources = world, resources
        self.asset = build_deployment(world.model)
        self.instance = dg.DagsterInstance.ephemeral()

    def step(self, version: str) -> dict[str, Any]:
        self.instance.add_dynamic_partitions(f"{self.world.name}__versions", [version])
        done = dg.materialize(
            [self.asset],
            partition_key=version,
            instance=self.instance,
            resources=self.resources(self.world),
        )
        (event,) = done.get_asset_materialization_events()
        return {name: value.value for name, value in event.materialization.metadata.items()}


@pytest.fixture
def deployments(world, resources):
    """v1 serves, v2 answers 10 %."""
    made = Deployments(world, resources)
    for digest in (A, B):
        made.step(world.add_version(digest))
    return made


def test_a_step_shows_its_decision_and_where_to_look(deployments):
    deployments.world.observe("v2", "v1")
    shown = deployments.step("v2")
    assert (shown["action"], shown["phase"], shown["weight"]) == ("advance", "progressing", 50)
    assert shown["endpoint"] == "http://in-memory/v2/models/flight_delays"
    assert shown["routing"] == "http://in-memory/v2/models/flight_delays/routing"
    assert shown["try_it"] == "http://in-memory/docs"
    assert shown["clearance"] == "passed its gates"
    assert shown["steps"].count("\n") == 4
    assert "image/png" in shown["rollout"]


def test_a_step_shows_each_guardrail_with_both_arms_and_its_limit(deployments):
    deployments.world.observe("v2", "v1", errors=50, weights=(10,))
    shown = deployments.step("v2")
    lines = shown["guardrails"].splitlines()
    assert [cell.strip() for cell in lines[0].strip("|").split("|")] == [
        *("guardrail", "outcome", "canary", "baseline", "harm", "proof", "margin")
    ]
    (errors,) = [line for line in lines if "canary errors are not higher" in line]
    assert "| failed | 50 of 500 | 0 of 4500 |" in errors
    assert {"canary is not slower", "predictions keep their distribution"} <= {
        line.split("|")[1].strip() for line in lines
    }
    assert shown["action"] == "roll_back"


def test_a_cut_off_is_shown_with_its_reason(deployments):
    w = deployments.world
    write_cut_off(w.ledger, w.name, CutOff("v2", B, "raised 5 times in a row"), w.clock.now())
    shown = deployments.step("v2")
    assert shown["cut_off"] == "raised 5 times in a row"
    assert shown["phase"] == "failed"


def test_who_stepped_in_and_why_is_shown(deployments):
    w = deployments.world
    before = deployments.step("v2")
    pause(w.model, "the desk", "odd answers seen", w.ledger, w.clock, request="launch 1")
    shown = deployments.step("v2")
    assert "interventions" not in before
    assert (before["paused"], shown["paused"]) == (False, True)
    assert "| pause | the desk | odd answers seen |" in shown["interventions"]


def test_without_shadows_or_cut_offs_there_is_no_word_of_them(deployments):
    assert not {"shadow", "cut_off"} & set(deployments.step("v2"))


def test_the_asset_says_the_strategy(make_model):
    (spec,) = build_deployment(make_model()).specs
    assert "(canary at 10, 50 and then 100 %)" in spec.description
