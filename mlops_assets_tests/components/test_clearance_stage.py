"""A person answers in the ledger: what was overridden or approved, by whom, why and until when."""

from __future__ import annotations

from dataclasses import asdict, fields
from datetime import timedelta

import pytest

from mlops_assets.adapters.journal import may_serve, write_once
from mlops_assets.components.stages.clearance import (
    approve,
    bound_of,
    find_objection,
    override,
    require_clearance,
)
from mlops_assets.components.stages.registration import register
from mlops_assets.components.stages.training import TrainedModel
from mlops_assets.lifecycle.clearance import Bound
from mlops_assets.lifecycle.errors import RefusedError, TrainingError

A, B = "a" * 64, "b" * 64
AS_OF = "2013-04-01"
BY, WHY = "the flight desk", "the drop is known and accepted"
APPROVAL = {"    start: automatic\n": "    start: automatic\n    approval: true\n"}


def record_trained(world, digest: str = A, as_of: str = AS_OF) -> TrainedModel:
    """What the asset ``trained_model`` leaves in the ledger."""
    known = world.recorded(digest, as_of)
    bound = {key: known[key] for key in ("digest", "training_set", "code")}
    what_nobody_asks_here = dict.fromkeys(field.name for field in fields(TrainedModel))
    named = {**what_nobody_asks_here, **bound, "as_of": as_of, "model_uri": known["uri"]}
    trained = TrainedModel(**named)
    write_once(world.ledger, "trained_model", world.name, as_of, asdict(trained), world.clock.now())
    return trained


def override_now(world, by=BY, reason=WHY, expires="2013-06-07", as_of=AS_OF):
    return override(world.model, as_of, by, reason, expires, world.ledger, world.clock)


def cleared(world, digest: str = A):
    bound = bound_of(world.model, world.recorded(digest))
    return require_clearance(world.model, bound, world.ledger, world.clock)


def register_now(world, as_of: str = AS_OF):
    return register(world.model, as_of, world.ledger, world.registry, world.clock)


def refusal(world, act, *arguments, **named) -> str:
    """What is said when something is refused; nothing is written then."""
    before = world.ledger.position()
    with pytest.raises(RefusedError) as refused:
        act(world, *arguments, **named)
    assert world.ledger.position() == before
    return str(refused.value)


@pytest.fixture
def failed(world):
    """A world with a trained model that did not pass its gates."""
    record_trained(world)
    world.judge(A, outcome="failed", reason="auc 0.5")
    return world


def test_what_a_verdict_has_to_be_about_comes_from_the_recorded_model_and_todays_gates(world):
    trained = record_trained(world)
    expected = Bound(A, trained.training_set, world.model.code_digest, world.model.policy_digest)
    assert bound_of(world.model, asdict(trained)) == expected
    assert bound_of(world.model, world.recorded(A)) == expected


class TestOverride:
    def test_given_a_failed_verdict_then_the_model_goes_on_and_the_person_is_named(self, failed):
        digest, made = override_now(failed)
        assert (digest, made.by, made.verdict) == (A, BY, 1)
        assert made.policy == failed.model.policy_digest
        assert failed.rows("override", A) == [asdict(made)]
        assert cleared(failed).override == made
        assert may_serve(failed.ledger, failed.name, A)

    def test_given_an_override_then_the_registered_version_says_so(self, failed):
        override_now(failed)
        done = register_now(failed)
        assert done.version.tags["verdict"] == "overridden"
        assert (
            done.version.tags["clearance"]
            == f"was overridden by {BY} until 2013-06-07T00:00: {WHY}"
        )
        assert failed.aliases() == {"challenger": "v1"}
        assert failed.rows("version", "v1") == [
            {**failed.recorded(A, AS_OF), "uri": done.version.uri}
        ]

    def test_given_its_end_has_come_then_nothing_new_is_registered(self, failed):
        override_now(failed)
        failed.clock.at += timedelta(days=2)
        said = refusal(failed, register_now)
        assert f"its override by {BY} expired 2013-06-07T00:00: auc 0.5" in said
        assert failed.registry.versions(failed.name) == []

    def test_given_an_evaluation_again_then_the_new_verdict_has_to_be_overridden_too(self, failed):
        override_now(failed)
        failed.judge(A, outcome="failed", reason="auc 0.4")
        assert refusal(failed, cleared).endswith("was judged failed: auc 0.4")
        override_now(failed)
        assert cleared(failed).override.verdict == 2

    def test_given_other_gates_since_then_the_override_is_void(self, failed, make_model):
        override_now(failed)
        failed.model = make_model({"minimum: {auc: ": "minimum: {log_loss: 0.1, auc: "})
        assert "by other gates than defs.yaml states now" in refusal(failed, cleared)

    def test_given_a_model_trained_again_then_the_override_is_not_for_the_new_one(self, failed):
        override_now(failed)
        record_trained(failed, B)
        failed.judge(B, outcome="failed", reason="auc 0.5")
        assert "was judged failed" in refusal(failed, register_now)
        assert cleared(failed, A).override

    def test_given_a_verdict_that_passed_then_there_is_nothing_to_override(self, world):
        record_trained(world)
        world.judge(A)
        assert refusal(world, override_now) == (
            f"override: model {A[:12]} as of {AS_OF} passed its gates; there is nothing to override"
        )

    def test_given_no_verdict_then_it_has_to_be_evaluated_first(self, world):
        record_trained(world)
        assert refusal(world, override_now) == (
            f"override: model {A[:12]} as of {AS_OF} has no verdict to override; materialize its "
            "evaluation first"
        )

    def test_given_no_model_then_it_has_to_be_trained_first(self, world):
        with pytest.raises(TrainingError, match=f"none as of {AS_OF}; materialize trained_model"):
            override_now(world)

    @pytest.mark.parametrize(
        ("differences", "said"),
        [
            ({"by": " "}, "override: 'by' is empty"),
            ({"reason": "trust me"}, "is shorter than 10 characters"),
            ({"expires": "2013-06-05T12:30"}, "expires 2013-06-05 12:30 has passed"),
            ({"expires": "never"}, "expires 'never' is no ISO 8601 moment"),
        ],
    )
    def test_given_nobody_answers_for_it_then_refused(self, failed, differences, said):
        assert said in refusal(failed, override_now, **differences)

    def test_given_the_same_twice_then_it_is_one_row(self, failed):
        assert override_now(failed) == override_now(failed)
        assert len(failed.rows("override", A)) == 1


