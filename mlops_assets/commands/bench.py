"""What Dagster adds: the same work through the code location and in one plain script, paired."""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mlops_assets.commands.home import prepare_home
from mlops_assets.commands.location import Location

if TYPE_CHECKING:
    from mlops_assets.components.definition import ModelDefinition

MODEL = "flight_delays"
AS_OF = "2013-04-08"
_PAIRS = 3
_LOADS = 7

IMPORT_DAGSTER = "import dagster"
LOAD_LOCATION = "from mlops_assets.definitions import definitions as d; d().get_repository_def()"


def run_bench(build: Path) -> str:
    """Measure, write ``build/bench.json``, and return what to print."""
    build.mkdir(parents=True, exist_ok=True)
    loading = measure_loading()
    stages = measure_stages(build)
    (build / "bench.json").write_text(json.dumps({**loading, **stages}, indent=2) + "\n")
    return "\n".join(
        [
            f"import dagster                    {loading['import_seconds']:6.2f} s",
            f"load the code location            {loading['load_seconds']:6.2f} s   "
            f"ratio {loading['load_ratio']:.2f} (aim: at most 1.5)",
            f"data and training, plain script   {stages['plain_seconds']:6.2f} s",
            f"data and training, Dagster        {stages['dagster_seconds']:6.2f} s   "
            f"ratio {stages['stage_ratio']:.2f} (aim: at most 1.5)",
        ]
    )


def measure_loading() -> dict[str, float]:
    """Whole processes in turn: importing Dagster, loading the code location; medians and the
    median of the ratios pair by pair.
    """
    pairs = [
        (_seconds(["-c", IMPORT_DAGSTER]), _seconds(["-W", "ignore", "-c", LOAD_LOCATION]))
        for _ in range(_LOADS + 1)
    ][1:]
    return {
        "import_seconds": statistics.median(a for a, _ in pairs),
        "load_seconds": statistics.median(b for _, b in pairs),
        "load_ratio": statistics.median(b / a for a, b in pairs),
    }


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


def run_part(part: str, state: Path) -> None:
    """The work itself, in this process: ingest the year, train as of a spring week."""
    prepare_home(state, os.environ)
    {"plain": _run_plain, "dagster": _run_dagster}[part]()


def _run_dagster() -> None:
    location = Location(MODEL)
    keys = location.model.calendar.keys
    location.run_job("ingest", span=(keys[0], keys[-1]))
    location.run_job("train", partition=AS_OF)


def _run_plain() -> None:
    """The functions the assets call, called one after the other."""
    from mlops_assets.adapters import matplotlib_plots as plots
    from mlops_assets.components.stages import data, evaluation, registration, training
    from mlops_assets.defs.platform.resources import build_resources, read_settings

    model = _model()
    port = build_resources(read_settings(os.environ))
    tables, ledger, clock = port["tables"], port["ledger"], port["clock"]
    for source in model.sources.values():
        keys = model.calendar.keys if source.partitioned_by else ("all",)
        data.ingest_source(model, source, keys, port["files"], tables)
        data.validate_source(model, source, keys, tables)
    data.build_labels(model, model.calendar.keys, tables)
    data.build_features(model, model.calendar.keys, tables)
    training.plan(model, AS_OF, "all", tables, ledger, clock)
    result = training.study(model, AS_OF, tables, ledger, port["studies"], clock, lambda _: None)
    plots.draw_trials(result.values)
    tags = {"dagster_run_id": "plain", "dagster_asset": "trained_model", "dagster_partition": AS_OF}
    estimator = model.spec.training.estimator
    training.train(
        model, AS_OF, estimator, tables, ledger, port["model_files"], port["tracking"], clock, tags
    )
    done = evaluation.evaluate(model, AS_OF, tables, ledger, port["model_files"], clock)
    images = {
        "roc": plots.draw_roc(done.report, None),
        "calibration": plots.draw_calibration(done.report),
        "importance": plots.draw_importance(done.report),
        "slices": plots.draw_slices(done.report),
    }
    port["tracking"].annotate(done.trained.tracking_run, done.report.metrics, images)
    registration.register(model, AS_OF, ledger, port["registry"], clock)


def _model() -> ModelDefinition:
    import yaml

    from mlops_assets.components.definition import ModelDefinition
    from mlops_assets.components.reading import read_spec

    folder = Path(__file__).parents[1] / "defs" / MODEL
    written = yaml.safe_load((folder / "defs.yaml").read_text())["attributes"]
    spec = read_spec(written, folder, str)
    return ModelDefinition(spec, f"mlops_assets.defs.{MODEL}.model", folder)


def _part(part: str, state: Path) -> float:
    shutil.rmtree(state, ignore_errors=True)
    code = (
        f"from mlops_assets.commands.bench import run_part; from pathlib import Path; "
        f"run_part({part!r}, Path({str(state.absolute())!r}))"
    )
    return _seconds(["-W", "ignore", "-c", code])


def _seconds(arguments: Sequence[str]) -> float:
    begun = time.perf_counter()
    subprocess.run([sys.executable, *arguments], check=True, capture_output=True)
    return time.perf_counter() - begun
