"""Which adapter plays which role, and what each profile needs from the environment."""

from __future__ import annotations

import inspect
import os
import subprocess
import sys
from pathlib import Path

import pytest

from mlops_assets.adapters import in_memory, ports, serving_ports
from mlops_assets.adapters.alerts import AppriseAlerts, FileAlerts
from mlops_assets.adapters.fan_out_tracking import FanOutTracking
from mlops_assets.adapters.mlflow_tracking import MlflowTracking
from mlops_assets.adapters.optuna_studies import OptunaStudies
from mlops_assets.defs.platform.resources import (
    DEFAULT_STATE,
    Settings,
    bound_retries,
    build_reports,
    build_resources,
    build_serving,
    read_settings,
    silence_telemetry,
)
from mlops_assets.lifecycle.errors import SpecError

PRODUCTION = {
    "MLOPS_ASSETS_PROFILE": "production",
    "MLOPS_ASSETS_LEDGER_URL": "postgresql://ledger",
    "MLFLOW_TRACKING_URI": "https://tracking.example",
    "MLOPS_ASSETS_TABLES": "s3://tables",
}
SHARED = ("MLOPS_ASSETS_LEDGER_URL", "MLFLOW_TRACKING_URI", "MLOPS_ASSETS_TABLES")
ROLES = {
    "clock": ports.Clock,
    "files": ports.SourceFiles,
    "tables": ports.TableStore,
    "ledger": ports.Ledger,
    "model_files": ports.ModelFiles,
    "tracking": ports.Tracking,
    "registry": ports.Registry,
    "studies": ports.Studies,
    "staging": serving_ports.Staging,
    "serving": serving_ports.Serving,
    "online": serving_ports.OnlineTables,
    "telemetry": serving_ports.Telemetry,
    "reports": ports.Reports,
    "alerts": ports.Alerts,
}
PORTS = {
    cls
    for module in (ports, serving_ports)
    for cls in vars(module).values()
    if inspect.isclass(cls)
    and getattr(cls, "_is_protocol", False)
    and cls.__module__ == module.__name__
}


def methods(port: type) -> dict[str, inspect.Signature]:
    return {
        name: inspect.signature(member)
        for name, member in vars(port).items()
        if inspect.isfunction(member) and not name.startswith("_")
    }


@pytest.fixture
def resources(tmp_path):
    return build_resources(read_settings({"MLOPS_ASSETS_STATE": str(tmp_path / "state")}))


def test_given_nothing_is_set_then_everything_lies_in_the_default_folder():
    assert read_settings({}) == Settings(
        state=DEFAULT_STATE,
        ledger=f"sqlite:///{DEFAULT_STATE / 'ledger.db'}",
        tracking=f"sqlite:///{DEFAULT_STATE / 'mlflow' / 'mlflow.db'}",
        tracking_ui="http://127.0.0.1:5000",
        tracking_sinks=(),
        studies=None,
        tables=str(DEFAULT_STATE / "tables"),
        dagster_ui="http://127.0.0.1:3000",
        reports_url="http://127.0.0.1:8082",
        serving_port=8080,
        alert_urls=(),
    )


def test_given_a_folder_then_everything_moves_there(tmp_path):
    settings = read_settings({"MLOPS_ASSETS_STATE": str(tmp_path)})
    assert settings.state == tmp_path
    assert settings.ledger == f"sqlite:///{tmp_path / 'ledger.db'}"
    assert settings.tables == str(tmp_path / "tables")
    assert str(tmp_path) in settings.tracking


def test_given_a_relative_folder_then_it_is_made_absolute():
    assert read_settings({"MLOPS_ASSETS_STATE": "here"}).state == Path.cwd() / "here"


def test_given_production_without_shared_services_then_each_missing_variable_is_named():
    with pytest.raises(SpecError) as error:
        read_settings({"MLOPS_ASSETS_PROFILE": "production"})
    assert str(error.value) == f"MLOPS_ASSETS_PROFILE=production needs {', '.join(SHARED)}"


@pytest.mark.parametrize("name", SHARED)
def test_given_production_without_one_of_them_then_that_one_is_named(name):
    environment = {key: value for key, value in PRODUCTION.items() if key != name}
    with pytest.raises(SpecError, match=f"^MLOPS_ASSETS_PROFILE=production needs {name}$"):
        read_settings(environment)


