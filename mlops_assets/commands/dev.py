"""Everything for a working day on one machine: Dagster, model server, MLflow, Optuna, reports."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from mlops_assets.adapters.serving_ports import Serving
from mlops_assets.commands.home import prepare_home
from mlops_assets.commands.ports import HOST, Ports, require_free_ports

_LOOK_EVERY = 1.0
_GRACE = 20.0


class _Stopped(Exception):  # noqa: N818 - asked for, no error
    """Somebody pressed Ctrl-C, or asked this process to end."""


def run_dev(state: Path, ports: Ports) -> int:
    """Start all parts, keep the model server up, and stop all together; returns the exit status.

    Raises ``EndpointError`` naming the first port that is taken, before anything is started.
    """
    require_free_ports(ports)
    environment = _environment(state, ports)
    from mlops_assets.defs.platform.resources import build_serving, read_settings

    settings = read_settings(environment)
    serving = build_serving(settings)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _raise_stopped)
    logs = state / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    processes: list[subprocess.Popen[bytes]] = []
    try:
        report_orphans(environment["DAGSTER_HOME"])
        serving.ensure_running()
        for name, command in _commands(ports, settings.tracking, state).items():
            processes.append(_start(command, environment, logs / f"{name}.log"))
        _greet(ports, state)
        return _watch(processes, serving)
    except _Stopped:
        return 0
    finally:
        print("stopping ...", flush=True)
        _stop(processes)
        serving.stop()


def report_orphans(home: str) -> None:
    """Mark runs as failed whose processes ended with an earlier stack, after a power cut, say.

    Dagster's default launcher leaves them as started for ever; nothing of that stack lives, or
    its ports would be taken.
    """
    import dagster as dg

    going = [dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED]
    with dg.DagsterInstance.from_config(home) as instance:
        for run in instance.get_runs(dg.RunsFilter(statuses=going)):
            instance.report_run_failed(run, "its process ended with the stack that started it")


def _environment(state: Path, ports: Ports) -> dict[str, str]:
    environment = dict(os.environ)
    prepare_home(state, environment)
    environment.update(
        MLOPS_ASSETS_SERVING_PORT=str(ports.serving),
        MLOPS_ASSETS_MLFLOW_PORT=str(ports.mlflow),
        MLOPS_ASSETS_UI_URL=f"http://{HOST}:{ports.ui}",
        MLOPS_ASSETS_REPORTS_URL=f"http://{HOST}:{ports.reports}",
        MLFLOW_SERVER_ENABLE_JOB_EXECUTION="false",
        MLFLOW_DISABLE_TELEMETRY="true",
        DO_NOT_TRACK="true",
    )
    return environment


def _commands(ports: Ports, tracking: str, state: Path) -> dict[str, list[str]]:
    root = Path(__file__).parents[2]
    artifacts = state / "mlflow" / "artifacts"
    if tracking.startswith("sqlite:///"):
        Path(tracking.removeprefix("sqlite:///")).parent.mkdir(parents=True, exist_ok=True)
    dagster = [sys.executable, "-m", "dagster", "dev", "--host", HOST, "--port", str(ports.ui)]
    mlflow = [sys.executable, "-m", "mlflow", "server", "--host", HOST, "--port", str(ports.mlflow)]
    return {
        "dagster": [*dagster, "--workspace", str(root / "workspace.yaml")],
        "mlflow": [
            *mlflow,
            *("--backend-store-uri", tracking),
            *("--default-artifact-root", artifacts.as_uri()),
            *("--workers", "1"),
        ],
        "optuna": [sys.executable, "-m", "mlops_assets.commands.dashboard", str(ports.studies)],
        "reports": [sys.executable, "-m", "mlops_assets.commands.reports", str(ports.reports)],
    }


def _start(
    command: Sequence[str], environment: dict[str, str], log: Path
) -> subprocess.Popen[bytes]:
    """One part in a process group of its own, so that it ends with all its children."""
    with log.open("ab") as output:
        return subprocess.Popen(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            cwd=Path(__file__).parents[2],
        )


def _watch(processes: Sequence[subprocess.Popen[bytes]], serving: Serving) -> int:
    """Look every second: a model server that died is started again, any other end ends all."""
    while True:
        for process in processes:
            if process.poll() is not None:
                print(f"{' '.join(map(str, process.args))} ended with status {process.returncode}")  # type: ignore[arg-type]
                return 1
        serving.ensure_running()
        time.sleep(_LOOK_EVERY)


def _stop(processes: Sequence[subprocess.Popen[bytes]]) -> None:
    for process in processes:
        _signal(process, signal.SIGTERM)
    deadline = time.monotonic() + _GRACE
    for process in processes:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(max(deadline - time.monotonic(), 0.1))
        # Children that outlived their parent are in its group still.
        _signal(process, signal.SIGKILL)
        process.wait()


def _signal(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    try:
        os.killpg(process.pid, number)
    except ProcessLookupError:
        return


def _raise_stopped(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
    raise _Stopped


def _greet(ports: Ports, state: Path) -> None:
    print(f"Dagster UI     http://{HOST}:{ports.ui}")
    print(f"model server   http://{HOST}:{ports.serving}/v2")
    print(f"MLflow UI      http://{HOST}:{ports.mlflow}")
    print(f"Optuna UI      http://{HOST}:{ports.studies}")
    print(f"drift reports  http://{HOST}:{ports.reports}")
    print(f"everything is kept in {state}, logs in {state / 'logs'}; Ctrl-C stops all", flush=True)