class TestRegister:
    def test_given_a_verdict_that_passed_then_the_version_says_so(self, world):
        record_trained(world)
        world.judge(A)
        done = register_now(world)
        assert (done.clearance.override, done.version.tags["verdict"]) == (None, "passed")
        assert done.version.tags["clearance"] == "passed its gates"

    @pytest.mark.parametrize("key", ["model", "training_set", "code", "policy"])
    def test_given_a_verdict_about_something_else_then_nothing_is_registered(self, world, key):
        record_trained(world)
        world.judge(A, **{key: "f" * 64})
        assert f"model {A[:12]} was judged " in refusal(world, register_now)
        assert world.registry.versions(world.name) == []


class TestApprove:
    def approve(self, world, version="v1", by=BY, reason=WHY) -> str:
        return approve(world.model, version, by, reason, world.ledger, world.clock)

    def refusal(self, world, **named) -> str:
        return refusal(world, self.approve, **named)

    def test_given_a_version_that_passed_then_who_approved_it_is_kept(self, world):
        version = world.add_version(A)
        assert self.approve(world, by=f" {BY} ") == f"v1 was approved by {BY}; it passed its gates"
        assert world.rows("approval", A) == [{"version": version, "by": BY, "reason": WHY}]

    def test_given_an_overridden_version_then_the_one_who_approves_reads_so(self, world):
        world.add_version(A)
        world.judge(A, outcome="failed", reason="auc 0.5")
        world.override(A, world.clock.now() + timedelta(days=1))
        said = self.approve(world, by="the owner of flights")
        assert said.startswith("v1 was approved by the owner of flights; it was overridden by ")

    def test_given_a_version_that_did_not_pass_then_refused(self, world):
        world.add_version(A)
        world.judge(A, outcome="failed", reason="auc 0.5")
        assert self.refusal(world).endswith("was judged failed: auc 0.5")

    def test_given_no_such_version_then_those_there_are_are_named(self, world):
        assert self.refusal(world, version="v9") == (
            "approve: flight_delays has no version 'v9', it has none"
        )
        world.add_version(A)
        world.add_version(B)
        assert self.refusal(world, version="v9") == (
            "approve: flight_delays has no version 'v9', it has v1, v2"
        )

    def test_given_nobody_answers_for_it_then_refused(self, world):
        world.add_version(A)
        assert "approve: 'by' is empty" in self.refusal(world, by="")
        assert "approve: reason 'fine' is shorter" in self.refusal(world, reason="fine")

    def test_given_the_same_twice_then_it_is_one_row(self, world):
        world.add_version(A)
        assert self.approve(world) == self.approve(world)
        assert len(world.rows("approval", A)) == 1


class TestObjection:
    def test_given_approval_is_not_asked_for_then_nobody_has_to_be(self, world):
        version = world.add_version(A)
        assert find_objection(world.model, version, A, world.ledger) is None

    def test_given_approval_is_asked_for_then_a_version_waits_for_its_own(self, make_world):
        world = make_world(APPROVAL)
        for digest, version in ((A, "v1"), (B, "v2")):
            assert world.add_version(digest) == version
        approve(world.model, "v1", BY, WHY, world.ledger, world.clock)
        assert find_objection(world.model, "v1", A, world.ledger) is None
        assert find_objection(world.model, "v2", B, world.ledger) == (
            "v2 waits for approval; launch flight_delays__approve"
        )

    def test_given_another_model_under_the_same_version_then_the_approval_is_not_for_it(
        self, make_world
    ):
        world = make_world(APPROVAL)
        world.add_version(A)
        approve(world.model, "v1", BY, WHY, world.ledger, world.clock)
        assert find_objection(world.model, "v1", B, world.ledger)
