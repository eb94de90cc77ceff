"""The command line of the server, and what the process loads."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from mlops_assets.serving.settings import Settings, parse_arguments

NEEDED = ["--ledger", "sqlite:///l.db", "--models", "m", "--log", "/l", "--state", "s"]


def test_settings_have_defaults_and_absolute_folders():
    here = Path.cwd()
    assert parse_arguments([*NEEDED, "--port", "8000"]) == Settings(
        ledger="sqlite:///l.db",
        models=here / "m",
        log=Path("/l"),
        state=here / "s",
        host="127.0.0.1",
        port=8000,
        max_body_bytes=1048576,
        max_rows=1000,
    )


def test_limits_can_be_set():
    settings = parse_arguments([*NEEDED, "--port", "1", "--max-rows", "5", "--max-body-bytes", "9"])
    assert (settings.max_rows, settings.max_body_bytes) == (5, 9)


@pytest.mark.parametrize("extra", [[], ["--port", "x"], ["--port", "1", "--max-rows", "0"]])
def test_a_command_line_that_is_not_understood_exits_with_2(extra, capsys):
    with pytest.raises(SystemExit) as end:
        parse_arguments([*NEEDED, *extra])
    assert end.value.code == 2
    assert "usage" in capsys.readouterr().err


def test_a_server_that_predicts_has_loaded_neither_dagster_nor_mlflow(world):
    digest = world.train("v1")
    code = f"""
import sys, pathlib
import mlops_assets.serving.__main__, mlops_assets.serving.app
from os import environ
from mlops_assets.adapters.skops_models import FolderModelFiles
from mlops_assets.lifecycle.rollout.state import Target
from mlops_assets.serving.versions import Versions
from mlops_assets.serving.answering import predict
from mlops_assets.serving.rows import Rows
import polars as pl
versions = Versions(FolderModelFiles(pathlib.Path({str(world.settings.models)!r})))
version = versions.load("delays", Target("v1", {digest!r}, 100, "primary"))
predict(version, Rows(pl.DataFrame({{"distance": [1.0], "carrier": ["UA"]}}), None, None))
packages = {{name.partition(".")[0] for name in sys.modules}}
print(sorted(packages & {{"dagster", "mlflow", "evidently", "optuna", "matplotlib", "deltalake"}}))
print(environ["OMP_NUM_THREADS"])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["[]", "1"]
