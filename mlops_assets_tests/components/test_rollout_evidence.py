"""A step rests on what its strategy asks for, and on no more."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest

from mlops_assets.adapters.journal import read_rollout, write_cut_off
from mlops_assets.components.stages.rollout_evidence import decision_threshold, gather_evidence
from mlops_assets.components.stages.rollout_steps import step_rollout
from mlops_assets.lifecycle.rollout.state import CutOff
from mlops_assets_tests.components.conftest import World
from mlops_assets_tests.examples.reading import read_example

A, B = ("a" * 64, "b" * 64)
NAME = "seattle_rain"
ANSWERED = datetime(2013, 6, 6, tzinfo=UTC)
DAY = datetime(2015, 2, 3, 12, tzinfo=UTC)
PREDICTION = {"threshold": 0.4}


def rolled_out(rollout: dict[str, Any], **sections: Any) -> World:
    """A world in which v1 serves and v2 took the first step of its rollout."""
    world = World(read_example(NAME, {"rollout": rollout, **sections}))
    for digest in (A, B):
        take(world, world.add_version(digest, "2015-01-01"))
    return world


def take(world: World, version: str = "v2") -> Any:
    ports = (world.ledger, world.registry, world.serving, world.telemetry, world.tables)
    return step_rollout(world.model, version, *ports, world.clock)


def look(world: World, **kept: Any) -> Any:
    state = read_rollout(world.ledger, NAME)
    return gather_evidence(world.model, state, world.ledger, world.telemetry, world.tables, **kept)


def log(world: World, *lines: dict[str, Any]) -> None:
    """Lines as the endpoint writes them: a request, its copy, each with its rain before."""
    for line in lines:
        at = line.pop("at", 0)
        rain = line.pop("rain", 0.0)
        whole = {
            "request_id": f"request {at}",
            "model": NAME,
            "version": "v1",
            "digest": A,
            "arm": "primary",
            "routed": True,
            "status": "ok",
            "unit": f"day {at}",
            "canary": "v2",
            "weight": 0,
            "received_at": (ANSWERED + timedelta(seconds=at)).isoformat(),
            "milliseconds": 1.0,
            "entity": [f"day {at}"],
            "time": [DAY.isoformat()],
            "features": {"rained_yesterday": [rain]},
            "probability": [0.3],
        }
        world.telemetry.log(NAME, whole | line)


def copied(at: int, probability: float, rain: float = 0.0) -> list[dict[str, Any]]:
    """An answered request and its copy."""
    copy = {"version": "v2", "digest": B, "arm": "shadow", "routed": False}
    return [
        {"at": at, "rain": rain},
        {"at": at, "rain": rain, **copy, "probability": [probability]},
    ]


def know(world: World, **labels: bool | None) -> None:
    """Labels that have arrived."""
    keys = world.model.calendar.keys
    day = next(key for key in keys if key == "2015-02-01")
    frame = pl.DataFrame(
        {
            world.model.spec.entities.key: [name.replace("_", " ") for name in labels],
            world.model.spec.label: list(labels.values()),
            "known_at": [DAY + timedelta(days=1)] * len(labels),
        },
        schema_overrides={world.model.spec.label: pl.Boolean},
    )
    world.tables.write(world.model.table("labels"), {day: frame})


class TestShadow:
    ROLLOUT = {"strategy": "shadow", "shadow": {"minimum_sample": 2, "labels": True}}  # noqa: RUF012

    def test_copies_are_compared_at_the_threshold_of_least_cost(self):
        costs = {"costs": {"false_alarm": 1, "miss": 3}, "slices": ["rained_yesterday"]}
        world = rolled_out(self.ROLLOUT, evaluation=costs)
        log(world, *copied(1, 0.2), *copied(2, 0.3, rain=1.0))
        shadow = look(world).shadow
        assert (shadow.units, shadow.agreement) == (2, 0.5)
        assert [(part["slice"], part["value"]) for part in shadow.slices] == [
            ("all", ""),
            ("rained_yesterday", "0"),
            ("rained_yesterday", "1"),
        ]

    def test_a_tick_does_not_cut_slices(self):
        world = rolled_out(self.ROLLOUT, evaluation={"slices": ["rained_yesterday"]})
        log(world, *copied(1, 0.2))
        assert len(look(world, slices=False).shadow.slices) == 1

    def test_given_a_slice_over_what_callers_do_not_send_then_it_is_left_out(self):
        world = rolled_out(self.ROLLOUT, evaluation={"slices": {"late": "winter > 0"}})
        log(world, *copied(1, 0.2))
        assert [part["slice"] for part in look(world).shadow.slices] == ["all"]

    def test_labels_that_have_arrived_give_paired_differences(self):
        world = rolled_out(self.ROLLOUT)
        log(world, *copied(1, 0.2), *copied(2, 0.9), *copied(3, 0.9))
        know(world, day_1=True, day_2=False, day_3=None)
        differences = look(world).shadow.differences
        assert np.allclose(differences, [0.8**2 - 0.7**2, 0.9**2 - 0.3**2])

    def test_before_any_label_there_are_no_differences_and_no_fault(self):
        world = rolled_out(self.ROLLOUT)
        log(world, *copied(1, 0.2))
        assert look(world).shadow.differences.tolist() == []

    def test_a_shadow_that_agrees_and_has_no_steps_becomes_champion(self):
        rollout = {"strategy": "shadow", "shadow": {"minimum_sample": 100, "agreement": 0.6}}
        world = rolled_out(rollout | {"analysis": {"error_margin": 0.05}})
        assert read_rollout(world.ledger, NAME).mirror == 100
        log(world, *(line for n in range(400) for line in copied(n, 0.31)))
        done = take(world)
        assert (done.decision.action, done.evidence.shadow.units) == ("promote", 400)

    def test_a_shadow_that_decides_otherwise_is_taken_away(self):
        world = rolled_out({"strategy": "shadow"})
        log(world, *(line for n in range(100) for line in copied(n, 0.9)))
        assert take(world).decision.action == "roll_back"


class TestOutcomes:
    ROLLOUT = {"strategy": "ab_test", "split": 50}  # noqa: RUF012

    def log_both(self, world: World, units: int) -> None:
        """Half of the units fell to v2, which knows the outcome better."""
        for at in range(units):
            canary = {"version": "v2", "digest": B, "arm": "canary", "probability": [0.1]}
            log(world, {"at": at, "weight": 50, **(canary if at % 2 else {"probability": [0.9]})})

    def test_first_answers_with_labels_are_losses_of_both_arms(self):
        world = rolled_out(self.ROLLOUT)
        self.log_both(world, 4)
        know(world, **{f"day_{at}": False for at in range(3)})
        outcomes = look(world).outcomes
        assert np.allclose(outcomes.loss, [0.81, 0.01, 0.81])
        assert outcomes.canary.tolist() == [False, True, False]
        assert outcomes.share.tolist() == [0.5] * 3

    def test_the_better_of_two_is_promoted_once_labels_say_so(self):
        world = rolled_out(self.ROLLOUT | {"analysis": {"minimum_sample": 50}})
        self.log_both(world, 400)
        assert take(world).decision.action == "hold"
        know(world, **{f"day_{at}": False for at in range(400)})
        assert take(world).decision.action == "promote"


def test_given_a_cut_off_then_the_step_takes_the_version_back_and_shows_why():
    world = rolled_out({"strategy": "canary", "steps": [10]})
    write_cut_off(world.ledger, NAME, CutOff("v2", B, "raised 5 times"), world.clock.now())
    done = take(world)
    assert done.evidence.cut_off == "raised 5 times"
    assert (done.decision.action, done.state.phase) == ("roll_back", "failed")
    assert "raised 5 times" in done.state.reason


def test_given_a_cut_off_before_its_first_request_then_it_never_gets_one(world):
    ports = (world.ledger, world.registry, world.serving, world.telemetry, world.tables)
    step_rollout(world.model, world.add_version(A), *ports, world.clock)
    version = world.add_version(B)
    write_cut_off(world.ledger, world.name, CutOff(version, B, "by hand"), world.clock.now())
    done = step_rollout(world.model, version, *ports, world.clock)
    assert done.decision.action == "roll_back"


def test_windows_are_asked_for_since_the_rollout_began_with_the_policys_limits(world):
    asked = []
    for digest in (A, B):
        version = world.add_version(digest)
        began = world.clock.at
        world.clock.at += timedelta(minutes=1)
        ports = (world.ledger, world.registry, world.serving, world.telemetry, world.tables)
        step_rollout(world.model, version, *ports, world.clock)

    def windows(*named: Any, **kept: Any) -> tuple[()]:
        asked.append((*named, kept))
        return ()

    world.telemetry.windows = windows
    world.clock.at += timedelta(days=1)
    state = read_rollout(world.ledger, world.name)
    gather_evidence(world.model, state, world.ledger, world.telemetry, world.tables)
    ((name, version, since, kept),) = asked
    assert (name, version) == (world.name, "v2")
    assert began < since < world.clock.at - timedelta(hours=23)
    assert kept == {"slow_milliseconds": 250, "threshold": 0.25}


@pytest.mark.parametrize(
    ("analysis", "costs", "threshold"),
    [
        ({}, {}, 0.5),
        ({}, {"false_alarm": 1, "miss": 3}, 0.25),
        ({}, {"threshold": 0.7}, 0.7),
        ({"prediction": PREDICTION}, {"false_alarm": 1, "miss": 3}, 0.4),
    ],
)
def test_the_threshold_is_that_of_the_guardrail_else_that_of_least_cost(analysis, costs, threshold):
    rollout = {"strategy": "canary", "steps": [10], "analysis": analysis}
    model = read_example(NAME, {"rollout": rollout, "evaluation": {"costs": costs}})
    assert decision_threshold(model) == threshold
