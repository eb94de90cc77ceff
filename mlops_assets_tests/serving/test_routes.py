"""Who answers, as pure values."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_assets.lifecycle.rollout.state import Routing, Target
from mlops_assets.serving.routing.routes import (
    describe_routing,
    merge_served,
    restore_routing,
    silence,
)

OLD = Target("v1", "d1", 100, "primary")
NEW = Target("v2", "d2", 70, "primary")
CANARY = Target("v3", "d3", 30, "canary")


@pytest.mark.parametrize(
    ("able", "expected"),
    [
        ({"d1", "d2", "d3"}, [("v2", 70), ("v3", 30)]),
        ({"d2", "d3"}, [("v2", 70), ("v3", 30)]),
        ({"d1", "d2"}, [("v2", 100)]),
        ({"d1", "d3"}, [("v1", 70), ("v3", 30)]),
        ({"d1"}, [("v1", 100)]),
        ({"d3"}, [("v3", 0)]),
        (set(), []),
    ],
)
def test_who_answers_when_only_some_are_able(able, expected):
    served = merge_served(
        Routing("delays", (NEW, CANARY)), Routing("delays", (OLD,)), frozenset(able)
    )
    assert [(target.version, target.weight) for target in served.targets] == expected


def test_a_canary_that_answers_in_place_of_the_primary_takes_all_requests():
    wanted = Routing("delays", (NEW, Target("v1", "d1", 30, "canary", 50)))
    served = merge_served(wanted, Routing("delays", (OLD,)), frozenset({"d1"}))
    assert served.targets == (Target("v1", "d1", 100, "primary"),)


def test_copies_go_to_a_canary_that_is_able_and_never_without_a_primary():
    shadow = Target("v3", "d3", 0, "canary", 40)
    for able, mirror in (({"d2", "d3"}, 40), ({"d3"}, 0)):
        served = merge_served(
            Routing("delays", (NEW, shadow)), Routing("delays", ()), frozenset(able)
        )
        assert served.canary == Target("v3", "d3", 0, "canary", mirror)


@given(st.integers(0, 100), st.integers(0, 100), st.sets(st.sampled_from(["d2", "d3"])))
def test_what_is_cut_off_gets_nothing_and_the_primary_all_of_it(weight, mirror, cut_off):
    routing = Routing(
        "delays",
        (
            Target("v2", "d2", 100 - weight, "primary"),
            Target("v3", "d3", weight, "canary", mirror),
        ),
    )
    left = silence(routing, frozenset(cut_off))
    assert sum(target.weight for target in left.targets) == 100
    assert left.primary.digest == "d2"
    if "d3" in cut_off:
        assert (left.canary.weight, left.canary.mirror) == (0, 0)
    else:
        assert left == routing


@given(st.integers(0, 100), st.integers(0, 100))
def test_a_routing_reads_back_as_it_was_written(weight, mirror):
    routing = Routing("delays", (OLD, Target("v3", "d3", weight, "canary", mirror)))
    assert restore_routing(describe_routing(routing)) == routing
