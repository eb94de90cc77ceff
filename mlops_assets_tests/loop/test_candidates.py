"""Several estimators, from the search for their parameters to the one model that is judged."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from mlops_assets.adapters.tracking_identity import IDENTITY
from mlops_assets.components.stages.training import UNCHANGED
from mlops_assets.components.stages.training_sets import load_split
from mlops_assets.lifecycle.training import predict_probability
from mlops_assets_tests.examples.reading import written
from mlops_assets_tests.loop.conftest import (
    AS_OF,
    ENSEMBLE,
    UI,
    MakeWorld,
    World,
    failure,
    materialized,
    shown,
)

CANDIDATES = ("recent", "seasonal", "tree")
FITTING = ("study", *(f"candidate_{name}" for name in CANDIDATES), "trained_model")
"""The assets that keep a tracking run."""

QUICK = {
    "tuning": None,
    "gates": {"minimum": {"auc": 0.5}, "minimum_rows": 150},
    "rollout": {},
}


def deep_tree(seed: int) -> dict[str, Any]:
    """A tree that is much too sure of itself; with others like it, it is less so."""
    parameters = {
        "classify__splitter": "random",
        "classify__max_depth": 6,
        "classify__min_samples_leaf": 6,
        "classify__random_state": seed,
    }
    return {"estimator": "build_tree", "parameters": parameters}


def identities(runs: list[Any]) -> list[tuple[str, ...]]:
    """What names each tracking run that is no child."""
    tags = [run.data.tags for run in runs]
    return [tuple(own[tag] for tag in IDENTITY) for own in tags if "mlflow.parentRunId" not in own]


def children(world: World, run_id: str) -> list[Any]:
    """The tracking runs below one."""
    return world.tracked(**{"mlflow.parentRunId": run_id})


@dataclass
class Trained:
    """A world and the run that trained its model first."""

    world: World
    result: Any

    def shown(self, asset: str) -> dict[str, Any]:
        return shown(self.result, asset)


@pytest.fixture(scope="module")
def trained(make_world: MakeWorld, ensemble_rows: World) -> Trained:
    """The example as it is written: searched, fitted, weighed, tried in a real server."""
    world = make_world(name=ENSEMBLE, rows_of=ensemble_rows)
    result = world.job("train", AS_OF)
    assert result.success, failure(result)
    return Trained(world, result)


class TestFirstTraining:
    def test_each_candidate_is_an_asset_that_shows_what_it_is_and_how_good(self, trained):
        for name in CANDIDATES:
            row = trained.world.latest("candidate", f"{AS_OF}/{name}")
            described = trained.shown(f"candidate_{name}")
            assert described["estimator"] == f"build_{name}"
            assert described["digest"] == row["digest"]
            assert described["log_loss"] == row["metrics"]["log_loss"]
            assert described["fit_rows"] == row["fit_rows"] > 300
            assert described["tracking_run"] == row["tracking_url"]
            assert "skipped" not in described

    def test_the_study_searches_those_with_a_space_and_the_candidates_take_what_it_found(
        self, trained
    ):
        found = trained.shown("study")["parameters"]
        assert {name: set(best) for name, best in found.items()} == {
            "recent": {"classify__C"},
            "tree": {"classify__max_depth"},
        }
        assert trained.shown("study")["trials"] == 6
        for name, best in found.items():
            assert trained.shown(f"candidate_{name}")["parameters"] == best
        assert trained.shown("candidate_seasonal")["parameters"] == {"classify__C": 0.5}

    def test_the_study_is_shown_as_a_table_and_pictures(self, trained):
        described = trained.shown("study")
        assert described["studies"].count("\n") == 3
        for name in ("recent", "tree"):
            assert "data:image/png" in described[f"{name}_history"]

    def test_the_ensemble_shows_what_was_recorded_whether_it_was_chosen_or_not(self, trained):
        row, described = trained.world.latest("ensemble", AS_OF), trained.shown("ensemble")
        assert described["chosen"] == row["chosen"]
        assert described["reason"] == row["verdict"]["reason"]
        assert described["weights"] == row["weights"]
        assert {name: described[f"log_loss_{name}"] for name in row["losses"]} == row["losses"]
        assert set(row["losses"]) == {*CANDIDATES, "ensemble"}
        assert "data:image/png" in described["ensemble"]

    def test_an_ensemble_that_was_not_chosen_blocks_nothing(self, trained):
        (check,) = [
            of
            for of in trained.result.get_asset_check_evaluations()
            if of.check_name == "ensemble_earns_its_place"
        ]
        assert not check.passed
        assert trained.world.latest("ensemble", AS_OF)["chosen"] in CANDIDATES
        assert "model_version" in materialized(trained.result)

    def test_the_model_is_the_chosen_candidate_and_says_why(self, trained):
        world, described = trained.world, trained.shown("trained_model")
        chosen = world.latest("ensemble", AS_OF)["chosen"]
        candidate = world.latest("candidate", f"{AS_OF}/{chosen}")
        assert (described["chosen"], described["weights"]) == (chosen, {})
        assert described["estimator"] == candidate["estimator"]
        assert described["parameters"] == candidate["parameters"]
        assert described["calibration"].startswith("none: isotonic: log loss ")
        assert same_answers(world, described["digest"], candidate["digest"])

    def test_the_evaluation_was_made_in_a_real_server_too(self, trained):
        verdict = trained.world.latest("verdict", trained.shown("trained_model")["digest"])
        gates = {gate["name"]: gate["outcome"] for gate in verdict["gates"]}
        assert gates["serves_what_was_tested"] == gates["is_small_enough"] == "passed"
        assert gates["rain_yesterday_raises_the_risk"] == "passed"

    def test_the_evaluation_shows_card_gates_and_pictures(self, trained):
        described = trained.shown("evaluation")
        assert "build_" in described["model_card"]
        assert described["gates"].count("\n") == 1 + len(trained.world.model.spec.gates.names)
        for picture in ("roc", "calibration", "importance", "costs", "slices"):
            assert "data:image/png" in described[picture]


class TestTracking:
    def test_there_is_one_tracking_run_for_each_asset_that_fits_and_it_has_ended(self, trained):
        runs = trained.world.tracked(dagster_run_id=trained.result.run_id)
        expected = [(trained.result.run_id, f"{ENSEMBLE}/{asset}", AS_OF) for asset in FITTING]
        assert Counter(identities(runs)) == Counter(expected)
        assert {run.info.status for run in runs} == {"FINISHED"}

    def test_the_trials_are_children_of_the_study(self, trained):
        study = one_run(trained.world, "study", trained.result.run_id)
        below = children(trained.world, study.info.run_id)
        assert {run.info.run_name for run in below} == {
            f"{name} trial {number}" for name in ("recent", "tree") for number in (1, 2, 3)
        }
        recorded = trained.world.latest("study", AS_OF)["candidates"]
        values = {trial["value"] for of in recorded.values() for trial in of["trials"]}
        assert {run.data.metrics["log_loss"] for run in below} == values

    def test_dagster_and_mlflow_lead_to_each_other(self, trained):
        for asset in FITTING[1:]:
            run = one_run(trained.world, asset, trained.result.run_id)
            assert trained.shown(asset)["tracking_run"].endswith(f"/runs/{run.info.run_id}")
            back = f"{UI}/runs/{trained.result.run_id}"
            assert run.data.tags["dagster_run_url"] == back

    def test_the_evaluation_is_told_to_the_run_of_the_model_it_judged(self, trained):
        run = one_run(trained.world, "trained_model", trained.result.run_id)
        described = trained.shown("evaluation")
        assert run.data.metrics["auc"] == described["auc"]
        assert described["tracking_run"].endswith(run.info.run_id)
        assert run.data.params["digest"] == trained.shown("trained_model")["digest"]


def one_run(world: World, asset: str, run_id: str) -> Any:
    tags = {"dagster_run_id": run_id, "dagster_asset": f"{ENSEMBLE}/{asset}"}
    (run,) = world.tracked(**tags)
    return run


class TestAgain:
    """What a second training does: only what something has changed for."""

    @pytest.fixture(scope="class")
    def repeated(self, trained):
        before = len(trained.world.tracked())
        result = trained.world.job("train", AS_OF)
        assert result.success, failure(result)
        return result, trained.world.tracked()[before:]

    def test_nothing_is_fitted_again_and_each_asset_says_why(self, trained, repeated):
        result, _ = repeated
        for asset in FITTING[1:]:
            assert shown(result, asset)["skipped"] == UNCHANGED
            assert shown(result, asset)["digest"] == trained.shown(asset)["digest"]
        assert shown(result, "evaluation")["skipped"].startswith("the verdict stands")

    def test_nothing_is_tried_twice_and_only_the_study_keeps_a_run(self, trained, repeated):
        result, runs = repeated
        assert identities(runs) == [(result.run_id, f"{ENSEMBLE}/study", AS_OF)]
        assert len(runs) == 1  # no child: no trial was made
        assert shown(result, "study")["parameters"] == trained.shown("study")["parameters"]

    def test_the_verdict_the_version_and_the_files_are_the_same(self, trained, repeated):
        world, digest = trained.world, trained.shown("trained_model")["digest"]
        assert len(world.ledger.history("verdict", ENSEMBLE, digest)) == 1
        assert [version.digest for version in world.versions()] == [digest]
        assert shown(repeated[0], "model_version")["version"] == "v1"

    @pytest.mark.usefixtures("repeated")
    def test_asked_for_again_all_is_fitted_again_to_the_same_files(self, trained):
        again = {f"candidate_{name}": {"again": True} for name in CANDIDATES}
        result = trained.world.launch(
            "train", AS_OF, **again, trained_model={"again": True}, evaluation={"again": True}
        )
        assert result.success, failure(result)
        for asset in (*FITTING[1:], "evaluation"):
            assert "skipped" not in shown(result, asset)
        for asset in FITTING[1:]:
            assert shown(result, asset)["digest"] == trained.shown(asset)["digest"]
            assert one_run(trained.world, asset, result.run_id).info.status == "FINISHED"


def stated(*sections: str) -> dict[str, Any]:
    """Sections of the example's YAML, to be changed."""
    whole: dict[str, Any] = json.loads(json.dumps(written(ENSEMBLE)))
    return {section: whole[section] for section in sections}


