"""The component in Dagster's own loader: what stops a load, and what a correct folder becomes."""

from __future__ import annotations

import re
import sys
from datetime import UTC, datetime

import dagster as dg
import polars as pl
import pytest
import yaml
from dagster.components.testing import create_defs_folder_sandbox

from mlops_assets.components import ModelLifecycleComponent
from mlops_assets.components.scaffolder import ModelScaffolder
from mlops_assets.components.specs import LifecycleSpec
from mlops_assets.lifecycle.errors import SpecError
from mlops_assets.lifecycle.features import (
    FeatureInputs,
    build_entity_rows,
    build_feature_rows,
    build_label_rows,
)

SOURCES = ("flights", "weather", "planes", "airports", "airlines")
DATA = {f"{part}_{source}" for part in ("raw", "validated", "quarantined") for source in SOURCES}
DATA |= {"labels", "features"}
TRAIN = {"training_set", "study", "ensemble", "trained_model", "evaluation", "model_version"}
MODELLING = {*TRAIN, "gate_override", "backtest"}
SERVING = {"deployment", "rollback_drill", "online_features", "predictions", "performance"}
SERVING |= {"drift_report", "retraining_decision", "retraining_outcome", "overview"}


@pytest.fixture(scope="module")
def candidates(written) -> set[str]:
    """The assets of the candidates in the real file."""
    return {f"candidate_{name}" for name in written["candidates"]}


def refusal(load, text, **files) -> SpecError:
    """What stopped the load: the error a person reads above Dagster's tree of components."""
    with pytest.raises(Exception) as stopped:  # noqa: PT011 - Dagster's class has no public name
        load(text, **files)
    said = "".join(str(stopped.value).split("\n"))
    assert "flight_delays" in said
    assert "defs.yaml (ModelLifecycleComponent) (error)" in said
    assert isinstance(stopped.value.__cause__, SpecError)
    return stopped.value.__cause__


@pytest.mark.parametrize(
    ("old", "new", "at", "said"),
    [
        ("  gates:\n", "  gate:\n", "gate:", "gate: unknown key, allowed are name, description, "),
        ("lead: 60", "lead: soon", "lead:", "entities.lead: input should be a valid integer, "),
        ("New_York}\n\n", "New_Yrok}\n\n", "calendar:", "calendar"),
        ("key: [tailnum]", "key: [tailnr]", "key: [tailnr", "sources.planes.key: unknown column "),
        ("strategy: canary", "strategy: canari", "strategy:", "rollout.strategy: got 'canari', "),
        ("2014-01-06", "2012-12-24", "calendar:", "calendar.end: end must be after start, "),
        ("calibration: 1, ", "", "split:", "training.split: calibration has to be at least 1, "),
        ("seats_hardly", "seat_hardly", "behaviour:", "gates.behaviour.1: model.py has no functi"),
    ],
)
def test_given_a_wrong_defs_yaml_then_the_load_stops_with_file_and_line(
    load, change, line_of, tmp_path, old, new, at, said
):
    text = change({old: new})
    error = str(refusal(load, text))
    (file,) = tmp_path.rglob("defs.yaml")
    assert error.startswith(f"{file}:{line_of(text, at)}: {said}")


def test_given_an_estimator_misspelt_then_the_load_stops_with_the_one_meant(load, change, line_of):
    text = change({"build_logistic": "build_logistc"})
    error = str(refusal(load, text))
    line = line_of(text, "logistic:")
    assert f"defs.yaml:{line}: candidates.logistic.estimator: model.py has no function" in error
    assert error.endswith("did you mean 'build_logistic'?")


def test_given_a_stray_python_file_beside_defs_yaml_then_the_load_stops(load, flight_delays_text):
    error = str(refusal(load, flight_delays_text, extra="import dagster as dg\n"))
    assert "flight_delays/extra.py: Dagster does not look at Python files beside" in error


def test_given_no_model_py_then_the_load_stops(load, flight_delays_text):
    error = str(refusal(load, flight_delays_text, model=None))
    assert error.endswith("model.py: a model needs a model.py beside its defs.yaml")