def test_given_production_with_all_of_them_then_they_are_taken():
    settings = read_settings(PRODUCTION)
    assert (settings.ledger, settings.tracking, settings.tables) == tuple(
        PRODUCTION[name] for name in SHARED
    )
    assert settings.tracking_ui == "https://tracking.example"


@pytest.mark.parametrize("profile", ["staging", "Local", ""])
def test_given_an_unknown_profile_then_the_allowed_ones_are_named(profile):
    with pytest.raises(SpecError) as error:
        read_settings({"MLOPS_ASSETS_PROFILE": profile})
    assert str(error.value) == (
        f"MLOPS_ASSETS_PROFILE: got '{profile}', allowed are 'local' and 'production'"
    )


def test_ports_and_addresses_are_read():
    settings = read_settings(
        {
            "MLOPS_ASSETS_SERVING_PORT": "9090",
            "MLOPS_ASSETS_MLFLOW_PORT": "5050",
            "MLOPS_ASSETS_ALERT_URLS": "json://one  json://two",
        }
    )
    assert settings.serving_port == 9090
    assert settings.tracking_ui == "http://127.0.0.1:5050"
    assert settings.alert_urls == ("json://one", "json://two")


@pytest.mark.parametrize("port", ["eighty", "0", "70000", "-1"])
def test_given_a_port_that_is_no_number_then_its_variable_is_named(port):
    with pytest.raises(SpecError, match="MLOPS_ASSETS_SERVING_PORT"):
        read_settings({"MLOPS_ASSETS_SERVING_PORT": port})


@pytest.mark.parametrize("name", SHARED)
def test_given_production_with_an_empty_address_then_it_is_named(name):
    with pytest.raises(SpecError, match=name):
        read_settings({**PRODUCTION, name: ""})


def test_given_a_database_whose_name_holds_http_then_the_ui_is_still_the_local_one():
    settings = read_settings({"MLOPS_ASSETS_STATE": "/srv/http"})
    assert settings.tracking_ui == "http://127.0.0.1:5000"


def test_every_port_has_a_role_and_every_role_a_port(resources):
    assert set(ROLES.values()) == PORTS - {ports.TrackingRun, serving_ports.StagingServer}
    assert set(resources) == {*ROLES, "ui"}  # an address, nothing to be done there


@pytest.mark.parametrize("role", ROLES)
def test_the_adapter_of_a_role_has_every_method_of_its_port_with_the_same_parameters(
    resources, role
):
    for name, signature in methods(ROLES[role]).items():
        own = inspect.signature(getattr(type(resources[role]), name))
        assert list(own.parameters) == list(signature.parameters), name


@pytest.mark.parametrize("role", ROLES)
def test_every_port_has_a_fake_with_the_same_methods(role):
    port = ROLES[role]
    fakes = {
        "Clock": "FixedClock",
        "TableStore": "InMemoryTables",
    }
    fake = getattr(in_memory, fakes.get(port.__name__, f"InMemory{port.__name__}"))
    for name, signature in methods(port).items():
        own = inspect.signature(getattr(fake, name))
        assert list(own.parameters) == list(signature.parameters), name


def test_studies_go_where_the_environment_says_and_else_to_a_file_of_this_machine(tmp_path):
    here = {"MLOPS_ASSETS_STATE": str(tmp_path)}
    url = "postgresql://studies.example/optuna"
    assert read_settings(here).studies is None
    assert read_settings(here | {"MLOPS_ASSETS_STUDIES_URL": ""}).studies is None
    shared = read_settings(here | {"MLOPS_ASSETS_STUDIES_URL": url})
    assert shared.studies == url
    assert build_resources(shared)["studies"] == OptunaStudies(tmp_path / "studies", url)
    assert build_resources(read_settings(here))["studies"] == OptunaStudies(tmp_path / "studies")


def test_tracking_runs_are_recorded_in_every_sink_that_is_named(tmp_path):
    here = {"MLOPS_ASSETS_STATE": str(tmp_path)}
    assert isinstance(build_resources(read_settings(here))["tracking"], MlflowTracking)
    both = read_settings(here | {"MLOPS_ASSETS_TRACKING_SINKS": " tensorboard "})
    assert both.tracking_sinks == ("tensorboard",)
    assert isinstance(build_resources(both)["tracking"], FanOutTracking)
    assert not (tmp_path / "tensorboard").exists()


