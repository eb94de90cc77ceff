"""Which adapter plays which role; the only file that gives the environment a meaning."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg

from mlops_assets.adapters.alerts import AppriseAlerts, FileAlerts
from mlops_assets.adapters.dagster_ui import DagsterUi
from mlops_assets.adapters.delta_tables import DeltaTables
from mlops_assets.adapters.evidently_reports import EvidentlyReports
from mlops_assets.adapters.fan_out_tracking import FanOutTracking
from mlops_assets.adapters.jsonl_telemetry import JsonlTelemetry
from mlops_assets.adapters.local_files import LocalFiles
from mlops_assets.adapters.local_serving import LocalServing
from mlops_assets.adapters.local_staging import LocalStaging
from mlops_assets.adapters.mlflow_registry import MlflowRegistry
from mlops_assets.adapters.mlflow_tracking import MlflowTracking
from mlops_assets.adapters.online_tables import FolderOnlineTables
from mlops_assets.adapters.optuna_studies import OptunaStudies
from mlops_assets.adapters.ports import Tracking
from mlops_assets.adapters.skops_models import FolderModelFiles
from mlops_assets.adapters.sql_ledger import SqlLedger
from mlops_assets.adapters.system_clock import SystemClock
from mlops_assets.adapters.tensorboard_tracking import TensorboardTracking
from mlops_assets.lifecycle.errors import SpecError, did_you_mean

SINKS = ("tensorboard",)
"""Where tracking runs may be recorded beside MLflow."""

REPORTS_URL = "http://127.0.0.1:8082"
"""Where ``make dev`` serves the drift reports."""

DEFAULT_STATE = Path(__file__).parents[3] / "state"


@dataclass(frozen=True)
class Settings:
    """What differs from machine to machine.

    ``state`` holds everything that is written. ``ledger`` is an SQLAlchemy URL, ``studies`` one or
    None for a journal file, ``tracking`` an MLflow address or database, ``tracking_sinks`` where
    runs are recorded too, ``tables`` a folder or an object-store URI. A browser finds the
    drift reports at ``reports_url``.
    """

    state: Path
    ledger: str
    tracking: str
    tracking_ui: str | None
    tracking_sinks: tuple[str, ...]
    studies: str | None
    tables: str
    dagster_ui: str
    serving_port: int
    alert_urls: tuple[str, ...]
    reports_url: str = REPORTS_URL


def read_settings(environment: Mapping[str, str]) -> Settings:
    """Settings from environment variables; ``MLOPS_ASSETS_PROFILE`` picks the defaults.

    ``local`` needs no variable. ``production`` has no default for shared services: a missing
    variable is named. Raises ``SpecError``.
    """
    profile = environment.get("MLOPS_ASSETS_PROFILE", "local")
    if profile not in ("local", "production"):
        raise SpecError(
            f"MLOPS_ASSETS_PROFILE: got '{profile}', allowed are 'local' and 'production'"
        )
    state = Path(environment.get("MLOPS_ASSETS_STATE", DEFAULT_STATE)).absolute()
    defaults = {
        "MLOPS_ASSETS_LEDGER_URL": f"sqlite:///{state / 'ledger.db'}",
        "MLFLOW_TRACKING_URI": f"sqlite:///{state / 'mlflow' / 'mlflow.db'}",
        "MLOPS_ASSETS_TABLES": str(state / "tables"),
    }
    missing = [name for name in defaults if not environment.get(name)]
    if profile == "production" and missing:
        raise SpecError(f"MLOPS_ASSETS_PROFILE=production needs {', '.join(missing)}")
    values = {name: environment.get(name) or default for name, default in defaults.items()}
    mlflow_port = _port(environment, "MLOPS_ASSETS_MLFLOW_PORT", 5000)
    tracking = values["MLFLOW_TRACKING_URI"]
    return Settings(
        state=state,
        ledger=values["MLOPS_ASSETS_LEDGER_URL"],
        tracking=tracking,
        tracking_ui=tracking
        if tracking.startswith(("http://", "https://"))
        else f"http://127.0.0.1:{mlflow_port}",
        tracking_sinks=_sinks(environment),
        studies=environment.get("MLOPS_ASSETS_STUDIES_URL") or None,
        tables=values["MLOPS_ASSETS_TABLES"],
        dagster_ui=environment.get("MLOPS_ASSETS_UI_URL") or "http://127.0.0.1:3000",
        reports_url=environment.get("MLOPS_ASSETS_REPORTS_URL") or REPORTS_URL,
        serving_port=_port(environment, "MLOPS_ASSETS_SERVING_PORT", 8080),
        alert_urls=tuple(environment.get("MLOPS_ASSETS_ALERT_URLS", "").split()),
    )


def _sinks(environment: Mapping[str, str]) -> tuple[str, ...]:
    named = tuple(environment.get("MLOPS_ASSETS_TRACKING_SINKS", "").split())
    unknown = [name for name in named if name not in SINKS]
    if unknown:
        raise SpecError(
            f"MLOPS_ASSETS_TRACKING_SINKS: got '{unknown[0]}', allowed are {', '.join(SINKS)}"
            f"{did_you_mean(unknown[0], SINKS)}"
        )
    return named


def _port(environment: Mapping[str, str], name: str, default: int) -> int:
    text = environment.get(name) or str(default)
    if not (text.isdecimal() and 0 < int(text) < 65536):
        raise SpecError(f"{name}: got '{text}', a port from 1 to 65535 is needed")
    return int(text)


def build_resources(settings: Settings) -> dict[str, Any]:
    """One adapter per role. Making them opens nothing and imports no brand."""
    state = settings.state
    return {
        "clock": SystemClock(),
        "files": LocalFiles(),
        "tables": DeltaTables(settings.tables),
        "ledger": SqlLedger(settings.ledger),
        "model_files": FolderModelFiles(state / "models"),
        "tracking": build_tracking(settings),
        "registry": MlflowRegistry(settings.tracking),
        "studies": build_studies(settings),
        "staging": LocalStaging(state / "models"),
        "ui": DagsterUi(settings.dagster_ui),
        "serving": build_serving(settings),
        "online": FolderOnlineTables(state / "online"),
        "telemetry": JsonlTelemetry(state / "prediction_log"),
        "reports": build_reports(settings),
        "alerts": AppriseAlerts(settings.alert_urls)
        if settings.alert_urls
        else FileAlerts(state / "alerts.jsonl"),
    }


def build_tracking(settings: Settings) -> Tracking:
    """MLflow, and further sinks behind the same port where the environment names some."""
    local = settings.tracking.startswith("sqlite")
    artifacts = settings.state / "mlflow" / "artifacts" if local else None
    mlflow = MlflowTracking(settings.tracking, artifacts, settings.tracking_ui)
    if "tensorboard" in settings.tracking_sinks:
        return FanOutTracking(mlflow, (TensorboardTracking(settings.state / "tensorboard"),))
    return mlflow


def build_studies(settings: Settings) -> OptunaStudies:
    """Studies in a journal file of this machine, or in a database that machines share."""
    return OptunaStudies(settings.state / "studies", settings.studies)


def build_reports(settings: Settings) -> EvidentlyReports:
    """Drift reports as pages of one folder, by the address they are served at."""
    return EvidentlyReports(settings.state / "reports", settings.reports_url)


def build_serving(settings: Settings) -> LocalServing:
    """The model server of this machine."""
    return LocalServing(
        ledger_url=settings.ledger,
        models=settings.state / "models",
        log=settings.state / "prediction_log",
        state=settings.state / "serving",
        online=settings.state / "online",
        port=settings.serving_port,
    )


def silence_telemetry(environment: dict[str, str] | os._Environ[str]) -> None:
    """Libraries tell nobody what is done with them, here and in processes started from here."""
    for name in ("MLFLOW_DISABLE_TELEMETRY", "DO_NOT_TRACK", "DAGSTER_DISABLE_TELEMETRY"):
        environment.setdefault(name, "true")


def bound_retries(environment: dict[str, str] | os._Environ[str]) -> None:
    """An MLflow server that is away fails a step within half a minute, and not after four.

    Its client doubles the pause before each try; a step that failed can be launched again.
    """
    environment.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "4")


@dg.definitions
def resources() -> dg.Definitions:
    """The resources of this code location."""
    silence_telemetry(os.environ)
    bound_retries(os.environ)
    return dg.Definitions(resources=build_resources(read_settings(os.environ)))
