"""The spread of units over the arms."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from mlops_assets.lifecycle.rollout.state import Target
from mlops_assets.serving.arms import falls_to_canary

DIGEST = "a" * 64
UNITS = [f"flight-{number}" for number in range(4000)]


def canary(weight: int, digest: str = DIGEST) -> Target:
    return Target("v2", digest, weight, "canary")


@given(st.text(), st.integers(0, 100))
def test_the_same_unit_falls_the_same_way_each_time(unit: str, weight: int) -> None:
    first = falls_to_canary("delays", canary(weight), unit)
    assert all(falls_to_canary("delays", canary(weight), unit) == first for _ in range(3))


@given(st.text(), st.integers(0, 100), st.integers(0, 100))
def test_a_growing_weight_only_adds_units(unit: str, one: int, other: int) -> None:
    lower, higher = sorted((one, other))
    if falls_to_canary("delays", canary(lower), unit):
        assert falls_to_canary("delays", canary(higher), unit)


@given(st.text())
def test_weight_0_gives_nothing_and_weight_100_everything(unit: str) -> None:
    assert not falls_to_canary("delays", canary(0), unit)
    assert falls_to_canary("delays", canary(100), unit)


def test_the_share_of_units_is_the_weight() -> None:
    for weight in (5, 30, 50, 80):
        share = sum(falls_to_canary("delays", canary(weight), unit) for unit in UNITS) / len(UNITS)
        assert abs(share - weight / 100) < 0.03


def test_another_canary_draws_other_units() -> None:
    pairs = Counter(
        (
            falls_to_canary("delays", canary(50), unit),
            falls_to_canary("delays", canary(50, "b" * 64), unit),
        )
        for unit in UNITS
    )
    assert len(pairs) == 4
    assert min(pairs.values()) > len(UNITS) / 5