def test_given_a_syntax_error_in_model_py_then_the_load_stops_at_its_line(load, flight_delays_text):
    error = str(refusal(load, flight_delays_text, model="\ndef build_labels(:\n"))
    assert error.endswith("flight_delays/model.py:2: invalid syntax")


def test_given_no_attributes_then_every_missing_section_is_named(load, flight_delays_text):
    error = str(refusal(load, flight_delays_text.split("\n")[0]))
    said = [line.split(": ", 1)[1] for line in error.splitlines()]
    required = ("name", "calendar", "sources", "entities", "label", "features")
    assert said == [f"attributes: key '{name}' is missing" for name in required]


def test_a_correct_folder_loads_without_running_model_py(
    load, flight_delays_text, written, candidates
):
    estimators = [stated["estimator"] for stated in written["candidates"].values()]
    names = ["build_entities", "build_labels", "build_features", *estimators]
    functions = "".join(f"def {name}(): ...\n" for name in [*names, *written["gates"]["behaviour"]])
    loaded = load(flight_delays_text, model=f"raise SystemExit\n{functions}")
    keys = {key.path[-1] for key in loaded.resolve_all_asset_keys()}
    assert keys == {*DATA, *MODELLING, *candidates, *SERVING}
    imported = [name for name in sys.modules if name.startswith("temporary_location")]
    assert not [name for name in imported if name.endswith(".model")]


def test_given_templates_then_the_environment_fills_them_in(load, change, monkeypatch):
    monkeypatch.setenv("FLIGHT_OWNER", "team:night-shift")
    loaded = load(
        change(
            {
                '"team:flight-delays"': "\"{{ env('FLIGHT_OWNER') }}\"",
                "minimum: {auc: 0.62}": "minimum: {auc: \"{{ env('LEAST_AUC', '0.7') }}\"}",
            }
        )
    )
    spec = loaded.resolve_assets_def(dg.AssetKey(["flight_delays", "features"])).get_asset_spec()
    assert spec.owners == ["team:night-shift"]
    judged = loaded.resolve_assets_def(dg.AssetKey(["flight_delays", "evaluation"]))
    assert "auc_is_high_enough" in {check.name for check in judged.check_specs}


def test_given_a_template_whose_value_is_impossible_then_the_value_and_its_line_are_named(
    load, change, line_of, monkeypatch
):
    monkeypatch.setenv("HOW", "canari")
    text = change({"strategy: canary": "strategy: \"{{ env('HOW') }}\""})
    line = line_of(text, "strategy:")
    error = str(refusal(load, text))
    assert f"defs.yaml:{line}: rollout.strategy: got 'canari', allowed are 'shadow'," in error


def test_given_a_variable_that_is_not_set_then_the_load_stops_with_its_name(
    load, change, monkeypatch
):
    monkeypatch.delenv("FLIGHT_OWNER", raising=False)
    text = change({'"team:flight-delays"': "\"{{ env('FLIGHT_OWNER') }}\""})
    with pytest.raises(Exception) as stopped:  # noqa: PT011 - Dagster's class has no public name
        load(text)
    assert "Environment variable FLIGHT_OWNER is not set" in str(stopped.value.__cause__)


def test_given_a_template_that_means_nothing_then_its_line_is_named(load, change, line_of):
    text = change({"label: late": 'label: "{{ lable }}"'})
    with pytest.raises(Exception) as stopped:  # noqa: PT011 - Dagster's class has no public name
        load(text)
    said = str(stopped.value.__cause__)
    assert "'lable' is undefined" in said
    assert f"defs.yaml:{line_of(text, 'label:')}" in said


def test_given_a_section_twice_then_the_load_stops_at_the_second(load, change, line_of):
    text = change({"  rollout:\n": "  gates: {minimum: {}}\n  rollout:\n"})
    first, second = line_of(text, "gates:\n"), line_of(text, "gates: {minimum: {}}")
    error = str(refusal(load, text))
    assert error.endswith(f"defs.yaml:{second}: gates: written twice, first in line {first}")


