"""Every port has a fake and a real adapter, with the methods and arguments it promises."""

from __future__ import annotations

import inspect

import pytest

from mlops_assets.adapters import in_memory, ports, serving_ports
from mlops_assets.adapters.alerts import AppriseAlerts, FileAlerts
from mlops_assets.adapters.delta_tables import DeltaTables
from mlops_assets.adapters.evidently_reports import EvidentlyReports
from mlops_assets.adapters.fan_out_tracking import FanOutRun, FanOutTracking
from mlops_assets.adapters.jsonl_telemetry import JsonlTelemetry
from mlops_assets.adapters.local_files import LocalFiles
from mlops_assets.adapters.local_serving import LocalServing
from mlops_assets.adapters.local_staging import LocalStaging, LocalStagingServer
from mlops_assets.adapters.mlflow_registry import MlflowRegistry
from mlops_assets.adapters.mlflow_tracking import MlflowRun, MlflowTracking
from mlops_assets.adapters.online_tables import FolderOnlineTables
from mlops_assets.adapters.optuna_studies import OptunaStudies
from mlops_assets.adapters.skops_models import FolderModelFiles
from mlops_assets.adapters.sql_ledger import SqlLedger
from mlops_assets.adapters.system_clock import SystemClock
from mlops_assets.adapters.tensorboard_tracking import TensorboardRun, TensorboardTracking

ADAPTERS = {
    ports.Alerts: (in_memory.InMemoryAlerts, FileAlerts, AppriseAlerts),
    ports.Clock: (in_memory.FixedClock, SystemClock),
    ports.Ledger: (in_memory.InMemoryLedger, SqlLedger),
    ports.ModelFiles: (in_memory.InMemoryModelFiles, FolderModelFiles),
    serving_ports.OnlineTables: (in_memory.InMemoryOnlineTables, FolderOnlineTables),
    ports.Registry: (in_memory.InMemoryRegistry, MlflowRegistry),
    ports.Reports: (in_memory.InMemoryReports, EvidentlyReports),
    serving_ports.Serving: (in_memory.InMemoryServing, LocalServing),
    ports.SourceFiles: (in_memory.InMemorySourceFiles, LocalFiles),
    serving_ports.Staging: (in_memory.InMemoryStaging, LocalStaging),
    serving_ports.StagingServer: (in_memory.InMemoryStagingServer, LocalStagingServer),
    ports.Studies: (in_memory.InMemoryStudies, OptunaStudies),
    ports.TableStore: (in_memory.InMemoryTables, DeltaTables),
    serving_ports.Telemetry: (in_memory.InMemoryTelemetry, JsonlTelemetry),
    ports.Tracking: (
        in_memory.InMemoryTracking,
        MlflowTracking,
        TensorboardTracking,
        FanOutTracking,
    ),
    ports.TrackingRun: (in_memory.InMemoryRun, MlflowRun, TensorboardRun, FanOutRun),
}
PAIRS = [(port, adapter) for port, adapters in ADAPTERS.items() for adapter in adapters]


def methods(kind):
    """The public methods that a class defines, with their signatures."""
    return {
        name: inspect.signature(function)
        for name, function in inspect.getmembers(kind, inspect.isfunction)
        if not name.startswith("_")
    }


def arguments(signature):
    """Names, kinds, defaults and annotations, in order."""
    return [(p.name, p.kind, p.default, p.annotation) for p in signature.parameters.values()]


def named(pair):
    return pair.__name__


def test_every_port_is_compared():
    protocols = {
        kind
        for module in (ports, serving_ports)
        for _, kind in inspect.getmembers(module, inspect.isclass)
        if getattr(kind, "_is_protocol", False) and kind.__module__ == module.__name__
    }
    assert protocols == set(ADAPTERS)


def test_every_fake_is_compared_and_listed_in_order():
    fakes = {adapters[0].__name__ for adapters in ADAPTERS.values()}
    assert in_memory.__all__ == sorted(fakes)


@pytest.mark.parametrize(("port", "adapter"), PAIRS, ids=named)
def test_an_adapter_has_the_methods_of_its_port_with_the_same_arguments(port, adapter):
    promised, found = methods(port), methods(adapter)
    assert promised
    for name, signature in promised.items():
        assert name in found
        assert arguments(found[name]) == arguments(signature)


@pytest.mark.parametrize(("port", "adapter"), PAIRS, ids=named)
def test_an_adapter_returns_what_its_port_says(port, adapter):
    for name, signature in methods(port).items():
        function = getattr(adapter, name)
        if hasattr(function, "__wrapped__"):  # a context manager is written as a generator
            continue
        assert inspect.signature(function).return_annotation == signature.return_annotation


@pytest.mark.parametrize("tracking", ADAPTERS[ports.Tracking], ids=named)
def test_a_tracking_run_is_a_context_manager(tracking):
    wrapped = tracking.run.__wrapped__
    assert inspect.isgeneratorfunction(wrapped)
    kept = {adapter.__name__ for adapter in ADAPTERS[ports.TrackingRun]}
    annotation = inspect.signature(wrapped).return_annotation
    assert annotation in {f"Iterator[{name}]" for name in kept}


@pytest.mark.parametrize("run", ADAPTERS[ports.TrackingRun], ids=named)
def test_a_tracking_run_has_its_id_and_address(run):
    promised = ports.TrackingRun.__annotations__
    assert promised == {name: run.__annotations__[name] for name in ("run_id", "url")}