class TestChanged:
    @pytest.fixture(scope="class")
    def world(self, make_world: MakeWorld, ensemble_rows: World) -> World:
        """Trained once as of another month, with a short search and few gates."""
        quick = {**QUICK, "tuning": {"trials": 2, "seed": 3}}
        world = make_world(quick, name=ENSEMBLE, rows_of=ensemble_rows)
        first = world.job("train", "2015-02-01")
        assert first.success, failure(first)
        return world

    def changed(self, world: World, changes: Mapping[str, Any], *assets: str) -> Any:
        gates = {**QUICK, "tuning": {"trials": 2, "seed": 3}}
        result = world.stating({**gates, **changes}).select(assets, "2015-02-01")
        assert result.success, failure(result)
        return result

    def test_a_changed_parameter_fits_its_candidate_again_and_no_other(self, world):
        changes = stated("candidates")
        changes["candidates"]["seasonal"]["parameters"] = {"classify__C": 0.01}
        before = world.latest("candidate", "2015-02-01/seasonal")["digest"]
        assets = [f"candidate_{name}" for name in CANDIDATES]
        result = self.changed(world, changes, *assets)
        skipped = [asset for asset in assets if "skipped" in shown(result, asset)]
        assert skipped == ["candidate_recent", "candidate_tree"]
        assert shown(result, "candidate_seasonal")["digest"] != before
        assert len(world.tracked(dagster_run_id=result.run_id)) == 1

    def test_candidates_that_were_not_weighed_against_each_other_make_no_model(self, world):
        """The test before fitted one of them anew, and nobody has weighed them since."""
        changes = stated("candidates")
        changes["candidates"]["seasonal"]["parameters"] = {"classify__C": 0.02}
        self.changed(world, changes, "candidate_seasonal")
        result = world.select(["trained_model"], "2015-02-01")
        assert (
            "ensemble: the candidates as of 2015-02-01 were not weighed; materialize ensemble first"
        ) in failure(result)

    def test_a_changed_space_begins_a_new_study_and_leaves_the_other_as_it_is(self, world):
        changes = stated("candidates")
        changes["candidates"]["recent"]["space"]["classify__C"]["high"] = 5
        assert self.tried(world, self.changed(world, changes, "study")) == [
            "recent trial 1",
            "recent trial 2",
        ]

    def test_more_trials_go_on_with_the_study_there_is(self, world):
        more = {"tuning": {"trials": 3, "seed": 3}}
        result = self.changed(world, more, "study")
        assert self.tried(world, result) == ["recent trial 3", "tree trial 3"]
        assert shown(result, "study")["trials"] == 6

    def tried(self, world: World, result: Any) -> list[str]:
        study = one_run(world, "study", result.run_id)
        return sorted(run.info.run_name for run in children(world, study.info.run_id))


