"""Who tries to get a model out without a verdict that passed, and what becomes of it.

Every adapter is a real one and Dagster runs in process. Each attempt has to end with the words
that say why, and to leave nothing behind: no version, no alias, no rollout, no promotion.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from mlops_assets.adapters.in_memory import FixedClock
from mlops_assets.adapters.journal import read_routing, write_once
from mlops_assets.components.assets import build_assets
from mlops_assets.components.metadata import check_result
from mlops_assets.lifecycle.verdicts import Verdict
from mlops_assets_tests.loop.conftest import (
    AS_OF,
    EXAMPLE,
    QUIET,
    RAIN,
    MakeWorld,
    World,
    failure,
    materialized,
    range_of,
)

NOW = datetime(2016, 2, 1, 12, tzinfo=UTC)
LENIENT = {"gates": {"minimum": {"auc": 0.5}, "minimum_rows": 150}}
PERSON = {"by": "the weather desk", "reason": "the forecast is needed today"}


def let_out(world: World) -> dict[str, Any]:
    """All that says that a model is out, or on its way."""
    said = {kind: world.rows(kind) for kind in ("version", "rollout", "promotion")}
    registered = [(known.version, known.digest, known.aliases) for known in world.versions()]
    return {**said, "registered": registered, "routing": read_routing(world.ledger, RAIN)}


@contextmanager
def nothing_let_out(world: World) -> Iterator[None]:
    before = let_out(world)
    yield
    assert let_out(world) == before


def refused(world: World, as_of: str, said: str) -> str:
    """How the refusal of the latest model as of a partition begins."""
    return f"{RAIN}: model {world.latest('trained_model', as_of)['digest'][:12]} {said}"


def release(world: World, version: str) -> Any:
    """Launch the release of a version whose partition somebody has added by hand."""
    world.instance.add_dynamic_partitions(f"{RAIN}__versions", [version])
    return world.job("release", version)


# A model that failed its gates --------------------------------------------------------------


@pytest.fixture(scope="module")
def failed(make_world: MakeWorld, ingested: World) -> World:
    """A model as of 2015 that its gates have stopped; nothing was ever let out here."""
    world = make_world(ingested.model.spec.model_dump(include={"gates"}), rows_of=ingested)
    assert not world.job("train", AS_OF).success
    return world


@pytest.fixture
def nothing(failed: World) -> Iterator[World]:
    """The failed model; whatever a test does with it, nothing may be out afterwards."""
    with nothing_let_out(failed):
        yield failed
    assert let_out(failed)["version"] == let_out(failed)["registered"] == []


JUDGED = "was judged failed: auc_is_high_enough: auc 0."


def test_the_asset_of_the_version_launched_alone(nothing):
    said = failure(nothing.materialize("model_version", AS_OF))
    assert said.startswith(refused(nothing, AS_OF, JUDGED))


def test_the_whole_job_stops_at_the_gate(nothing):
    result = nothing.job("train", AS_OF)
    assert "auc_is_high_enough" in failure(result)
    assert "evaluation" in materialized(result)
    assert "model_version" not in materialized(result)


def test_a_selection_without_the_evaluation(nothing):
    later = "2015-02-01"
    result = nothing.select(["training_set", "trained_model", "model_version"], later)
    assert materialized(result) == {"training_set", "trained_model"}
    assert failure(result) == refused(
        nothing, later, "has no verdict; materialize its evaluation first"
    )


def test_a_range_of_versions_as_one_run(nothing):
    months = ("2014-12-01", AS_OF)
    fitting = ["training_set", "trained_model", "evaluation"]
    assert nothing.select(fitting, tags=range_of(*months)).success
    summary, *reasons = failure(
        nothing.select(["model_version"], tags=range_of(*months))
    ).splitlines()
    assert summary == f"2 partition(s) of {RAIN}/model_version failed, 0 done."
    for month, reason in zip(months, reasons, strict=True):
        assert reason.startswith(f"{month}: {refused(nothing, month, JUDGED)}")
    whole = nothing.select([*fitting, "model_version"], tags=range_of(*months))
    assert failure(whole).startswith(summary)


def test_automation_that_asks_for_each_new_version(nothing):
    """A copy of the asset that follows its inputs, evaluated and launched as the daemon does."""
    version = nothing.key("model_version")
    asked = dg.AutomationCondition.any_deps_updated()

    def automate(spec: dg.AssetSpec) -> dg.AssetSpec:
        return spec.replace_attributes(automation_condition=asked) if spec.key == version else spec

    assets = [asset.map_asset_specs(automate) for asset in build_assets(nothing.model)]
    location = nothing.define(assets)
    first = dg.evaluate_automation_conditions(location, nothing.instance)
    assert nothing.materialize("evaluation", AS_OF, again=True).success is False
    ticked = dg.evaluate_automation_conditions(location, nothing.instance, cursor=first.cursor)
    assert ticked.get_requested_partitions(version) == {AS_OF}
    launched = dg.materialize(
        assets,
        selection=[version],
        partition_key=AS_OF,
        run_config=QUIET,
        instance=nothing.instance,
        resources=nothing.resources,
        raise_on_error=False,
    )
    assert failure(launched).startswith(refused(nothing, AS_OF, JUDGED))


def test_an_evaluation_reported_by_hand_as_materialized(nothing):
    for asset in ("evaluation", "model_version"):
        by_hand = dg.AssetMaterialization(nothing.key(asset), partition=AS_OF)
        nothing.instance.report_runless_asset_event(by_hand)
    said = failure(nothing.materialize("model_version", AS_OF))
    assert said.startswith(refused(nothing, AS_OF, JUDGED))


def test_gates_reported_by_hand_as_green(nothing):
    key = nothing.key("evaluation")
    for gate in nothing.model.spec.gates.names:
        green = check_result(Verdict(gate, "passed", "looks fine"), key)
        nothing.instance.report_runless_asset_event(
            dg.AssetCheckEvaluation(
                asset_key=key, check_name=gate, passed=True, metadata=green.metadata
            )
        )
    said = failure(nothing.materialize("model_version", AS_OF))
    assert said.startswith(refused(nothing, AS_OF, JUDGED))


def test_gates_loosened_after_the_verdict(nothing):
    said = failure(nothing.stating(LENIENT).materialize("model_version", AS_OF))
    assert said == refused(
        nothing,
        AS_OF,
        "was judged by other gates than defs.yaml states now; materialize its evaluation again",
    )


def test_a_partition_of_the_deployment_added_by_hand(nothing):
    said = failure(release(nothing, "v7"))
    assert said == f"{RAIN} v7: the registry has no such version"


def test_a_rollback_when_nothing_was_released(nothing):
    said = failure(nothing.job("roll_back"))
    assert said == f"{RAIN}: nothing was released yet"


def test_an_approval_of_what_was_never_registered(nothing):
    approval = {"version": "v1", **PERSON}
    said = failure(nothing.launch("approve", approve_version=approval))
    assert said == f"approve: {RAIN} has no version 'v1', it has none"


# Overrides that nobody answers for, or that are about something else ------------------------


@pytest.mark.parametrize(
    ("differing", "said"),
    [
        ({"by": "  "}, "override: 'by' is empty; name the person who answers for it"),
        ({"reason": "because"}, "override: reason 'because' is shorter than 10 characters"),
        ({"expires": "2016-01-31"}, "override: expires 2016-01-31 00:00 has passed"),
        ({"expires": "soon"}, "override: expires 'soon' is no ISO 8601 moment"),
        ({"expires": ""}, "override: expires '' is no ISO 8601 moment"),
    ],
)
def test_an_override_that_says_too_little(nothing, differing, said):
    world = nothing.timed_by(FixedClock(NOW))
    given = {**PERSON, "expires": "2016-03-01", **differing}
    assert failure(world.materialize("gate_override", AS_OF, **given)).startswith(said)
    assert world.rows("override") == []
    assert not world.materialize("model_version", AS_OF).success


@pytest.mark.parametrize("missing", ["by", "reason", "expires"])
def test_an_override_without_name_reason_or_end(nothing, missing):
    given = {**PERSON, "expires": "2116-03-01"}
    del given[missing]
    with pytest.raises(dg.DagsterInvalidConfigError, match=missing):
        nothing.materialize("gate_override", AS_OF, **given)


def test_an_override_where_there_is_no_verdict(nothing):
    later = "2015-03-01"
    assert nothing.select(["training_set", "trained_model"], later).success
    said = failure(nothing.materialize("gate_override", later, **PERSON, expires="2116-03-01"))
    assert "has no verdict to override; materialize its evaluation first" in said
    assert nothing.rows("override") == []


def test_an_override_that_has_expired(nothing):
    clock, later = FixedClock(NOW), "2015-04-01"
    world = nothing.timed_by(clock)
    assert not world.job("train", later).success
    assert world.materialize("gate_override", later, **PERSON, expires="2016-02-02").success
    clock.at += timedelta(days=1)
    said = failure(world.materialize("model_version", later))
    expected = "was judged failed and its override by the weather desk expired 2016-02-01T12:00"
    assert said.startswith(
        refused(world, later, expected.replace("2016-02-01T12", "2016-02-02T00"))
    )


def test_an_override_of_an_older_verdict(nothing):
    """The gates were put otherwise and back since: what the person saw is not the last word."""
    later = "2015-05-01"
    assert not nothing.job("train", later).success
    assert nothing.materialize("gate_override", later, **PERSON, expires="2116-02-02").success
    others = {"gates": {"minimum": {"auc": 0.998}, "minimum_rows": 150}}
    for world in (nothing.stating(others), nothing):
        assert not world.materialize("evaluation", later, again=True).success
    said = failure(nothing.materialize("model_version", later))
    assert said.startswith(refused(nothing, later, JUDGED))


def test_an_override_under_other_gates(nothing):
    later = "2015-06-01"
    assert not nothing.job("train", later).success
    assert nothing.materialize("gate_override", later, **PERSON, expires="2116-02-02").success
    others = {"gates": {"minimum": {"auc": 0.998}, "minimum_rows": 150}}
    said = failure(nothing.stating(others).materialize("model_version", later))
    assert said.startswith(refused(nothing, later, "was judged by other gates"))


def test_an_override_of_another_model_as_of_the_same_partition(nothing):
    later = "2015-07-01"
    assert not nothing.job("train", later).success
    assert nothing.materialize("gate_override", later, **PERSON, expires="2116-02-02").success
    other = {"trained_model": {"estimator": "build_prior"}}
    assert nothing.select(["trained_model"], later, other).success
    assert not nothing.materialize("evaluation", later).success
    said = failure(nothing.materialize("model_version", later))
    assert said.startswith(refused(nothing, later, JUDGED))


# A ledger, a registry or a disk that somebody wrote to by hand -------------------------------


@pytest.mark.parametrize(
    ("differing", "said"),
    [
        ({}, "was judged on another model; materialize its evaluation again"),
        ({"model": "its own"}, "was judged on another training set; materialize its evaluation"),
        (
            {"model": "its own", "training_set": "its own"},
            "was judged by other gates than defs.yaml states now; materialize its evaluation again",
        ),
    ],
)
def test_a_verdict_copied_from_another_model(nothing, passed, differing, said):
    as_of = "2014-11-01"
    assert nothing.select(["training_set", "trained_model"], as_of).success
    trained = nothing.latest("trained_model", as_of)
    copied = passed.latest("verdict", passed.latest("trained_model", AS_OF)["digest"])
    own = {"model": trained["digest"], "training_set": trained["training_set"]}
    forged = {**copied, **{name: own[name] for name in differing}}
    write_once(nothing.ledger, "verdict", RAIN, trained["digest"], forged, NOW)
    assert failure(nothing.materialize("model_version", as_of)).startswith(
        refused(nothing, as_of, said)
    )


def test_a_version_registered_in_mlflow_by_hand_with_the_champion_alias(failed):
    registry, trained = failed.resources["registry"], failed.latest("trained_model", AS_OF)
    files = failed.resources["model_files"].path(trained["digest"]).as_uri()
    version = registry.register(RAIN, trained["digest"], files, {}).version
    registry.set_alias(RAIN, "champion", version)
    with nothing_let_out(failed):
        assert failure(release(failed, version)) == (
            f"{RAIN} {version}: the registry's digest is not the recorded one; it was registered "
            "or edited by other hands, train and register it again"
        )
        assert failed.ask("advance_rollout") == "no rollout in progress and no new version"
        assert failed.resources["serving"].stop() is False
    # A row in the ledger as well changes nothing: the verdict is asked for at every step.
    recorded = {key: trained[key] for key in ("digest", "training_set", "code")}
    row = {**recorded, "train_as_of": AS_OF, "uri": files}
    write_once(failed.ledger, "version", RAIN, version, row, NOW)
    with nothing_let_out(failed):
        assert failure(release(failed, version)).startswith(refused(failed, AS_OF, JUDGED))
        assert failed.ask("advance_rollout") == "no rollout in progress and no new version"
        approval = failed.launch("approve", approve_version={"version": version, **PERSON})
        assert failure(approval).startswith(refused(failed, AS_OF, JUDGED))


# A model that passed its gates, and what is put in its place afterwards ----------------------


@pytest.fixture(scope="module")
def passed(make_world: MakeWorld, ingested: World) -> World:
    """A model as of 2015 that passed its gates and was registered."""
    world = make_world({"rollout": {"ready_timeout": 5}}, rows_of=ingested)
    assert world.job("train", AS_OF).success
    return world


def judged(world: World, as_of: str) -> str:
    """Train and evaluate as of a partition; the model passes. Returns its digest."""
    made = world.select(["training_set", "trained_model", "evaluation"], as_of)
    assert made.success, failure(made)
    digest: str = world.latest("trained_model", as_of)["digest"]
    assert world.latest("verdict", digest)["outcome"] == "passed"
    return digest


def test_another_estimator_after_a_verdict_that_passed(passed):
    as_of = "2015-02-01"
    first = judged(passed, as_of)
    with nothing_let_out(passed):
        other = {"trained_model": {"estimator": "build_prior"}}
        result = passed.select(["trained_model", "model_version"], as_of, other)
        assert passed.latest("trained_model", as_of)["digest"] != first
        assert failure(result) == refused(
            passed, as_of, "has no verdict; materialize its evaluation first"
        )
        assert "auc_is_high_enough" in failure(
            passed.launch("train", as_of, trained_model={"estimator": "build_prior"})
        )


def test_other_rows_after_a_verdict_on_all_rows(passed):
    as_of = "2015-03-01"
    first = judged(passed, as_of)
    rows = {"training_set": {"rows": "complete_cases"}}
    with nothing_let_out(passed):
        result = passed.select(["training_set", "trained_model", "model_version"], as_of, rows)
        assert passed.latest("trained_model", as_of)["digest"] != first
        assert failure(result) == refused(
            passed, as_of, "has no verdict; materialize its evaluation first"
        )


def test_other_test_rows_for_a_model_that_was_trained_before(passed):
    """The training set is made anew between training and evaluation."""
    as_of = "2015-04-01"
    assert passed.select(["training_set", "trained_model"], as_of).success
    rows = {"training_set": {"rows": "complete_cases"}}
    assert passed.select(["training_set", "evaluation"], as_of, rows).success
    with nothing_let_out(passed):
        assert failure(passed.materialize("model_version", as_of)) == refused(
            passed, as_of, "was judged on another training set; materialize its evaluation again"
        )


def test_model_py_edited_between_training_and_evaluation(passed, tmp_path):
    as_of = "2015-05-01"
    assert passed.select(["training_set", "trained_model"], as_of).success
    written = (EXAMPLE / "model.py").read_text()
    (tmp_path / "model.py").write_text(f"{written}\n\n# edited since\n")
    edited = passed.stating({"rollout": {"ready_timeout": 5}}, tmp_path)
    assert edited.materialize("evaluation", as_of).success
    with nothing_let_out(passed):
        for world in (edited, passed):
            assert failure(world.materialize("model_version", as_of)) == refused(
                passed,
                as_of,
                "was judged with another model.py than it was trained with; train and evaluate "
                "it again",
            )


def test_model_files_swapped_before_the_evaluation(passed):
    as_of = "2015-06-01"
    assert passed.select(["training_set", "trained_model"], as_of).success
    with nothing_let_out(passed):
        swap(passed, passed.latest("trained_model", as_of)["digest"])
        said = failure(passed.materialize("evaluation", as_of))
        assert "model files" in said
        assert not passed.materialize("model_version", as_of).success


def test_a_verdict_replaced_by_one_that_failed_after_the_registration(passed):
    as_of = "2015-07-01"
    assert passed.job("train", as_of).success
    version = passed.ledger.latest("version", RAIN).subject
    digest = passed.latest("version", version)["digest"]
    worse = {**passed.latest("verdict", digest), "outcome": "failed", "reason": "judged again"}
    with nothing_let_out(passed):
        write_once(passed.ledger, "verdict", RAIN, digest, worse, NOW)
        said = failure(passed.job("release", version))
        assert said == refused(passed, as_of, "was judged failed: judged again")
        assert passed.ask("advance_rollout") == "no rollout in progress and no new version"


def test_a_release_without_the_approval_that_defs_yaml_asks_for(passed):
    cautious = passed.stating({"rollout": {"approval": True}})
    with nothing_let_out(passed):
        said = failure(cautious.job("release", "v1"))
        assert said == f"{RAIN}: v1 waits for approval; launch {RAIN}__approve"


def test_files_of_a_registered_version_swapped_on_disk_get_no_request(passed):
    """The last test of this world: its rollout begins, and ends at once."""
    digest = passed.latest("version", "v1")["digest"]
    swap(passed, digest)
    before = let_out(passed)
    assert passed.job("release", "v1").success
    after = let_out(passed)
    assert after["promotion"] == before["promotion"] == []
    ended = after["rollout"][-1]
    assert (ended["version"], ended["phase"], ended["weight"]) == ("v1", "failed", 0)
    assert ended["reason"].startswith("the endpoint did not load v1")
    assert after["routing"] == before["routing"]
    assert "champion" not in {alias for *_, aliases in after["registered"] for alias in aliases}


def swap(world: World, digest: str) -> None:
    """Put the files of another model in the place of this one's."""
    folder = world.resources["model_files"].path(digest)
    others = {row["digest"] for row in world.rows("trained_model")} - {digest}
    other = world.resources["model_files"].path(sorted(others)[0])
    assert isinstance(folder, Path)
    shutil.rmtree(folder)
    shutil.copytree(other, folder)


def test_every_attempt_was_made_against_a_model_that_was_there(failed, passed):
    """The attempts mean something only where there was a model to let out."""
    assert failed.resources["model_files"].holds(failed.latest("trained_model", AS_OF)["digest"])
    assert read_routing(failed.ledger, RAIN).targets == ()
    assert len(passed.rows("version")) == 2
