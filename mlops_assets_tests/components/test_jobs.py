"""Jobs share a model's assets between them: each asset in one, and walking forward beside them."""

from __future__ import annotations

import re

import dagster as dg
import pytest

from mlops_assets.components.assets import build_assets
from mlops_assets.components.assets.reproduction import build_reproduction_check
from mlops_assets.components.jobs import MONITORING, build_jobs
from mlops_assets.defs.platform.resources import build_resources, read_settings

PARTS = ("ingest", "train", "release", "monitor", "drill", "refresh")
"""The jobs of a model's life; each asset is in one of them at most."""

NAMES = (*PARTS, "walk_forward")
INTERVENTIONS = ("roll_back", "abort", "pause", "resume", "ask_for_retraining", "approve")
BY_HAND = {"gate_override", "backtest"}
TRAIN = {"training_set", "study", "ensemble", "trained_model", "evaluation", "model_version"}
WALK_FORWARD = TRAIN - {"study", "model_version"} | {"backtest"}


@pytest.fixture(scope="module")
def resolve(tmp_path_factory):
    """A model's assets and jobs as Dagster resolves them."""
    settings = read_settings({"MLOPS_ASSETS_STATE": str(tmp_path_factory.mktemp("state"))})

    def resolved(model) -> dg.Definitions:
        return dg.Definitions(
            assets=build_assets(model),
            asset_checks=[build_reproduction_check(model)],
            jobs=build_jobs(model).all,
            resources=build_resources(settings),
        )

    return resolved


@pytest.fixture(scope="module")
def definitions(model, resolve) -> dg.Definitions:
    return resolve(model)


def assets_of(definitions: dg.Definitions, name: str) -> set[str]:
    job = definitions.resolve_job_def(f"flight_delays__{name}")
    return {key.path[-1] for key in job.asset_layer.executable_asset_keys}


def test_every_asset_is_in_one_job_but_for_those_a_person_asks_for(definitions):
    everywhere = [asset for name in PARTS for asset in assets_of(definitions, name)]
    every = [key.path[-1] for key in definitions.resolve_all_asset_keys()]
    assert sorted([*everywhere, *BY_HAND]) == sorted(every)


def test_no_job_overrides_a_gate_or_fits_again_to_see_whether_it_can(definitions):
    for name in NAMES:
        ops = {node.name for node in definitions.resolve_job_def(f"flight_delays__{name}").nodes}
        assert not [op for op in ops if op.endswith(("gate_override", "is_reproducible"))]


@pytest.fixture(scope="module")
def candidates(written) -> set[str]:
    return {f"candidate_{name}" for name in written["candidates"]}


@pytest.mark.parametrize(("name", "others"), [("train", TRAIN), ("walk_forward", WALK_FORWARD)])
def test_a_job_that_trains_fits_every_candidate(definitions, candidates, name, others):
    assert assets_of(definitions, name) == candidates | others


@pytest.mark.parametrize(
    ("name", "assets"),
    [
        ("release", {"deployment"}),
        ("drill", {"rollback_drill"}),
        ("refresh", {"online_features"}),
        ("monitor", set(MONITORING)),
    ],
)
def test_a_job_takes_its_part_of_a_models_life(definitions, name, assets):
    assert assets_of(definitions, name) == assets


def test_monitoring_ends_with_whether_to_train_again_and_whether_it_helped():
    assert {"retraining_decision", "retraining_outcome"} <= set(MONITORING)


def test_ingest_takes_every_source_from_raw_to_features(definitions, model):
    sources = {
        f"{part}_{source}"
        for source in model.sources
        for part in ("raw", "validated", "quarantined")
    }
    assert assets_of(definitions, "ingest") == sources | {"labels", "features"}


def test_given_no_tuning_then_training_has_no_study(
    resolve, flight_delays_text, space_text, make_model, candidates
):
    (tuning,) = re.findall(r"(?m)^  tuning:.*\n", flight_delays_text)
    untuned = resolve(make_model({space_text: "", tuning: ""}))
    assert assets_of(untuned, "train") == candidates | TRAIN - {"study"}


def test_walking_forward_searches_registers_and_releases_nothing(definitions):
    assert not assets_of(definitions, "walk_forward") & {"study", "model_version", "deployment"}


@pytest.mark.parametrize("name", ["train", "walk_forward"])
def test_a_job_that_trains_has_the_partitions_with_enough_history(definitions, model, name):
    partitions = definitions.resolve_job_def(f"flight_delays__{name}").partitions_def
    needed = model.spec.training.split.needed
    assert tuple(partitions.get_partition_keys()) == model.calendar.keys[needed:]


@pytest.mark.parametrize("name", ["ingest", "monitor"])
def test_a_job_over_time_has_the_calendars_partitions(definitions, model, name):
    job = definitions.resolve_job_def(f"flight_delays__{name}")
    assert tuple(job.partitions_def.get_partition_keys()) == model.calendar.keys


def test_a_release_is_partitioned_by_version(definitions):
    partitions = definitions.resolve_job_def("flight_delays__release").partitions_def
    assert partitions.name == "flight_delays__versions"


@pytest.mark.parametrize("name", [*NAMES, *INTERVENTIONS])
def test_a_job_is_tagged_with_its_model_and_says_what_it_does(definitions, name):
    job = definitions.resolve_job_def(f"flight_delays__{name}")
    assert job.tags["mlops_assets/model"] == "flight_delays"
    assert job.description.endswith(".")


def test_a_training_runs_no_job_on_data_that_is_not_its_own(definitions):
    training = definitions.resolve_job_def("flight_delays__train").asset_layer
    outside = {
        parent.path[-1]
        for key in training.executable_asset_keys
        for parent in training.asset_graph.get(key).parent_keys
        if parent not in training.executable_asset_keys
    }
    assert outside == {"features", "labels"}
