"""A year of data and one training: through Dagster, and in one plain script."""

from __future__ import annotations

import os
import shutil
import statistics
from pathlib import Path
from typing import Any

from mlops_assets.commands.bench.processes import AS_OF, MODEL, read_model, time_function
from mlops_assets.commands.home import prepare_home
from mlops_assets.commands.location import Location

_PAIRS = 3


def measure_stages(build: Path) -> dict[str, float]:
    """Whole processes in turn, each from nothing: a year of data and one training."""
    pairs = []
    for number in range(_PAIRS):
        print(f"pair {number + 1} of {_PAIRS}", flush=True)
        pairs.append([_part(part, build / "bench" / part) for part in ("plain", "dagster")])
    return {
        "plain_seconds": statistics.median(plain for plain, _ in pairs),
        "dagster_seconds": statistics.median(dagster for _, dagster in pairs),
        "stage_ratio": statistics.median(dagster / plain for plain, dagster in pairs),
    }


def run_dagster(state: str) -> None:
    """Through the code location."""
    prepare_home(Path(state), os.environ)
    location = Location(MODEL)
    keys = location.model.calendar.keys
    location.run_job("ingest", span=(keys[0], keys[-1]))
    location.run_job("train", partition=AS_OF)


def run_plain(state: str) -> None:
    """The functions the assets call, called one after the other."""
    from mlops_assets.components.stages import candidates, ensembles, registration, training
    from mlops_assets.components.stages.training_sets import plan
    from mlops_assets.components.stages.tuning import study

    port = ingest_plain(state)
    model = read_model()
    tables, ledger, files, clock, tracking = (
        port[name] for name in ("tables", "ledger", "model_files", "clock", "tracking")
    )

    def tags(asset: str) -> dict[str, str]:
        return {"dagster_run_id": "plain", "dagster_asset": asset, "dagster_partition": AS_OF}

    plan(model, AS_OF, "all", tables, ledger, clock)
    searched = (tables, ledger, port["studies"], tracking, clock)
    study(model, AS_OF, *searched, tags("study"), lambda _: None)
    fitted = (tables, ledger, files, tracking, clock)
    for name, candidate in model.candidates.items():
        candidates.fit_candidate(model, AS_OF, candidate, *fitted, tags(name))
    ensembles.weigh(model, AS_OF, tables, ledger, files, clock)
    training.train(model, AS_OF, *fitted, tags("trained_model"))
    _evaluate(model, port)
    registration.register(model, AS_OF, ledger, port["registry"], clock)


def ingest_plain(state: str) -> dict[str, Any]:
    """A year of data without Dagster; returns the adapters it used."""
    from mlops_assets.components.stages import data
    from mlops_assets.defs.platform.resources import build_resources, read_settings

    prepare_home(Path(state), os.environ)
    model, port = read_model(), build_resources(read_settings(os.environ))
    for source in model.sources.values():
        keys = model.calendar.keys if source.partitioned_by else ("all",)
        data.ingest_source(model, source, keys, port["files"], port["tables"])
        data.validate_source(model, source, keys, port["tables"])
    data.build_labels(model, model.calendar.keys, port["tables"])
    data.build_features(model, model.calendar.keys, port["tables"])
    return port


def _evaluate(model: Any, port: dict[str, Any]) -> None:
    from mlops_assets.adapters import evaluation_plots as plots
    from mlops_assets.components.stages.evaluation import evaluate
    from mlops_assets.components.stages.model_card import describe_model

    with port["staging"].open() as server:
        done = evaluate(
            model,
            AS_OF,
            port["tables"],
            port["ledger"],
            port["model_files"],
            server,
            port["clock"],
        )
    report = done.report
    images = {
        "roc": plots.draw_roc(report, None),
        "calibration": plots.draw_calibration(report),
        "importance": plots.draw_importance(report),
        "costs": plots.draw_costs(report),
        "slices": plots.draw_slices(report),
    }
    card = {"model_card": describe_model(model, done, port["ledger"])}
    port["tracking"].annotate(done.trained.tracking_run, report.metrics, images, card)


def _part(part: str, state: Path) -> float:
    shutil.rmtree(state, ignore_errors=True)
    return time_function(__name__, f"run_{part}", str(state.absolute()))
