"""Registered is what the ledger lets pass, and what it says goes along with it."""

from __future__ import annotations

from datetime import timedelta

import pytest

from mlops_assets.lifecycle.errors import RefusedError, TrainingError
from mlops_assets_tests.components.bench import ALONE, AS_OF, Bench, make_bench

STRICT = {"gates": {"minimum": {"auc": 1.0}, "minimum_rows": 60}}


@pytest.fixture
def bench() -> Bench:
    made = make_bench(ALONE)
    made.make()
    return made


@pytest.fixture
def failed() -> Bench:
    made = make_bench(ALONE | STRICT)
    made.make()
    assert made.evaluate().verdict.outcome == "failed"
    return made


def nothing_registered(bench: Bench) -> bool:
    return bench.world.registry.versions(bench.model.name) == [] == bench.world.rows("version")


def test_given_a_verdict_that_passed_then_the_version_is_challenger_and_recorded(bench):
    trained = bench.evaluate().trained
    done = bench.register()
    assert (done.version.version, done.version.digest) == ("v1", trained.digest)
    assert bench.world.aliases() == {"challenger": "v1"}
    assert done.clearance.describe() == "passed its gates"
    (recorded,) = bench.world.rows("version")
    assert recorded == {
        "digest": trained.digest,
        "train_as_of": AS_OF,
        "uri": trained.model_uri,
        "training_set": trained.training_set,
        "code": trained.code,
    }


def test_the_registry_says_what_let_it_pass(bench):
    bench.evaluate()
    tags = bench.register().version.tags
    assert (tags["verdict"], tags["clearance"]) == ("passed", "passed its gates")
    assert tags["train_as_of"] == AS_OF


def test_given_no_model_then_what_to_materialize_first_is_said():
    with pytest.raises(TrainingError) as error:
        make_bench(ALONE).register()
    assert str(error.value) == (
        "trained model: none as of 2012-09-01; materialize trained_model first"
    )


def test_given_no_verdict_then_it_is_refused(bench):
    with pytest.raises(RefusedError, match="has no verdict; materialize its evaluation first"):
        bench.register()
    assert nothing_registered(bench)


def test_given_gates_that_fail_then_it_is_refused(failed):
    with pytest.raises(RefusedError, match=r"was judged failed: auc_is_high_enough: auc 0\."):
        failed.register()
    assert nothing_registered(failed)


def test_given_too_few_rows_to_judge_then_it_is_refused():
    bench = make_bench(ALONE | {"gates": {"minimum": {"auc": 0.6}, "minimum_rows": 9000}})
    bench.make()
    bench.evaluate()
    with pytest.raises(RefusedError, match="was judged inconclusive"):
        bench.register()
    assert nothing_registered(bench)


def test_given_a_model_newer_than_the_one_judged_then_the_newest_is_asked_for(bench):
    bench.train(estimator="build_tree")
    bench.evaluate()
    newest, _ = bench.train()
    with pytest.raises(RefusedError, match=f"model {newest.digest[:12]} has no verdict"):
        bench.register()


def test_given_an_override_that_holds_then_it_is_registered_and_says_by_whom(failed):
    digest = failed.train()[0].digest
    failed.world.override(digest, failed.world.clock.now() + timedelta(days=1))
    done = failed.register()
    assert done.clearance.override.by == "the flight desk"
    assert done.version.tags["verdict"] == "overridden"
    assert "the flight desk" in done.version.tags["clearance"]


def test_given_an_override_that_has_expired_then_it_is_refused(failed):
    digest = failed.train()[0].digest
    failed.world.override(digest, failed.world.clock.now() + timedelta(days=1))
    failed.world.clock.at += timedelta(days=1)
    with pytest.raises(RefusedError, match="override by the flight desk expired"):
        failed.register()
    assert nothing_registered(failed)


def test_given_the_champion_itself_registered_again_then_it_is_no_challenger(bench):
    trained = bench.evaluate().trained
    bench.world.crown("v1", trained.digest)
    assert "challenger" not in bench.register().version.aliases


def test_given_a_champion_trained_later_then_an_older_model_is_no_challenger(bench):
    bench.evaluate()
    bench.world.crown("v1", "a" * 64, "2012-12-01")
    assert bench.register().version.aliases == ()


def test_given_registered_again_then_it_is_the_same_version_once(bench):
    bench.evaluate()
    first, again = bench.register().version, bench.register().version
    assert first == again
    assert len(bench.world.rows("version")) == 1
