"""A process that ends at any call of the ledger or the registry, and is run again, ends whole."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from typing import Any

import pytest

from mlops_assets.adapters.in_memory import InMemoryLedger, InMemoryRegistry
from mlops_assets.adapters.journal import read_champion, read_rollout, read_routing, write_cut_off
from mlops_assets.components.stages import interventions
from mlops_assets.components.stages.rollout_steps import step_rollout
from mlops_assets.lifecycle.rollout.state import CutOff

A, B = ("a" * 64, "b" * 64)
SAID = ("the flight desk", "callers report odd answers")


class Killed(BaseException):
    """The process ended here."""


class Lifeline:
    """Counts calls of what it guards, and ends the process right before or after one of them."""

    def __init__(self, call: int, *, after: bool) -> None:
        self.left, self.after = call, after

    def guard(self, real: Any) -> Any:
        lifeline = self

        class Guarded:
            def __getattr__(self, name: str) -> Any:
                method = getattr(real, name)

                def called(*args: Any, **kept: Any) -> Any:
                    lifeline.left -= 1
                    if lifeline.left == 0 and not lifeline.after:
                        raise Killed
                    done = method(*args, **kept)
                    if lifeline.left == 0:
                        raise Killed
                    return done

                return called

        return Guarded()


def step(version: str) -> Callable[[Any], Any]:
    def act(w: Any) -> Any:
        ports = (w.ledger, w.registry, w.serving, w.telemetry, w.tables)
        return step_rollout(w.model, version, *ports, w.clock)

    return act


def by_hand(action: str) -> Callable[[Any], Any]:
    def act(w: Any) -> Any:
        registry = () if action in ("pause", "resume") else (w.registry,)
        done = getattr(interventions, action)
        return done(w.model, *SAID, w.ledger, *registry, w.clock, request="one launch")

    return act


def released(world: Any) -> None:
    step(world.add_version(A, "2013-03-04"))(world)


def waiting(world: Any) -> None:
    released(world)
    world.add_version(B, "2013-05-06")


def in_canary(world: Any) -> None:
    waiting(world)
    step("v2")(world)


def at_its_last_step(world: Any) -> None:
    in_canary(world)
    world.observe("v2", "v1")
    step("v2")(world)


def promoted(world: Any) -> None:
    at_its_last_step(world)
    step("v2")(world)


def harmful(world: Any) -> None:
    in_canary(world)
    world.observe("v2", "v1", errors=50)


def cut_off(world: Any) -> None:
    in_canary(world)
    write_cut_off(world.ledger, world.name, CutOff("v2", B, "raised"), world.clock.now())


def held(world: Any) -> None:
    in_canary(world)
    interventions.pause(world.model, *SAID, world.ledger, world.clock, request="the launch before")


def never_loading(world: Any) -> None:
    released(world)
    world.add_version(B, loads=False)


CASES: dict[str, tuple[Callable[[Any], None], Callable[[Any], Any]]] = {
    "the first release": (lambda world: world.add_version(A) and None, step("v1")),
    "the beginning of a canary": (waiting, step("v2")),
    "a version that does not load": (never_loading, step("v2")),
    "the promotion": (at_its_last_step, step("v2")),
    "a roll back on evidence": (harmful, step("v2")),
    "a roll back after a cut-off": (cut_off, step("v2")),
    "a step of an ended rollout": (promoted, step("v2")),
    "a pause": (in_canary, by_hand("pause")),
    "a resume": (held, by_hand("resume")),
    "an abort": (in_canary, by_hand("abort")),
    "a roll back by hand, in canary": (in_canary, by_hand("roll_back")),
    "a roll back by hand, of the champion": (promoted, by_hand("roll_back")),
}


def rows(world: Any) -> list[tuple[str, str, int, Any]]:
    """Everything that decisions rest on, in the order in which it was written."""
    kinds = ("rollout", "promotion", "intervention", "cut_off")
    found = [row for kind in kinds for row in world.ledger.history(kind, world.name)]
    return [(row.kind, row.subject, row.sequence, row.body) for row in found]


def require_whole(world: Any) -> None:
    """Ledger, aliases and routing say the same."""
    champion, state = (
        read_champion(world.ledger, world.name),
        read_rollout(world.ledger, world.name),
    )
    routing, aliases = read_routing(world.ledger, world.name), world.aliases()
    assert champion is not None
    assert routing.primary is not None
    assert (routing.primary.version, aliases["champion"]) == (champion.version, champion.version)
    assert sum(target.weight for target in routing.targets) == 100
    assert (routing.canary is not None) == state.active
    assert aliases.get("challenger") == (state.version if state.active else None)


def copied(world: Any) -> Any:
    """The same world, so that what is done to it leaves the other as it is."""
    ledger, registry = InMemoryLedger(), InMemoryRegistry()
    ledger._rows = list(world.ledger._rows)
    registry._versions = {name: list(of) for name, of in world.registry._versions.items()}
    registry._aliases = dict(world.registry._aliases)
    return replace(world, ledger=ledger, registry=registry)


def killed_at_each_call(begun: Any, act: Callable[[Any], Any], *, after: bool) -> Iterator[Any]:
    """The world as each process left it that ended one call later than the one before."""
    call = 0
    while True:
        call += 1
        world, lifeline = copied(begun), Lifeline(call, after=after)
        guarded = replace(
            world, ledger=lifeline.guard(world.ledger), registry=lifeline.guard(world.registry)
        )
        try:
            act(guarded)
        except Killed:
            yield world
        else:
            assert call > 3, "the process made hardly any call"
            return


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("case", CASES)
def test_killed_at_any_call_and_run_again_it_ends_as_an_unbroken_one(world, case, after):
    prepare, act = CASES[case]
    prepare(world)
    unbroken = copied(world)
    act(unbroken)
    require_whole(unbroken)
    for broken in killed_at_each_call(world, act, after=after):
        act(broken)
        assert rows(broken) == rows(unbroken)
        assert broken.aliases() == unbroken.aliases()
        require_whole(broken)


def test_a_champion_is_never_missing_between_two_calls(world):
    at_its_last_step(world)
    for broken in killed_at_each_call(world, step("v2"), after=True):
        routing = read_routing(broken.ledger, broken.name)
        assert sum(target.weight for target in routing.targets) == 100
        assert asdict(read_champion(broken.ledger, broken.name))["version"] in ("v1", "v2")