def test_given_a_sink_that_is_not_there_then_the_allowed_ones_are_named():
    with pytest.raises(SpecError) as error:
        read_settings({"MLOPS_ASSETS_TRACKING_SINKS": "tensorboard tensorbord"})
    assert str(error.value) == (
        "MLOPS_ASSETS_TRACKING_SINKS: got 'tensorbord', allowed are tensorboard; "
        "did you mean 'tensorboard'?"
    )


def test_other_tools_lead_back_to_the_address_of_the_ui():
    elsewhere = {"MLOPS_ASSETS_UI_URL": "https://dagster.example"}
    made = build_resources(read_settings(elsewhere))["ui"]
    assert made.run_url("r") == "https://dagster.example/runs/r"
    assert read_settings({"MLOPS_ASSETS_UI_URL": ""}).dagster_ui == "http://127.0.0.1:3000"


def test_drift_reports_lead_to_the_address_that_serves_them(tmp_path):
    here = {"MLOPS_ASSETS_STATE": str(tmp_path)}
    usual = build_resources(read_settings(here))["reports"]
    assert (usual.root, usual.url) == (tmp_path / "reports", "http://127.0.0.1:8082")
    other = read_settings(here | {"MLOPS_ASSETS_REPORTS_URL": "https://reports.example"})
    assert build_reports(other).url == "https://reports.example"
    assert read_settings(here | {"MLOPS_ASSETS_REPORTS_URL": ""}).reports_url == usual.url


def test_a_version_is_tried_with_the_model_files_that_the_server_will_load(tmp_path):
    settings = read_settings({"MLOPS_ASSETS_STATE": str(tmp_path)})
    made = build_resources(settings)
    assert made["staging"].models == made["serving"].models == made["model_files"].root


def test_making_the_resources_writes_nothing(tmp_path):
    settings = read_settings({"MLOPS_ASSETS_STATE": str(tmp_path / "state")})
    build_resources(settings)
    assert not settings.state.exists()


def test_given_no_alert_address_then_alerts_go_to_a_file_and_else_to_the_addresses(tmp_path):
    here = {"MLOPS_ASSETS_STATE": str(tmp_path)}
    silent = build_resources(read_settings(here))["alerts"]
    assert silent == FileAlerts(tmp_path / "alerts.jsonl")
    loud = build_resources(read_settings(here | {"MLOPS_ASSETS_ALERT_URLS": "json://one"}))[
        "alerts"
    ]
    assert loud == AppriseAlerts(("json://one",))
    assert "json://one" not in repr(loud)


def test_given_a_tracking_server_then_artifacts_are_left_to_it(tmp_path):
    here = {"MLOPS_ASSETS_STATE": str(tmp_path)}
    local = build_resources(read_settings(here))["tracking"]
    remote = build_resources(read_settings(PRODUCTION | here))["tracking"]
    assert str(tmp_path) in repr(vars(local))
    assert str(tmp_path) not in repr(vars(remote))


def test_the_model_server_and_the_assets_meet_in_the_same_places(tmp_path):
    settings = read_settings({"MLOPS_ASSETS_STATE": str(tmp_path)})
    resources, serving = build_resources(settings), build_serving(settings)
    assert resources["ledger"].url == serving.ledger_url
    assert resources["serving"].models == serving.models == tmp_path / "models"
    assert serving.log == tmp_path / "prediction_log"
    assert resources["online"].root == serving.online == tmp_path / "online"


def test_silencing_sets_what_is_unset_and_keeps_what_a_person_set():
    environment = {"DO_NOT_TRACK": "0"}
    silence_telemetry(environment)
    assert environment == {
        "DO_NOT_TRACK": "0",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "DAGSTER_DISABLE_TELEMETRY": "true",
    }


def test_an_mlflow_server_that_is_away_is_given_up_within_half_a_minute():
    environment: dict[str, str] = {}
    bound_retries(environment)
    tries = int(environment["MLFLOW_HTTP_REQUEST_MAX_RETRIES"])
    assert sum(2**each for each in range(1, tries + 1)) <= 30  # the pauses of its client
    bound_retries(longer := {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "7"})
    assert longer == {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "7"}


def test_given_a_wrong_profile_then_the_location_does_not_load():
    done = subprocess.run(
        [sys.executable, "-c", "from mlops_assets.definitions import definitions; definitions()"],
        env={**os.environ, "MLOPS_ASSETS_PROFILE": "staging"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode
    assert "got 'staging', allowed are 'local' and 'production'" in done.stderr