@pytest.mark.parametrize(
    ("old", "new", "at"),
    [
        ('cron: "0 6 * * 1"', "cron: often", "cron:"),
        ("timezone: America/New_York, default", "timezone: America/New_Yrok, default", "ingest:"),
        ('["team:flight-delays"]', '["flight delays"]', "owners:"),
    ],
)
def test_given_what_dagster_itself_would_refuse_then_its_line_is_named(
    load, change, line_of, old, new, at
):
    text = change({old: new})
    assert f"defs.yaml:{line_of(text, at)}: " in str(refusal(load, text))


def without(text: str, *sections: str) -> str:
    """The real text without some of its sections."""
    for name in sections:
        text = re.sub(rf"(?m)^  {name}:.*\n(?:(?:    .*)?\n)*", "", text)
    return text


def upstream_of(loaded: dg.Definitions, name: str) -> set[str]:
    """The assets that an asset is made from."""
    asset = loaded.resolve_assets_def(dg.AssetKey(["flight_delays", name]))
    return {key.path[-1] for key in asset.asset_deps[asset.key]}


def steps_of(loaded: dg.Definitions, job: str) -> set[str]:
    """The assets that a job materializes."""
    layer = loaded.resolve_job_def(f"flight_delays__{job}").asset_layer
    return {key.path[-1] for key in layer.executable_asset_keys}


def test_given_candidates_and_an_ensemble_then_each_is_an_asset_of_its_own(
    load, flight_delays_text, candidates, searched
):
    loaded = load(flight_delays_text)
    for name in candidates:
        study = {"study"} if name == f"candidate_{searched}" else set()
        assert upstream_of(loaded, name) == {"training_set", *study}
    assert upstream_of(loaded, "ensemble") == candidates
    assert {"ensemble", *candidates} <= upstream_of(loaded, "trained_model")
    assert steps_of(loaded, "train") == TRAIN | candidates


def test_given_no_ensemble_then_the_model_is_made_from_the_candidates(
    load, flight_delays_text, candidates
):
    loaded = load(without(flight_delays_text, "ensemble"))
    assert upstream_of(loaded, "trained_model") == {"training_set", *candidates}
    assert steps_of(loaded, "train") == TRAIN - {"ensemble"} | candidates


def test_given_one_estimator_then_it_has_no_assets_of_candidates(load, change, candidates):
    text = without(change({"    seed: 7\n": "    estimator: build_boosting\n"}), "candidates")
    loaded = load(without(text, "ensemble", "tuning"))
    keys = {key.path[-1] for key in loaded.resolve_all_asset_keys()}
    assert not keys & {*candidates, "ensemble", "study"}
    assert upstream_of(loaded, "trained_model") == {"training_set"}


def test_given_no_tuning_then_there_is_no_study_in_assets_and_jobs(
    load, change, space_text, candidates, searched
):
    loaded = load(without(change({space_text: ""}), "tuning"))
    assert "study" not in {key.path[-1] for key in loaded.resolve_all_asset_keys()}
    assert upstream_of(loaded, f"candidate_{searched}") == {"training_set"}
    assert steps_of(loaded, "train") == TRAIN - {"study"} | candidates


def test_given_no_gates_then_the_evaluation_still_asks_whether_anything_leaks(
    load, flight_delays_text
):
    loaded = load(without(flight_delays_text, "gates"))
    judged = loaded.resolve_assets_def(dg.AssetKey(["flight_delays", "evaluation"]))
    assert {check.name for check in judged.check_specs} == {"nothing_leaks"}


def test_each_gate_of_the_real_file_is_a_blocking_check_of_the_evaluation(load, flight_delays_text):
    loaded = load(flight_delays_text)
    judged = loaded.resolve_assets_def(dg.AssetKey(["flight_delays", "evaluation"]))
    assert [check.name for check in judged.check_specs] == [
        "auc_is_high_enough",
        "brier_is_low_enough",
        "calibration_error_is_low_enough",
        "is_no_worse_than_champion",
        "no_slice_is_worse",
        "nothing_leaks",
        "serves_what_was_tested",
        "answers_in_time",
        "is_small_enough",
        "late_airports_raise_the_risk",
        "seats_hardly_matter",
    ]
    assert all(check.blocking for check in judged.check_specs)


