"""Two promoters that race for the same row of a real SQLite ledger: one wins, the other is told."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from threading import Barrier

import pytest
from sqlalchemy import event

from mlops_assets.adapters.journal import (
    ROLLOUT,
    read_champion,
    read_rollout,
    sequence_of,
    write_champion,
    write_rollout,
)
from mlops_assets.adapters.sql_ledger import SqlLedger
from mlops_assets.lifecycle.errors import LedgerConflict
from mlops_assets.lifecycle.rollout.decision import RolloutDecision
from mlops_assets.lifecycle.rollout.intervention import Intervention
from mlops_assets.lifecycle.rollout.state import Champion
from mlops_assets.lifecycle.rollout.strategy import apply_decision, begin_rollout

RACES = 1000
NAME = "flight_delays"


def hasty(ledger: SqlLedger) -> SqlLedger:
    """The ledger without waiting for the disk, which decides no race."""

    @event.listens_for(ledger._engine, "connect")
    def _(connection, _record):
        connection.execute("PRAGMA synchronous=OFF")

    ledger._engine.dispose()
    return ledger


class Race:
    """Two threads, each with a ledger (and an engine) of its own, that begin each race at once."""

    def __init__(self, url: str, clock) -> None:
        self.ledgers = [hasty(SqlLedger(url)) for _ in range(2)]
        self.at = clock.now()
        self.start = Barrier(2, timeout=60)

    def run(self, races: int, act) -> list[list[bool]]:
        """Per racer whether it won each race; ``act(ledger, racer, race, ready)`` raises
        ``LedgerConflict`` when it lost, and calls ``ready`` once it has read what it decides on.
        """

        def racer(number: int) -> list[bool]:
            won = []
            for race in range(races):
                try:
                    act(self.ledgers[number], number, race, self.start.wait)
                    won.append(True)
                except LedgerConflict:
                    won.append(False)
                self.start.wait()
            return won

        with ThreadPoolExecutor(2) as pool:
            return list(pool.map(racer, range(2)))


@pytest.fixture
def race(tmp_path, world):
    return Race(f"sqlite:///{tmp_path}/ledger.db", world.clock)


def test_of_two_promoters_exactly_one_wins_each_of_a_thousand_races(race):
    def promote(ledger, racer, number, ready):
        after = sequence_of(ledger, "promotion", NAME, "champion")
        ready()
        mine = Champion(f"v{2 * number + racer + 1}", f"{racer}" * 64, "2013-05-06")
        write_champion(ledger, NAME, mine, race.at, after=after)

    won = race.run(RACES, promote)
    assert [sum(pair) for pair in zip(*won, strict=True)] == [1] * RACES
    served = [row.body["version"] for row in race.ledgers[0].history("promotion", NAME)]
    winners = [f"v{2 * n + won[1][n] + 1}" for n in range(RACES)]
    assert served == winners
    assert read_champion(race.ledgers[1], NAME).version == winners[-1]


def test_of_a_promotion_and_an_abort_exactly_one_happens_and_is_whole(race):
    """The promotion writes two rows, the abort two others: never one of each."""
    races = 100

    def act(ledger, racer, number, ready):
        version = f"v{number + 1}"
        if racer == 0:
            begun = begin_rollout(version, "b" * 64, "2013-05-06", None, race.at)
            write_rollout(ledger, NAME, begun, race.at)
        ready()
        after, state = sequence_of(ledger, "rollout", NAME, ROLLOUT), read_rollout(ledger, NAME)
        ready()
        if racer == 0:
            moved = apply_decision(state, RolloutDecision("promote", 100, "good"), race.at)
            champion = Champion(version, state.digest, state.train_as_of)
            write_rollout(ledger, NAME, moved, race.at, after=after, promoted=champion)
        else:
            ended = apply_decision(state, RolloutDecision("roll_back", 0, "bad"), race.at)
            told = Intervention(version, "abort", version, "the desk", "told to", "ended")
            write_rollout(ledger, NAME, ended, race.at, after=after, told=told)

    won = race.run(races, act)
    assert [sum(pair) for pair in zip(*won, strict=True)] == [1] * races
    ledger = race.ledgers[0]
    promoted = {row.body["version"] for row in ledger.history("promotion", NAME)}
    ended = {row.body["version"] for row in ledger.history("intervention", NAME)}
    assert promoted == {f"v{n + 1}" for n in range(races) if won[0][n]}
    assert ended == {f"v{n + 1}" for n in range(races) if won[1][n]}
    phases = {row.body["version"]: row.body["phase"] for row in ledger.history("rollout", NAME)}
    assert {v for v, phase in phases.items() if phase == "succeeded"} == promoted
    assert {v for v, phase in phases.items() if phase == "failed"} == ended


def test_given_both_write_the_same_state_then_it_stands_there_once(race):
    def act(ledger, racer, number, ready):
        champion = Champion(f"v{number + 1}", "b" * 64, "2013-05-06")
        begun = begin_rollout(champion.version, champion.digest, "2013-05-06", None, race.at)
        after = sequence_of(ledger, "rollout", NAME, ROLLOUT)
        ready()
        write_rollout(ledger, NAME, replace(begun, weight=10), race.at, after=after)

    race.run(50, act)
    rows = race.ledgers[0].history("rollout", NAME)
    assert [row.body["version"] for row in rows] == [f"v{n + 1}" for n in range(50)]