class TestChosenEnsemble:
    """Three trees that are each too sure: together they are surely better."""

    AS_OF = "2015-07-01"

    @pytest.fixture(scope="class")
    def world(self, make_world: MakeWorld, ensemble_rows: World) -> World:
        trees = {name: deep_tree(seed) for seed, name in enumerate(("one", "two", "three"))}
        split = {"test": 6, "calibration": 3, "validation": 2, "minimum_fit": 10}
        stated = {**QUICK, "candidates": trees, "training": {"split": split}}
        world = make_world(stated, name=ENSEMBLE, rows_of=ensemble_rows)
        fitting = ["training_set", *(f"candidate_{name}" for name in trees), "ensemble"]
        result = world.select([*fitting, "trained_model"], self.AS_OF)
        assert result.success, failure(result)
        return world

    def test_it_is_chosen_because_it_is_better_beyond_noise(self, world):
        row = world.latest("ensemble", self.AS_OF)
        assert (row["chosen"], row["verdict"]["outcome"]) == ("ensemble", "passed")
        assert row["gain"]["low"] > 0

    def test_the_model_is_the_weighted_mean_of_the_candidates_that_count(self, world):
        trained = world.latest("trained_model", self.AS_OF)
        recipe = trained["recipe"]
        assert recipe["chosen"] == recipe["estimator"] == "ensemble"
        assert recipe["weights"] == world.latest("ensemble", self.AS_OF)["weights"]
        assert trained["calibration"] == "none"
        expected = sum(
            weight * answers(world, recipe["members"][name], self.AS_OF)
            for name, weight in recipe["weights"].items()
        )
        total = sum(recipe["weights"].values())
        assert np.allclose(answers(world, trained["digest"], self.AS_OF), expected / total)


def answers(world: World, digest: str, as_of: str = AS_OF) -> Any:
    """What the files of a model say of the test rows."""
    _, split = load_split(world.model, as_of, world.tables, world.ledger)
    fitted, signature = world.resources["model_files"].load(digest)
    return predict_probability(fitted, split.test, signature.features)


def same_answers(world: World, one: str, other: str) -> bool:
    return bool((answers(world, one) == answers(world, other)).all())