def test_two_models_in_one_location_share_no_asset_job_sensor_or_schedule(load, change):
    beside = change({"  name: flight_delays\n": "  name: other_delays\n"})
    loaded = load(change({}), beside=beside).get_repository_def()
    named = [
        *(key.to_user_string() for key in loaded.asset_graph.get_all_asset_keys()),
        *(job.name for job in loaded.get_all_jobs() if not job.name.startswith("__ASSET_JOB")),
        *(sensor.name for sensor in loaded.sensor_defs),
        *(schedule.name for schedule in loaded.schedule_defs),
    ]
    first, second = (
        {name.removeprefix(model) for name in named if name.startswith(model)}
        for model in ("flight_delays", "other_delays")
    )
    assert first == second
    assert len(first) * 2 == len(named) == len(set(named))


def test_editors_get_the_schema_of_the_spec():
    whole = ModelLifecycleComponent.get_model_cls().model_json_schema()
    schema = whole["$defs"][whole["$ref"].removeprefix("#/$defs/")]
    assert list(schema["properties"]) == list(LifecycleSpec.model_fields)
    assert schema["additionalProperties"] is False
    assert schema["required"] == ["name", "calendar", "sources", "entities", "label", "features"]
    described = schema["properties"]["label"]["description"]
    assert described == "column of build_labels, true for the event predicted"


def test_the_real_defs_yaml_is_plain_yaml(flight_delays_text):
    written = yaml.safe_load(flight_delays_text)
    assert set(written) == {"type", "attributes"}
    assert written["type"] == "mlops_assets.components.ModelLifecycleComponent"


@pytest.fixture
def scaffolded(platform):
    """A new model's folder as ``dg scaffold defs`` writes it, loaded by Dagster."""
    with create_defs_folder_sandbox() as sandbox:
        folder = sandbox.scaffold_component(ModelLifecycleComponent, "new_model")
        with sandbox.load_component_and_build_defs(folder) as (component, definitions):
            yield component.model, dg.Definitions.merge(definitions, platform)


def test_a_scaffolded_folder_loads_without_a_complaint(scaffolded):
    model, definitions = scaffolded
    files = sorted(file.name for file in model.folder.glob("*.*"))
    assert files == ["__init__.py", "defs.yaml", "model.py"]
    keys = [key.path for key in definitions.resolve_all_asset_keys()]
    assert ["new_model", "trained_model"] in keys
    assert {path[0] for path in keys} == {"new_model"}


def test_the_functions_of_a_scaffolded_model_fit_its_defs_yaml(scaffolded):
    model, _ = scaffolded
    policy, label = model.spec.entities, model.spec.label
    moments = [datetime(2024, 1, day, tzinfo=UTC) for day in (1, 2, 3, 4)]
    written = {"event_id": list("abcd"), "at": moments, "size": [1.0, None, 5.0, 6.0]}
    events = pl.DataFrame(written | {"succeeded": [False, False, True, True]})
    entities = build_entity_rows(model.function("build_entities"), events, policy)
    build_labels = model.function("build_labels")
    labels = build_label_rows(build_labels, events, entities, policy, label)
    built = build_feature_rows(
        model.function("build_features"), FeatureInputs(entities, labels), model.features, policy
    )
    estimator = model.function("build_estimator")(model.features, 7)
    estimator.fit(built[["event_size"]].to_pandas(), labels[label].to_numpy())
    assert estimator.predict_proba(built[["event_size"]].to_pandas()).shape == (4, 2)


@pytest.mark.parametrize(
    ("name", "differences", "said"),
    [
        ("New-Model", {}, "letters, digits and _, got 'New-Model'"),
        ("new_model", {"scaffold_format": "python"}, "written as YAML, in a folder of its own"),
        ("new_model", {"append": True}, "written as YAML, in a folder of its own"),
    ],
)
def test_given_what_makes_no_model_then_nothing_is_scaffolded(tmp_path, name, differences, said):
    asked = {"type_name": "a.B", "target_path": tmp_path / name, "scaffold_format": "yaml"}
    request = dg.ScaffoldRequest(**asked | differences, project_root=None, params=None)
    (tmp_path / name).mkdir()
    with pytest.raises(SpecError, match=said):
        ModelScaffolder().scaffold(request)
    assert list((tmp_path / name).iterdir()) == []
