"""Requests per second, latency and memory of each server, in rounds that take turns."""

from __future__ import annotations

import json
import os
import statistics
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from mlops_assets.commands.bench.processes import AS_OF, MODEL, read_model
from mlops_assets.commands.bench.serving.contenders import (
    Contender,
    Subject,
    build_contenders,
    measure_memory,
    running,
)
from mlops_assets.commands.bench.serving.load import Load, put_load
from mlops_assets.commands.bench.stages import ingest_plain
from mlops_assets.lifecycle.training import ModelSignature, fit_estimator

LOADS = {"1 client": (1, 1), "16 clients": (16, 1), "100 rows": (1, 100)}
"""What is asked of each server: clients, and rows per request."""

ROUNDS = int(os.environ.get("BENCH_ROUNDS", "3"))
SECONDS = 3.0
ROWS = 2000
CANDIDATES = ("boosting", "committee")


def measure_serving(build: Path, peers: Path) -> dict[str, Any]:
    """Every server with each of the models; writes ``build/bench_serving.json``."""
    measured = {
        name: _measure(_fit(name, build.absolute(), peers.absolute())) for name in CANDIDATES
    }
    (build / "bench_serving.json").write_text(json.dumps(measured, indent=2) + "\n")
    return measured


def _fit(candidate: str, build: Path, peers: Path) -> Subject:
    """A candidate of the shipped model, fitted on the weeks before the first training date."""
    from mlops_assets.defs.platform.resources import build_resources, read_settings

    data = build / "bench" / "backtest"
    if not (data / "tables").exists():
        ingest_plain(str(data))
    model = read_model()
    settings = read_settings({**os.environ, "MLOPS_ASSETS_STATE": str(data)})
    tables, calendar, label = build_resources(settings)["tables"], model.calendar, model.spec.label
    key = model.spec.entities.key
    weeks = calendar.before(AS_OF, 10)
    labels = tables.read(model.table("labels"), weeks, columns=[key, label])
    rows = tables.read(model.table("features"), weeks).join(labels, on=key).drop_nulls(label)
    of = model.candidates[candidate]
    fitted = fit_estimator(
        model.function(of.estimator),
        rows,
        model.features,
        label,
        parameters=of.parameters,
        seed=model.spec.training.seed,
    )
    signature = ModelSignature(
        "model", model.features, key, model.spec.entities.time, label, AS_OF, "", of.estimator
    )
    later = tables.read(model.table("features"), [AS_OF]).sample(ROWS, seed=7)
    folder = build / "bench" / "serving" / candidate
    return Subject(fitted, signature, later, folder, peers)


def _measure(subject: Subject) -> dict[str, Any]:
    contenders = build_contenders(subject)
    seen: dict[str, dict[str, list[Load]]] = {
        c.name: {load: [] for load in LOADS} for c in contenders
    }
    memory: dict[str, float] = {}
    for number in range(ROUNDS):
        for contender in contenders:
            print(f"round {number + 1} of {ROUNDS}: {contender.name}", flush=True)
            memory[contender.name] = _ask(contender, subject, seen[contender.name])
    return {
        name: {**{load: _typical(of) for load, of in loads.items()}, "megabytes": memory[name]}
        for name, loads in seen.items()
    }


def _ask(contender: Contender, subject: Subject, seen: dict[str, list[Load]]) -> float:
    """One round of a server; returns its memory after it."""
    with running(contender, subject.rows, subject.folder) as (port, pid):
        for load, (clients, height) in LOADS.items():
            target = contender.target(port, subject.rows, height)
            seen[load].append(put_load(target, clients=clients, seconds=SECONDS))
        return measure_memory(pid)


def _typical(loads: list[Load]) -> dict[str, float]:
    """The median of each figure over the rounds, and all failures."""
    plain = [asdict(load) for load in loads]
    figures = {
        name: statistics.median(p[name] for p in plain) for name in ("per_second", "p50", "p99")
    }
    return {**figures, "failed": float(sum(load.failed for load in loads))}


def tell_serving(measured: Mapping[str, Any]) -> str:
    """A table per model, then how ours relates to the better of the others."""
    lines = []
    for candidate, servers in measured.items():
        lines += ["", f"{MODEL}, {candidate}, one worker each; {ROUNDS} rounds of {SECONDS:g} s"]
        lines += [
            f"{'':<22}"
            + "".join(f"{load + ' req/s':>18}{'p50/p99 ms':>16}" for load in LOADS)
            + f"{'MB':>7}"
        ]
        lines += [_row(name, of) for name, of in servers.items()]
        lines += _ratios(servers)
    return "\n".join(lines)


def _row(name: str, of: Mapping[str, Any]) -> str:
    figures = "".join(
        f"{of[load]['per_second']:18.0f}{of[load]['p50']:8.2f}/{of[load]['p99']:<7.2f}"
        for load in LOADS
    )
    failed = sum(of[load]["failed"] for load in LOADS)
    return f"{name:<22}{figures}{of['megabytes']:7.0f}" + (
        f"  {failed:.0f} FAILED" if failed else ""
    )


def _ratios(servers: Mapping[str, Any]) -> list[str]:
    ours = servers["mlops-assets"]
    others = [of for name, of in servers.items() if name.startswith(("mlflow", "KServe"))]
    lines = []
    for load, aim in (("1 client", 15), ("16 clients", 15), ("100 rows", 3)):
        best = max(of[load]["per_second"] for of in others)
        p99 = min(of[load]["p99"] for of in others)
        lines.append(
            f"  {load}: {ours[load]['per_second'] / best:.1f} times the better of the others "
            f"(aim: at least {aim}), p99 {ours[load]['p99'] / p99:.3f} of theirs (aim: at most 0.1)"
        )
    least = min(of["megabytes"] for of in others)
    return [*lines, f"  memory: {ours['megabytes'] / least:.2f} of theirs (aim: at most 1)"]
