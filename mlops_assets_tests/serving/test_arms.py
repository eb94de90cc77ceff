"""The spread of units over the arms."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from mlops_assets.lifecycle.rollout.state import Target
from mlops_assets.serving.answering.arms import falls_to_canary, is_mirrored

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


def shadow(mirror: int, weight: int = 0) -> Target:
    return Target("v2", DIGEST, weight, "canary", mirror)


@given(st.text(), st.integers(0, 100), st.integers(0, 100))
def test_a_growing_share_of_copies_only_adds_units(unit: str, one: int, other: int) -> None:
    lower, higher = sorted((one, other))
    if is_mirrored("delays", shadow(lower), unit):
        assert is_mirrored("delays", shadow(higher), unit)


@given(st.text(), st.integers(0, 100))
def test_which_units_are_copied_does_not_depend_on_the_weight(unit: str, weight: int) -> None:
    assert is_mirrored("delays", shadow(50, weight), unit) == is_mirrored(
        "delays", shadow(50), unit
    )


@given(st.text())
def test_no_copies_at_0_and_all_of_them_at_100(unit: str) -> None:
    assert not is_mirrored("delays", shadow(0), unit)
    assert is_mirrored("delays", shadow(100), unit)


def test_the_share_of_copies_is_that_of_the_units_the_primary_answers() -> None:
    target = shadow(30, 50)
    left = [unit for unit in UNITS if not falls_to_canary("delays", target, unit)]
    share = sum(is_mirrored("delays", target, unit) for unit in left) / len(left)
    assert abs(share - 0.3) < 0.04
