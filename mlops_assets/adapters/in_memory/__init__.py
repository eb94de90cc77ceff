"""A fake of each port, for tests that want to be fast; the contract suites keep them honest."""

from __future__ import annotations

from mlops_assets.adapters.in_memory.alerts import InMemoryAlerts
from mlops_assets.adapters.in_memory.clock import FixedClock
from mlops_assets.adapters.in_memory.ledger import InMemoryLedger
from mlops_assets.adapters.in_memory.model_files import InMemoryModelFiles
from mlops_assets.adapters.in_memory.online_tables import InMemoryOnlineTables
from mlops_assets.adapters.in_memory.registry import InMemoryRegistry
from mlops_assets.adapters.in_memory.reports import InMemoryReports
from mlops_assets.adapters.in_memory.serving import InMemoryServing
from mlops_assets.adapters.in_memory.source_files import InMemorySourceFiles
from mlops_assets.adapters.in_memory.staging import InMemoryStaging, InMemoryStagingServer
from mlops_assets.adapters.in_memory.studies import InMemoryStudies
from mlops_assets.adapters.in_memory.tables import InMemoryTables
from mlops_assets.adapters.in_memory.telemetry import InMemoryTelemetry
from mlops_assets.adapters.in_memory.tracking import InMemoryRun, InMemoryTracking

__all__ = [
    "FixedClock",
    "InMemoryAlerts",
    "InMemoryLedger",
    "InMemoryModelFiles",
    "InMemoryOnlineTables",
    "InMemoryRegistry",
    "InMemoryReports",
    "InMemoryRun",
    "InMemoryServing",
    "InMemorySourceFiles",
    "InMemoryStaging",
    "InMemoryStagingServer",
    "InMemoryStudies",
    "InMemoryTables",
    "InMemoryTelemetry",
    "InMemoryTracking",
]
