"""This project's server as a process of its own, with a small model that was fitted just now."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OrdinalEncoder

from mlops_assets.adapters.journal import write_champion, write_once
from mlops_assets.adapters.skops_models import FolderModelFiles
from mlops_assets.adapters.sql_ledger import SqlLedger
from mlops_assets.lifecycle.rollout.state import Champion
from mlops_assets.lifecycle.training import Feature, ModelSignature, fit_estimator

MODEL = "delays"
FEATURES = (Feature("distance", "numeric"), Feature("carrier", "categorical"))
START_SECONDS = 120.0


@contextmanager
def run_own_server(root: Path) -> Iterator[str]:
    """The address of the server; it ends with the block."""
    deploy(root)
    folders = [
        word for name in ("models", "log", "state") for word in (f"--{name}", str(root / name))
    ]
    options = ["--ledger", _ledger(root), *folders, "--port", "0"]
    command = [sys.executable, "-m", "mlops_assets.serving", *options]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        try:
            yield _wait_for_address(process, root / "state" / "server.json")
        finally:
            process.kill()


def deploy(root: Path) -> None:
    """Fit a model, and let the ledger say that it passed and answers."""
    rows = pl.DataFrame(
        {
            "distance": [100.0 * n for n in range(40)],
            "carrier": ["UA", "DL", None, "AA"] * 10,
            "late": [0, 1, 1, 0, 1] * 8,
        }
    )
    estimator = fit_estimator(_build, rows, FEATURES, "late", parameters={}, seed=0)
    identity = {"entity_key": "flight", "time": "departs_at", "label": "late"}
    origin = {"train_as_of": "2013-06-01", "training_set": "abc", "estimator": "trees"}
    signature = ModelSignature(MODEL, FEATURES, **identity, **origin)
    digest = FolderModelFiles(root / "models").save(estimator, signature)
    ledger, now = SqlLedger(_ledger(root)), datetime(2013, 6, 1, tzinfo=UTC)
    write_once(ledger, "verdict", MODEL, digest, {"outcome": "passed"}, now)
    write_champion(ledger, MODEL, Champion("v1", digest, "2013-06-01", "the first"), now)


def _build(features: tuple[Feature, ...], seed: int) -> Pipeline:
    encoder = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
    columns = make_column_transformer((encoder, ["carrier"]), remainder="passthrough")
    return make_pipeline(columns, HistGradientBoostingClassifier(max_iter=5, random_state=seed))


def _ledger(root: Path) -> str:
    return f"sqlite:///{root}/ledger.db"


def _wait_for_address(process: subprocess.Popen[bytes], file: Path) -> str:
    deadline = time.monotonic() + START_SECONDS
    while not file.exists():
        assert process.poll() is None, "the server ended before it answered"
        assert time.monotonic() < deadline, "the server did not answer in time"
        time.sleep(0.05)
    url: str = json.loads(file.read_text())["url"]
    return url
