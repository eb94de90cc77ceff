"""How the KServe SDK's server does on the conformance suite that ours has to pass."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from mlops_assets.commands.bench.serving.contenders import (
    NAME,
    Subject,
    build_contenders,
    running,
)
from mlops_assets.lifecycle.training import Feature, ModelSignature

SUITE = Path(__file__).parents[4] / "mlops_assets_tests" / "conformance"
OTHER = "KServe SDK v2"


def check_other(build: Path, peers: Path) -> str:
    """Run the suite against that server, with a small model in it; returns what the suite said."""
    subject = _build_subject(build.absolute() / "bench" / "conformance", peers.absolute())
    contender = next(c for c in build_contenders(subject) if c.name == OTHER)
    example = subject.folder / "example.json"
    example.write_bytes(contender.encode(subject.rows.head(2)))
    with running(contender, subject.rows, subject.folder) as (port, _):
        asked = ["--endpoint", f"http://127.0.0.1:{port}", "--model", NAME]
        words = ["-m", "pytest", str(SUITE), *asked, "--example", str(example)]
        quiet = ["-p", "no:cacheprovider", "--tb=no", "-rf", "--no-header"]
        said = subprocess.run(
            [sys.executable, *words, *quiet], check=False, capture_output=True, text=True
        )
    (build / "conformance.txt").write_text(said.stdout + said.stderr)
    summary = [line.strip("= ") for line in said.stdout.splitlines() if "conformance: " in line]
    return f"{OTHER}, {summary[0] if summary else 'no check ran'}; see {build}/conformance.txt"


def _build_subject(folder: Path, peers: Path) -> Subject:
    """A pipeline of two features on rows made for it: the suite is about the protocol."""
    import pandas as pd
    import polars as pl
    from sklearn.compose import make_column_transformer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder

    rows = pl.DataFrame({"x": [float(n) for n in range(40)], "kind": ["a", "b"] * 20})
    frame = pd.DataFrame({name: rows[name].to_list() for name in rows.columns})
    encode = make_column_transformer(
        (OneHotEncoder(handle_unknown="ignore"), ["kind"]), remainder="passthrough"
    )
    model = make_pipeline(encode, LogisticRegression()).fit(frame, frame["x"] > 20)
    features = (Feature("x", "numeric"), Feature("kind", "categorical"))
    signature = ModelSignature(NAME, features, "key", "at", "label", "", "", "logistic")
    folder.mkdir(parents=True, exist_ok=True)
    return Subject(model, signature, rows, folder, peers)
