"""The assets of retraining do what their stages do, one partition at a time."""

from __future__ import annotations

from typing import Any

import dagster as dg
import pytest

from mlops_assets.adapters.in_memory import InMemoryModelFiles
from mlops_assets.components.assets.retraining import (
    build_retraining_decision,
    build_retraining_outcome,
)

WEEK = "2013-05-20"
BUILD = {"decision": build_retraining_decision, "outcome": build_retraining_outcome}


@pytest.fixture
def materialize(resources):
    """Materialize one of the two in a world; its metadata as plain values."""

    def once(world, which: str, **more: Any) -> dict[str, Any]:
        asset = BUILD[which](world.model)
        given = {**resources(world), "model_files": InMemoryModelFiles()}
        wanted = {key: given[key] for key in asset.required_resource_keys - {"io_manager"}}
        done = dg.materialize([asset], resources=wanted, **({"partition_key": WEEK} | more))
        (made,) = done.asset_materializations_for_node(asset.op.name)
        return {name: value.value for name, value in made.metadata.items()}

    return once


def drifted(world) -> None:
    world.crown("v1", "a" * 64)
    for week in ("2013-05-13", WEEK):
        world.drift(week, "failed")


def test_the_decision_is_recorded_and_shown(world, materialize):
    drifted(world)
    shown = materialize(world, "decision")
    assert (shown["action"], shown["train_as_of"]) == ("retrain", "2013-05-27")
    assert shown["considered"].startswith("- by hand: nobody asked\n- performance: ")
    assert [row["action"] for row in world.rows("retraining", WEEK)] == ["retrain"]


def test_the_outcome_of_what_was_asked_for_is_waited_for_and_then_recorded(world, materialize):
    drifted(world)
    materialize(world, "decision")
    assert materialize(world, "outcome")["waiting"] == "- 2013-05-27: not trained yet"
    for week in ("2013-05-27", "2013-06-03"):
        world.drift(week, "failed")
    shown = materialize(world, "outcome")
    assert shown["newest_outcome"] == "did not serve"
    assert [row["outcome"] for row in world.rows("did_it_help", "2013-05-27")] == ["did_not_serve"]


@pytest.mark.parametrize("which", BUILD)
def test_several_partitions_in_one_run_are_refused(world, materialize, which):
    bounds = {"dagster/asset_partition_range_start": "2013-05-13"}
    bounds |= {"dagster/asset_partition_range_end": WEEK}
    with pytest.raises(dg.Failure, match="one partition at a time"):
        materialize(world, which, partition_key=None, tags=bounds)
