"""The code location as a person finds it: every asset, check, job, schedule and sensor."""

from __future__ import annotations

from typing import Any

import dagster as dg
import pytest

from mlops_assets.definitions import definitions

VERBS = {
    *("is", "are", "know", "still", "leaks", "serves", "answers", "earns"),
    *("raise", "matter", "rolls", "equals"),
}
"""The verbs of the checks' names: a sentence has one."""


@pytest.fixture(scope="module")
def loaded(tmp_path_factory) -> dg.Definitions:
    """The real code location, with everything it would write below a temporary folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLOPS_ASSETS_STATE", str(tmp_path_factory.mktemp("state")))
        for name in ("MLFLOW_DISABLE_TELEMETRY", "DO_NOT_TRACK", "DAGSTER_DISABLE_TELEMETRY"):
            patch.setenv(name, "true")
        for name in ("MLOPS_ASSETS_PROFILE", "MLFLOW_TRACKING_URI", "MLOPS_ASSETS_LEDGER_URL"):
            patch.delenv(name, raising=False)
        return definitions()


@pytest.fixture(scope="module")
def repository(loaded):
    return loaded.get_repository_def()


def describe_partitions(partitions: dg.PartitionsDefinition | None) -> Any:
    match partitions:
        case None:
            return None
        case dg.DynamicPartitionsDefinition():
            return f"dynamic: {partitions.name}"
        case dg.TimeWindowPartitionsDefinition():
            keys = partitions.get_partition_keys()
            said = f"{len(keys)}, {keys[0]} to {keys[-1]}"
            return f"{partitions.get_cron_schedule()} {partitions.timezone}: {said}"
    raise AssertionError(f"a kind of partitions the snapshot does not know: {partitions}")


def describe_mapping(mapping: dg.PartitionMapping | None) -> str:
    match mapping:
        case None:
            return "the same partition"
        case dg.AllPartitionMapping():
            return "all partitions"
        case dg.TimeWindowPartitionMapping():
            return f"partitions {mapping.start_offset} to {mapping.end_offset}"
    raise AssertionError(f"a mapping the snapshot does not know: {mapping}")


def describe_asset(asset: dg.AssetsDefinition, spec: dg.AssetSpec) -> dict[str, Any]:
    deps = {
        dep.asset_key.to_user_string(): describe_mapping(dep.partition_mapping) for dep in spec.deps
    }
    return {
        "deps": deps,
        "group": spec.group_name,
        "owners": list(spec.owners),
        "kinds": sorted(spec.kinds),
        "partitions": describe_partitions(asset.partitions_def),
        "one_run_over_a_range": bool(
            asset.backfill_policy and asset.backfill_policy.max_partitions_per_run is None
        ),
        "pool": asset.op.pool,
        "description": spec.description,
        "metadata": sorted(
            set(spec.metadata) - {"dagster/component_origin", "dagster/code_references"}
        ),
        "checks": {
            check.name: {"blocking": check.blocking, "description": check.description}
            for check in asset.check_specs
            if check.asset_key == spec.key
        },
    }


def test_every_asset_is_as_the_snapshot_says(loaded, snapshot):
    assets = [asset for asset in loaded.resolve_asset_graph().assets_defs if asset.keys]
    found = {
        spec.key.to_user_string(): describe_asset(asset, spec)
        for asset in assets
        for spec in asset.specs
    }
    assert dict(sorted(found.items())) == snapshot


def test_every_job_schedule_and_sensor_is_as_the_snapshot_says(repository, snapshot):
    jobs = {
        job.name: {
            "assets": sorted(key.to_user_string() for key in job.asset_layer.executable_asset_keys),
            "description": job.description,
            "partitions": describe_partitions(job.partitions_def),
            "tags": {k: v for k, v in job.tags.items() if not k.startswith("dagster/")},
        }
        for job in repository.get_all_jobs()
        if not job.name.startswith("__ASSET_JOB")
    }
    schedules = {
        schedule.name: {
            "job": schedule.job_name,
            "cron": schedule.cron_schedule,
            "timezone": schedule.execution_timezone,
            "default_status": schedule.default_status.value,
            "description": schedule.description,
        }
        for schedule in repository.schedule_defs
    }
    sensors = {
        sensor.name: {
            "jobs": sorted(target.job_name for target in sensor.targets),
            "interval": sensor.minimum_interval_seconds,
            "default_status": sensor.default_status.value,
            "description": sensor.description,
        }
        for sensor in repository.sensor_defs
    }
    assert {"jobs": jobs, "schedules": schedules, "sensors": sensors} == snapshot


def test_every_dependency_is_an_asset_of_this_location(loaded):
    graph = loaded.resolve_asset_graph()
    known = set(graph.materializable_asset_keys)
    assert {parent for key in known for parent in graph.get(key).parent_keys} <= known
    assert graph.get_all_asset_keys() == known


def test_every_gate_of_defs_yaml_is_a_blocking_check_of_the_evaluation(loaded):
    judged = loaded.resolve_assets_def(dg.AssetKey(["flight_delays", "evaluation"]))
    assert {check.name: check.blocking for check in judged.check_specs} == {
        "auc_is_high_enough": True,
        "brier_is_low_enough": True,
        "calibration_error_is_low_enough": True,
        "is_no_worse_than_champion": True,
        "no_slice_is_worse": True,
        "nothing_leaks": True,
        "serves_what_was_tested": True,
        "answers_in_time": True,
        "is_small_enough": True,
        "late_airports_raise_the_risk": True,
        "seats_hardly_matter": True,
    }


def test_the_check_that_costs_a_fit_blocks_nothing_and_is_in_no_job(loaded, repository):
    (check,) = [
        spec
        for asset in loaded.resolve_asset_graph().assets_defs
        for spec in asset.check_specs
        if spec.name == "is_reproducible"
    ]
    assert not check.blocking
    for job in repository.get_all_jobs():
        if not job.name.startswith("__ASSET_JOB"):
            assert not [node.name for node in job.nodes if "is_reproducible" in node.name]


def test_every_name_of_a_check_reads_as_a_sentence_and_every_asset_is_described(loaded):
    for asset in loaded.resolve_asset_graph().assets_defs:
        for spec in asset.specs:
            assert spec.description
            assert spec.description.endswith(".")
        for check in asset.check_specs:
            assert VERBS & set(check.name.split("_")), check.name


def test_every_resource_an_asset_asks_for_is_there(loaded):
    asked = {
        key
        for asset in loaded.resolve_asset_graph().assets_defs
        for key in asset.required_resource_keys
    }
    assert asked - {"io_manager"} <= set(loaded.resources)


def test_steps_share_the_process_of_their_run(repository):
    for job in repository.get_all_jobs():
        assert job.executor_def.name == "in_process"


def test_loading_twice_gives_the_same_location(loaded):
    again = definitions()
    assert set(again.resolve_all_asset_keys()) == set(loaded.resolve_all_asset_keys())
