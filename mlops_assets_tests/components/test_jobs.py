"""Four jobs share a model's assets between them: each asset in exactly one."""

from __future__ import annotations

import dagster as dg
import pytest

from mlops_assets.components.assets import build_assets
from mlops_assets.components.jobs import build_jobs
from mlops_assets.defs.platform.resources import build_resources, read_settings

NAMES = ("ingest", "train", "release", "monitor")


@pytest.fixture(scope="module")
def resolve(tmp_path_factory):
    """A model's assets and jobs as Dagster resolves them."""
    settings = read_settings({"MLOPS_ASSETS_STATE": str(tmp_path_factory.mktemp("state"))})

    def resolved(model) -> dg.Definitions:
        return dg.Definitions(
            assets=build_assets(model),
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


def test_every_asset_is_in_exactly_one_job(definitions):
    everywhere = [asset for name in NAMES for asset in assets_of(definitions, name)]
    every = [key.path[-1] for key in definitions.resolve_all_asset_keys()]
    assert sorted(everywhere) == sorted(every)


@pytest.mark.parametrize(
    ("name", "assets"),
    [
        ("train", {"training_set", "study", "trained_model", "evaluation", "model_version"}),
        ("release", {"deployment"}),
        ("monitor", {"predictions", "performance", "drift_report", "retraining_decision"}),
    ],
)
def test_a_job_takes_its_part_of_a_models_life(definitions, name, assets):
    assert assets_of(definitions, name) == assets


def test_ingest_takes_every_source_from_raw_to_features(definitions, model):
    sources = {
        f"{part}_{source}"
        for source in model.sources
        for part in ("raw", "validated", "quarantined")
    }
    assert assets_of(definitions, "ingest") == sources | {"labels", "features"}


def test_given_no_tuning_then_training_has_no_study(resolve, flight_delays_text, make_model):
    start, end = (flight_delays_text.index(f"  {name}:") for name in ("tuning", "evaluation"))
    untuned = resolve(make_model({flight_delays_text[start:end]: ""}))
    assert "study" not in assets_of(untuned, "train")


@pytest.mark.parametrize("name", ["ingest", "train", "monitor"])
def test_a_job_over_time_has_the_calendars_partitions(definitions, model, name):
    job = definitions.resolve_job_def(f"flight_delays__{name}")
    assert tuple(job.partitions_def.get_partition_keys()) == model.calendar.keys


def test_a_release_is_partitioned_by_version(definitions):
    partitions = definitions.resolve_job_def("flight_delays__release").partitions_def
    assert partitions.name == "flight_delays__versions"


@pytest.mark.parametrize("name", NAMES)
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
