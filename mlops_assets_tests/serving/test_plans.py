"""Plans of a model's requests: made once, and again when what they rest on has changed."""

from __future__ import annotations

import pytest

from mlops_assets.lifecycle.errors import RequestError
from mlops_assets.lifecycle.rollout.state import CutOff
from mlops_assets.serving.answering import plans
from mlops_assets.serving.answering.plans import Plans
from mlops_assets.serving.routing.catalog import Catalog


class Table:
    """What is looked up, to be changed by the test."""

    def __init__(self):
        self.keys, self.optional = frozenset(), frozenset()

    def inputs(self, _):
        return self.keys

    def features(self, _):
        return self.optional

    def fill(self, model, columns, height):
        raise NotImplementedError

    def follow(self, models):
        pass


@pytest.fixture
def catalog(server):
    return Catalog(server.watch)


def test_a_plan_is_kept_while_nothing_changes(catalog):
    kept = Plans(catalog, None)
    first = kept.find("delays", None)
    assert kept.find("delays", None) is first
    assert first.arm == "primary"
    assert first.trial is None


def test_a_new_routing_is_a_new_plan(server, world, catalog):
    kept = Plans(catalog, None)
    first = kept.find("delays", None)
    world.train("v2")
    world.roll_out("v2", 20, mirror=30)
    server.follow()
    second = kept.find("delays", None)
    assert second is not first
    assert (second.trial.version.name, second.trial.target.weight) == ("v2", 20)
    server.watch.cut_off("delays", CutOff("v2", world.digests["v2"], "it failed"))
    third = kept.find("delays", None)
    assert (third.trial.target.weight, third.trial.target.mirror) == (0, 0)


@pytest.mark.parametrize(("weight", "mirror", "takes"), [(0, 0, False), (5, 0, True), (0, 5, True)])
def test_what_a_version_on_trial_takes_may_come_once_it_is_asked(
    server, world, catalog, weight, mirror, takes
):
    world.train_wider("v2")
    world.roll_out("v2", weight, mirror=mirror)
    server.follow()
    plan = Plans(catalog, None).find("delays", None)
    assert ("gusts" in plan.inputs.kinds) == takes
    assert "gusts" not in plan.inputs.required
    named = Plans(catalog, None).find("delays", "v2")
    assert "gusts" in named.inputs.required
    assert named.arm == "canary"


def test_other_online_features_are_a_new_plan(catalog):
    table = Table()
    kept = Plans(catalog, table)
    assert kept.find("delays", None).inputs.required == {"distance", "carrier"}
    table.keys, table.optional = frozenset({"tail"}), frozenset({"distance"})
    inputs = kept.find("delays", None).inputs
    assert inputs.required == {"carrier"}
    assert inputs.kinds["tail"] == "key"


def test_a_version_that_is_refused_has_no_plan_although_it_had_one(server, world, catalog):
    world.train("v2")
    world.promote("v2")
    server.follow()
    kept = Plans(catalog, None)
    assert kept.find("delays", "v1").arm is None
    world.judge("v1", "failed")
    server.follow()
    with pytest.raises(RequestError, match="no verdict lets it pass"):
        kept.find("delays", "v1")


def test_plans_are_bounded(server, world, catalog, monkeypatch):
    monkeypatch.setattr(plans, "MAX_PLANS", 2)
    for version in ("v2", "v3"):
        world.train(version)
        world.promote(version)
        server.follow()
    kept = Plans(catalog, None)
    for name in ("v1", "v2", "v3", None) * 2:
        kept.find("delays", name)
        assert len(kept._kept) <= 2
