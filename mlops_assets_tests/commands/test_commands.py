"""The command line: ports, the state folder, requests, the story."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg
import polars as pl
import pytest
import yaml

from mlops_assets import cli
from mlops_assets.commands.dev import report_orphans
from mlops_assets.commands.home import prepare_home
from mlops_assets.commands.ports import Ports, free_port, require_free_ports
from mlops_assets.commands.replay import Replayed, build_request
from mlops_assets.commands.story import tell
from mlops_assets.lifecycle.errors import EndpointError
from mlops_assets.lifecycle.training import Feature


def test_given_a_taken_port_then_dev_names_it_and_the_variable_that_changes_it() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(EndpointError) as error:
            require_free_ports(Ports(free_port(), port, free_port(), free_port(), free_port()))
    assert f"port {port} on 127.0.0.1 is taken" in str(error.value)
    assert f"make dev SERVING_PORT={port + 1}" in str(error.value)


def test_given_a_taken_port_then_the_command_ends_with_one_line_and_starts_nothing(
    tmp_path: Path,
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        ended = subprocess.run(
            [
                sys.executable,
                "-m",
                "mlops_assets.cli",
                "dev",
                "--state",
                str(tmp_path / "state"),
                "--ui-port",
                str(port),
                "--serving-port",
                str(free_port()),
                "--mlflow-port",
                str(free_port()),
                "--studies-port",
                str(free_port()),
                "--reports-port",
                str(free_port()),
            ],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert ended.returncode == 1
    assert ended.stderr.count("\n") == 1
    assert str(port) in ended.stderr
    assert not (tmp_path / "state").exists()


def test_free_ports_pass() -> None:
    require_free_ports(Ports(*(free_port() for _ in range(5))))


@pytest.mark.parametrize(
    "variable", ["UI_PORT", "SERVING_PORT", "MLFLOW_PORT", "STUDIES_PORT", "REPORTS_PORT"]
)
def test_each_port_is_changed_by_a_variable_of_its_own(variable: str) -> None:
    names = ["UI_PORT", "SERVING_PORT", "MLFLOW_PORT", "STUDIES_PORT", "REPORTS_PORT"]
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        ports = [port if name == variable else free_port() for name in names]
        with pytest.raises(EndpointError, match=f"make dev {variable}={port + 1}"):
            require_free_ports(Ports(*ports))


def test_the_state_folder_is_dagsters_home_and_a_changed_instance_file_is_kept(
    tmp_path: Path,
) -> None:
    # given a prepared folder whose owner changed the instance file
    environment: dict[str, str] = {}
    home = prepare_home(tmp_path / "state", environment)
    assert yaml.safe_load((home / "dagster.yaml").read_text())["telemetry"] == {"enabled": False}
    (home / "dagster.yaml").write_text("telemetry: {enabled: false}\n")

    # when it is prepared again, then it is as its owner left it
    prepare_home(tmp_path / "state", environment)
    assert (home / "dagster.yaml").read_text() == "telemetry: {enabled: false}\n"
    assert environment["DAGSTER_HOME"] == str(home)
    assert environment["MLOPS_ASSETS_STATE"] == str(tmp_path / "state")


def test_dagster_accepts_the_instance_file(tmp_path: Path) -> None:
    home = prepare_home(tmp_path, {})
    with dg.DagsterInstance.from_config(str(home)) as instance:
        assert instance.telemetry_enabled is False
        assert instance.run_monitoring_enabled


def test_runs_of_an_earlier_stack_are_reported_as_failed_and_ended_ones_are_left(
    tmp_path: Path,
) -> None:
    # given one run that was going when the power went, and one that had ended
    home = prepare_home(tmp_path, {})

    @dg.op
    def nothing() -> None: ...

    @dg.job
    def work() -> None:
        nothing()

    with dg.DagsterInstance.from_config(str(home)) as instance:
        ended = work.execute_in_process(instance=instance).run_id
        orphan = instance.create_run_for_job(work, status=dg.DagsterRunStatus.STARTED).run_id

    # when the next stack begins
    report_orphans(str(home))

    # then nobody waits for it any more
    with dg.DagsterInstance.from_config(str(home)) as instance:
        assert instance.get_run_by_id(orphan).status is dg.DagsterRunStatus.FAILURE
        assert instance.get_run_by_id(ended).status is dg.DagsterRunStatus.SUCCESS


def test_a_row_becomes_a_request_with_its_identity_and_null_for_what_is_missing() -> None:
    # given a stored row with a gap
    at = datetime(2013, 5, 1, 12, tzinfo=UTC)
    row = pl.DataFrame({"flight_id": "a", "departs": at, "carrier": "UA", "temp": None})
    features = (Feature("carrier", "categorical"), Feature("temp", "numeric"))

    # when it is made into a request
    inputs = build_request(row, features, "flight_id", "departs")["inputs"]

    # then each input has its protocol's type
    assert {i["name"]: (i["datatype"], i["shape"], i["data"]) for i in inputs} == {
        "flight_id": ("BYTES", [1], ["a"]),
        "departs": ("BYTES", [1], ["2013-05-01T12:00:00+00:00"]),
        "carrier": ("BYTES", [1], ["UA"]),
        "temp": ("FP64", [1], [None]),
    }


def test_replays_add_up() -> None:
    assert Replayed(3, 1) + Replayed(4, 0) == Replayed(7, 1)


def test_the_story_has_the_numbers_of_the_result() -> None:
    # given a result as the demo writes it
    def version(name: str) -> dict[str, object]:
        return {"version": name, "train_as_of": "2013-04-08", "auc": 0.7194, "verdict": "passed"}

    def rollout(outcome: str) -> dict[str, object]:
        steps = [{"phase": "progressing", "weight": 10}, {"phase": "failed", "weight": 0}]
        return {"steps": steps, "outcome": outcome, "requests_to_decision": 217}

    result = {
        "raw_rows": 336776,
        "partitions": 53,
        "validated_rows": 336771,
        "quarantined_rows": 5,
        "versions": [version("v1"), version("v2"), version("v3")],
        "rollouts": [rollout("promoted"), rollout("promoted"), rollout("rolled back")],
        "predictions_sent": 3900,
        "predictions_failed": 0,
        "predictions_logged": 3900,
        "retraining": {"week": "2013-04-29", "train_as_of": "2013-05-06"},
        "champion": "v2",
        "seconds": {"total": 93.4},
    }

    # when it is told, then a person reads them
    said = tell(result, Path("build"))
    for part in (
        "336,776 flights, 53 weeks",
        "AUC 0.719",
        "3,900 live requests, 0 failed",
        "canary 10  rolled back after 217 requests",
        "champion is v2",
        "93 seconds",
        "make dev STATE=build/demo",
    ):
        assert part in said
    result["rollouts"][2]["cut_off"] = "it raised 5 times in a row"
    assert "after 217 requests, cut off by the endpoint" in tell(result, Path("build"))


def test_ending_the_server_of_a_folder_without_one_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["down", "--state", str(tmp_path)]) == 0
    assert "no model server was running" in capsys.readouterr().out


INTERRUPTED = """
import signal
import time
from mlops_assets import cli
from mlops_assets.commands import demo

signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job has none

def run(build):
    try:
        print("running", flush=True)
        time.sleep(60)
    finally:
        print("its server is ended", flush=True)

demo.run_demo = run
raise SystemExit(cli.main(["demo"]))
"""


@pytest.mark.parametrize(
    ("sent", "status", "said"),
    [
        (signal.SIGTERM, 143, "its server is ended\n"),
        (signal.SIGINT, 130, "its server is ended\nmlops-assets demo: interrupted\n"),
    ],
)
def test_a_demo_that_is_terminated_or_interrupted_ends_in_order(sent, status, said):
    words = [sys.executable, "-c", INTERRUPTED]
    with subprocess.Popen(
        words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        assert process.stdout
        assert process.stdout.readline() == "running\n"
        process.send_signal(sent)
        assert process.stdout.read() == said
    assert process.returncode == status
