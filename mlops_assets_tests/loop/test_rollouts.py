"""A rollout on a real server: copies first, then half of the callers, then all, and back again."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

import dagster as dg
import httpx
import pytest

from mlops_assets.adapters.journal import read_champion, read_rollout, read_routing, write_cut_off
from mlops_assets.commands.replay import replay
from mlops_assets.lifecycle.rollout.state import CutOff
from mlops_assets_tests.loop.conftest import AS_OF, RAIN, MakeWorld, World, failure, shown

LATER = "2015-07-01"
ROLLOUT = {
    "strategy": "shadow",
    "steps": [50],
    "shadow": {"minimum_sample": 60, "agreement": 0.6},
    "analysis": {"minimum_sample": 30, "error_margin": 0.1},
}
WHO = {"by": "the weather desk", "reason": "the first look at a new version"}
CHUNK = 60


@dataclass
class Rollout:
    """The world, and what each step of v2's rollout showed."""

    world: World
    rows: Any
    failed: int = 0
    shown: list[dict[str, Any]] = field(default_factory=list)

    def send(self) -> None:
        """The next callers, none of whom asked before."""
        model, url = self.world.model, self.world.resources["serving"].ensure_running().url
        done = replay(self.rows[:CHUNK], url, RAIN, model.features, "day", "morning")
        self.rows = self.rows[CHUNK:]
        self.failed += done.failed

    def step(self, version: str) -> None:
        done = self.world.job("release", version)
        assert done.success, failure(done)
        self.shown.append(shown(done, "deployment"))
        self.await_routing()

    def await_routing(self) -> None:
        """Until the server routes as the ledger says."""
        wanted = {t.version: t.weight for t in read_routing(self.world.ledger, RAIN).targets}
        url = self.world.resources["serving"].ensure_running().url
        for _ in range(300):
            routed = httpx.get(f"{url}/v2/models/{RAIN}/routing", trust_env=False).json()
            if {t["version"]: t["weight"] for t in routed["targets"]} == wanted:
                return
            time.sleep(0.05)
        raise AssertionError(f"the endpoint did not take up {wanted}: {routed}")

    def go_on(self) -> None:
        """As sensor and callers do, until the rollout has ended."""
        while True:
            due = self.world.ask("advance_rollout")
            if isinstance(due, dg.RunRequest):
                self.step(due.partition_key)
            elif not read_rollout(self.world.ledger, RAIN).active:
                return
            else:
                assert self.rows.height, due
                self.send()


@pytest.fixture(scope="module")
def rollout(make_world: MakeWorld, ingested: World) -> Rollout:
    """v1 serves, and v2 went all the way."""
    world = make_world({"rollout": ROLLOUT}, rows_of=ingested)
    rollout = Rollout(world, world.read("features"))
    assert world.job("train", AS_OF).success
    rollout.step("v1")
    assert world.job("train", LATER).success
    rollout.shown.clear()
    rollout.go_on()
    return rollout


def test_no_caller_saw_a_failure(rollout):
    assert rollout.failed == 0


def test_it_was_copied_to_then_given_half_then_all(rollout):
    steps = [(step["action"], step["weight"], step["mirror"]) for step in rollout.shown]
    assert steps == [("advance", 0, 100), ("advance", 50, 0), ("promote", 100, 0)]
    assert read_champion(rollout.world.ledger, RAIN).version == "v2"


def test_the_copies_were_compared_slice_by_slice(rollout):
    shadow = rollout.shown[1]["shadow"]
    assert "agreement" in shadow
    assert "| all |" in shadow
    assert "shadow agrees" in rollout.shown[1]["guardrails"]


def test_the_promotion_shows_both_arms(rollout):
    promoted = rollout.shown[-1]["guardrails"]
    assert "canary errors are not higher" in promoted
    assert "canary is within the margin" in promoted


def test_going_back_is_drilled_where_nobody_is_served(rollout):
    before = read_routing(rollout.world.ledger, RAIN)
    done = rollout.world.job("drill")
    assert done.success, failure(done)
    drill = shown(done, "rollback_drill")
    assert (drill["current"], drill["previous"], drill["failed"]) == ("v2", "v1", 0)
    assert drill["requests"] > 0
    assert read_routing(rollout.world.ledger, RAIN) == before


def test_taken_back_by_hand_the_version_before_answers_again(rollout):
    """The last but one test of this world."""
    assert rollout.world.launch("roll_back", roll_back_release=WHO).success
    rollout.await_routing()
    assert read_champion(rollout.world.ledger, RAIN).version == "v1"
    rollout.send()
    assert rollout.failed == 0
    (told,) = rollout.world.rows("intervention")
    assert (told["action"], told["version"], told["by"]) == ("roll_back", "v2", WHO["by"])


def test_held_it_stays_and_cut_off_it_goes(rollout):
    """The last test of this world."""
    world = rollout.world
    assert world.job("train", "2015-08-01").success
    version = world.versions()[-1].version
    rollout.step(version)
    assert world.launch("pause", pause_rollout=WHO).success
    for _ in range(3):
        rollout.send()
    assert WHO["by"] in str(world.ask("advance_rollout"))
    state = read_rollout(world.ledger, RAIN)
    cut = CutOff(state.version, state.digest, "it raised 5 times in a row")
    write_cut_off(world.ledger, RAIN, cut, world.resources["clock"].now())
    rollout.go_on()
    assert rollout.shown[-1]["cut_off"] == cut.reason
    assert read_rollout(world.ledger, RAIN).phase == "failed"
    assert rollout.failed == 0
