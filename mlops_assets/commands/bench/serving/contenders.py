"""The servers that are measured: each a process with the same fitted model."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops_assets.adapters.staged_requests import build_request
from mlops_assets.commands.bench.serving.load import Target
from mlops_assets.commands.ports import free_port
from mlops_assets.lifecycle.training import ModelSignature, to_model_frame

if TYPE_CHECKING:
    import polars as pl

NAME = "model"
START_SECONDS = 120.0
STOP_SECONDS = 20.0


@dataclass(frozen=True)
class Subject:
    """A fitted model, its signature, rows to ask about, and a folder to keep files in."""

    model: Any
    signature: ModelSignature
    rows: pl.DataFrame
    folder: Path
    peers: Path


@dataclass(frozen=True)
class Contender:
    """A server: how it is started on a port, and by which paths and bodies it is asked."""

    name: str
    command: Callable[[int], Sequence[str]]
    path: str
    encode: Callable[[pl.DataFrame], bytes]
    environment: Mapping[str, str]

    def target(self, port: int, rows: pl.DataFrame, height: int) -> Target:
        """Requests of ``height`` rows each, one after the other."""
        count = rows.height // height
        bodies = [self.encode(rows.slice(at * height, height)) for at in range(count)]
        return Target(port, self.path, bodies)


def build_contenders(subject: Subject) -> list[Contender]:
    """Ours, the floor, and the two others; writes the files that they load."""
    import joblib

    from mlops_assets.commands.bench.serving import floor, kserve_server

    subject.folder.mkdir(parents=True, exist_ok=True)
    pickled = subject.folder / "model.joblib"
    joblib.dump(subject.model, pickled)
    features = subject.signature.features

    def v2(rows: pl.DataFrame) -> bytes:
        return build_request(rows, features, "")

    def columns(rows: pl.DataFrame) -> dict[str, Any]:
        frame = to_model_frame(rows, features)
        return json.loads(frame.to_json(orient="split", index=False))  # type: ignore[no-any-return]

    def v1(rows: pl.DataFrame) -> bytes:
        split = columns(rows)
        return json.dumps(
            {"instances": [dict(zip(split["columns"], row, strict=True)) for row in split["data"]]}
        ).encode()

    kserve = [str(subject.peers / "bin" / "python"), kserve_server.__file__, NAME, str(pickled)]
    one = {"OMP_NUM_THREADS": "1"}
    return [
        _ours(subject, v2),
        Contender(
            "floor (a constant)",
            lambda port: [sys.executable, floor.__file__, str(port)],
            "/v2/models/model/infer",
            v2,
            {},
        ),
        _mlflow(subject, lambda rows: json.dumps({"dataframe_split": columns(rows)}).encode()),
        Contender(
            "KServe SDK v1", lambda p: [*kserve, str(p)], f"/v1/models/{NAME}:predict", v1, one
        ),
        Contender(
            "KServe SDK v2",
            lambda p: [*kserve, str(p)],
            f"/v2/models/{NAME}/infer",
            _v2_plain(features),
            one,
        ),
    ]


def _v2_plain(features: Sequence[Any]) -> Callable[[pl.DataFrame], bytes]:
    """As ours, but missing numbers have no name in that server: it is asked for complete rows."""

    def encode(rows: pl.DataFrame) -> bytes:
        import polars as pl

        filled = rows.with_columns(pl.selectors.numeric().fill_null(0))
        return build_request(
            filled.with_columns(pl.selectors.string().fill_null("")), features, "0"
        )

    return encode


def _ours(subject: Subject, encode: Callable[[pl.DataFrame], bytes]) -> Contender:
    """Our server, its prediction log on, a verdict and a promotion in its ledger."""
    from mlops_assets.adapters.journal import write_champion, write_once
    from mlops_assets.adapters.skops_models import FolderModelFiles
    from mlops_assets.adapters.sql_ledger import SqlLedger
    from mlops_assets.adapters.system_clock import SystemClock
    from mlops_assets.lifecycle.rollout.state import Champion

    folder, now = subject.folder / "ours", SystemClock().now()
    digest = FolderModelFiles(folder / "models").save(subject.model, subject.signature)
    ledger = SqlLedger(f"sqlite:///{folder}/ledger.db")
    write_once(ledger, "verdict", NAME, digest, {"outcome": "passed"}, now)
    write_champion(ledger, NAME, Champion("v1", digest, "", "measured"), now)
    options = {
        "--ledger": ledger.url,
        "--models": folder / "models",
        "--log": folder / "log",
        "--state": folder / "state",
    }
    words = [str(word) for option in options.items() for word in option]

    def command(port: int) -> list[str]:
        return [sys.executable, "-m", "mlops_assets.serving", *words, "--port", str(port)]

    return Contender("mlops-assets", command, f"/v2/models/{NAME}/infer", encode, {})


def _mlflow(subject: Subject, encode: Callable[[pl.DataFrame], bytes]) -> Contender:
    """``mlflow models serve`` in this environment, one worker."""
    import shutil

    import mlflow.sklearn

    folder = subject.folder / "mlflow"
    shutil.rmtree(folder, ignore_errors=True)
    mlflow.sklearn.save_model(
        subject.model,
        str(folder),
        serialization_format="cloudpickle",
        pyfunc_predict_fn="predict_proba",
        pip_requirements=[],
    )
    words = ["models", "serve", "-m", str(folder), "--env-manager", "local", "--workers", "1"]
    programs = Path(sys.executable).parent
    program = str(programs / "mlflow")
    environment = {
        "OMP_NUM_THREADS": "1",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "PATH": f"{programs}:{os.environ['PATH']}",  # it looks for uvicorn there
    }
    return Contender(
        "mlflow models serve",
        lambda port: [program, *words, "--host", "127.0.0.1", "--port", str(port)],
        "/invocations",
        encode,
        environment,
    )


@contextmanager
def running(contender: Contender, rows: pl.DataFrame, folder: Path) -> Iterator[tuple[int, int]]:
    """The port and pid of a started server that has answered once; ended with the block."""
    port = free_port()
    with (folder / "servers.log").open("ab") as log:
        process = subprocess.Popen(
            contender.command(port),
            stdout=log,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            env={**os.environ, **contender.environment},
            cwd=folder,
        )
    try:
        _wait_until_answering(contender, process, port, contender.encode(rows.head(1)))
        yield port, process.pid
    finally:
        end_tree(process)


def _wait_until_answering(
    contender: Contender, process: subprocess.Popen[bytes], port: int, body: bytes
) -> None:
    import httpx

    deadline = time.monotonic() + START_SECONDS
    said = "nothing"
    headers = {"content-type": "application/json"}
    while time.monotonic() < deadline and process.poll() is None:
        try:
            url = f"http://127.0.0.1:{port}{contender.path}"
            answer = httpx.post(url, content=body, headers=headers, timeout=30, trust_env=False)
            if answer.status_code == 200:
                return
            said = f"{answer.status_code} {answer.text[:300]}"
        except httpx.TransportError as error:
            said = repr(error)
        time.sleep(0.2)
    raise RuntimeError(f"{contender.name} does not answer: {said}")


def tree(pid: int) -> list[int]:
    """A process and all that it started, itself first."""
    children = Path(f"/proc/{pid}/task/{pid}/children")
    below = children.read_text().split() if children.exists() else []
    return [pid, *(inner for child in below for inner in tree(int(child)))]


def measure_memory(pid: int) -> float:
    """Proportional memory of a process and its children, in millions of bytes."""
    total = 0
    for member in tree(pid):
        rollup = Path(f"/proc/{member}/smaps_rollup").read_text()
        total += sum(int(line.split()[1]) for line in rollup.splitlines() if line[:4] == "Pss:")
    return total * 1024 / 1e6


def end_tree(process: subprocess.Popen[bytes]) -> None:
    """End a server and what it started, by their ids."""
    import signal

    members = tree(process.pid)
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    for member in members[1:]:
        try:
            os.kill(member, signal.SIGKILL)
        except ProcessLookupError:
            continue
