"""The command line of the server, and what the process loads."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from mlops_assets.serving.settings import (
    LEDGER_VARIABLE,
    TOKEN_VARIABLE,
    Settings,
    parse_arguments,
)

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


def test_what_the_server_does_in_trouble_can_be_set():
    settings = parse_arguments(
        [
            *NEEDED,
            *("--port", "1", "--deadline", "0.5", "--when-log-fails", "answer", "--online", "/o"),
            *("--concurrency", "64", "--fd", "7", "--supervisor", "99"),
        ]
    )
    assert (settings.deadline, settings.when_log_fails) == (0.5, "answer")
    assert (settings.online, settings.concurrency) == (Path("/o"), 64)
    assert (settings.fd, settings.supervisor) == (7, 99)


@pytest.mark.parametrize(
    "extra",
    [
        [],
        ["--port", "x"],
        ["--port", "1", "--max-rows", "0"],
        ["--port", "1", "--deadline", "0"],
        ["--port", "1", "--deadline", "nan"],
        ["--port", "1", "--when-log-fails", "panic"],
        ["--port", "1", "--proxy-header", "X User"],
        ["--port", "1", "--token-file", "/nowhere/token"],
    ],
)
def test_a_command_line_that_is_not_understood_exits_with_2(extra, capsys):
    with pytest.raises(SystemExit) as end:
        parse_arguments([*NEEDED, *extra])
    assert end.value.code == 2
    assert "usage" in capsys.readouterr().err


class TestSecrets:
    PORT = ("--port", "1")

    @pytest.fixture(autouse=True)
    def no_environment(self, monkeypatch):
        monkeypatch.delenv(LEDGER_VARIABLE, raising=False)
        monkeypatch.delenv(TOKEN_VARIABLE, raising=False)

    def test_the_ledger_may_be_in_the_environment(self, monkeypatch):
        monkeypatch.setenv(LEDGER_VARIABLE, "postgresql://me:hush@db/l")
        assert parse_arguments([*NEEDED[2:], *self.PORT]).ledger == "postgresql://me:hush@db/l"
        assert parse_arguments([*NEEDED, *self.PORT]).ledger == "sqlite:///l.db"

    def test_without_any_ledger_it_is_asked_for(self, capsys):
        with pytest.raises(SystemExit):
            parse_arguments([*NEEDED[2:], *self.PORT])
        assert LEDGER_VARIABLE in capsys.readouterr().err

    def test_a_token_comes_from_its_file_before_the_environment(self, monkeypatch, tmp_path):
        assert parse_arguments([*NEEDED, *self.PORT]).token is None
        monkeypatch.setenv(TOKEN_VARIABLE, " from-outside ")
        assert parse_arguments([*NEEDED, *self.PORT]).token == "from-outside"
        file = tmp_path / "token"
        file.write_text("from-file\n")
        words = [*NEEDED, *self.PORT, "--token-file", str(file)]
        assert parse_arguments(words).token == "from-file"

    @pytest.mark.parametrize("content", [b"", b" \n", b"\xff\xfe"])
    def test_a_file_without_a_token_stops_the_start(self, tmp_path, capsys, content):
        file = tmp_path / "token"
        file.write_bytes(content)
        with pytest.raises(SystemExit):
            parse_arguments([*NEEDED, *self.PORT, "--token-file", str(file)])
        assert "--token-file" in capsys.readouterr().err

    def test_secrets_are_not_shown(self, monkeypatch, capsys):
        monkeypatch.setenv(LEDGER_VARIABLE, "postgresql://me:hush@db/l")
        monkeypatch.setenv(TOKEN_VARIABLE, "sesame")
        shown = repr(parse_arguments([*NEEDED[2:], *self.PORT]))
        with pytest.raises(SystemExit):
            parse_arguments([*NEEDED[2:], "--port", "x"])
        shown += capsys.readouterr().err
        assert "hush" not in shown
        assert "sesame" not in shown


def test_a_server_that_predicts_has_loaded_neither_dagster_nor_mlflow(world):
    digest = world.train("v1")
    code = f"""
import sys, pathlib
import mlops_assets.serving.__main__, mlops_assets.serving.app
from os import environ
from mlops_assets.adapters.skops_models import FolderModelFiles
from mlops_assets.lifecycle.rollout.state import Target
from mlops_assets.serving.routing.versions import Versions
versions = Versions(FolderModelFiles(pathlib.Path({str(world.settings.models)!r})))
version = versions.load("delays", Target("v1", {digest!r}, 100, "primary"))
(probability,) = version.predictor.predict({{"distance": [1.0], "carrier": ["UA"]}}, 1)
assert 0 < probability < 1
packages = {{name.partition(".")[0] for name in sys.modules}}
print(sorted(packages & {{"dagster", "mlflow", "evidently", "optuna", "matplotlib", "deltalake"}}))
print(environ["OMP_NUM_THREADS"])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["[]", "1"]
