"""The folder a local installation keeps everything in, prepared for Dagster."""

from __future__ import annotations

import os
from pathlib import Path

DAGSTER_YAML = """\
nux:
  enabled: false
telemetry:
  enabled: false
concurrency:
  runs:
    max_concurrent_runs: 2
  pools:
    default_limit: 1
run_monitoring:
  enabled: true
  start_timeout_seconds: 180
  max_runtime_seconds: 7200
  free_slots_after_run_end_seconds: 60
run_retries:
  enabled: true
  max_retries: 0
"""


def prepare_home(state: Path, environment: dict[str, str] | os._Environ[str]) -> Path:
    """Make the state folder, write Dagster's instance file once, and name both in the environment.

    Returns the folder that is ``DAGSTER_HOME``.
    """
    home = state / "dagster"
    home.mkdir(parents=True, exist_ok=True)
    instance = home / "dagster.yaml"
    if not instance.exists():
        instance.write_text(DAGSTER_YAML)
    environment["MLOPS_ASSETS_STATE"] = str(state)
    environment["DAGSTER_HOME"] = str(home)
    return home
