"""The rollouts that are simulated, and what is aimed at in each."""

from __future__ import annotations

import math
from dataclasses import dataclass

Ramp = tuple[tuple[int, int], ...]
"""From which look on the canary has which percent of the units."""

AT_TEN: Ramp = ((0, 10),)
RAMP: Ramp = ((0, 10), (125, 50))
SLOW_RAMP: Ramp = ((0, 10), (300, 50))


@dataclass(frozen=True)
class Scenario:
    """One kind of rollout.

    ``base`` is the share of requests that the baseline fails, times 1 + ``cycle`` sin(look), with
    a day of 100 looks; the canary fails ``added`` more. ``requests`` come between two looks.
    ``users``: so many return 20 times each and fall to the same arm each time; None gives every
    request a user of its own. ``promotes``: a version
    that is shown to be good ends its rollout, else it is watched to the end. ``every_guardrail``
    judges time, answers and outcomes too, none of which the canary changes. Of as many rollouts
    as asked for, one in ``one_in`` is simulated, for what it costs.
    """

    name: str
    aim: str
    base: float
    added: float = 0.0
    cycle: float = 0.0
    requests: int = 20
    looks: int = 1000
    ramp: Ramp = RAMP
    users: int | None = None
    promotes: bool = False
    every_guardrail: bool = False
    one_in: int = 1

    def weight(self, look: int) -> int:
        """Percent of the units that are the canary's at a look, counted from 0."""
        return self.weights[self.step(look)]

    @property
    def weights(self) -> tuple[int, ...]:
        """One per step."""
        return tuple(weight for _, weight in self.ramp)

    def step(self, look: int) -> int:
        """Which step of the ramp a look belongs to, from 0."""
        return sum(look >= start for start, _ in self.ramp) - 1

    def tide(self, look: int) -> float:
        """By how much failures are more frequent at this time of the day."""
        return 1 + self.cycle * math.sin(2 * math.pi * look / 100)


MARGIN = 0.01
"""How much worse a version may be and still be promoted."""

SCENARIOS = (
    Scenario(
        "equal, watched",
        "rolled back <= 1 %",
        0.02,
        cycle=0.8,
        requests=100,
        ramp=SLOW_RAMP,
        every_guardrail=True,
    ),
    Scenario(
        "equal, returning users",
        "rolled back <= 1 %",
        0.02,
        cycle=0.8,
        users=500,
        ramp=SLOW_RAMP,
    ),
    Scenario("fails all", "out within 20", 0.01, 0.99, requests=10, looks=200),
    Scenario("fails half", "out within 20", 0.01, 0.49, requests=10, looks=200),
    Scenario("+2 points on 1 %, at 10 %", "out within 700", 0.01, 0.02, ramp=AT_TEN),
    Scenario("+2 points on 2 %, at 10 %", "out within 1100", 0.02, 0.02, ramp=AT_TEN),
    Scenario("+2 points on 1 %, ramp", "", 0.01, 0.02),
    Scenario("+2 points on 2 %, ramp", "", 0.02, 0.02),
    Scenario("worse by 2 points", "promoted <= 1 %", 0.01, 0.02, promotes=True),
    Scenario("worse by the margin", "promoted <= 1 %", 0.01, 0.01, promotes=True),
    Scenario(
        "worse by 2, returning users",
        "promoted <= 1 %",
        0.0,
        0.02,
        users=2000,
        ramp=SLOW_RAMP,
        promotes=True,
        one_in=5,
    ),
    Scenario(
        "the margin, returning users",
        "promoted <= 1 %",
        0.0,
        0.01,
        users=2000,
        ramp=SLOW_RAMP,
        promotes=True,
        one_in=5,
    ),
    Scenario("equal on 1 %", "", 0.01, promotes=True),
    Scenario("equal on 0.1 %", "", 0.001, promotes=True),
)
