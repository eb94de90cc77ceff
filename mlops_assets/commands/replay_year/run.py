"""The whole command: rows and models once, then every policy in a process of its own."""

from __future__ import annotations

import time
from pathlib import Path

from mlops_assets.commands.bench.processes import read_model
from mlops_assets.commands.replay_year.fitting import ingest_rows, list_weeks
from mlops_assets.commands.replay_year.place import Place, stop_server
from mlops_assets.commands.replay_year.policies import POLICIES, simplify
from mlops_assets.commands.replay_year.processes import run_together
from mlops_assets.commands.replay_year.report import NAME, write_report
from mlops_assets.commands.replay_year.weeks import Course, read_course
from mlops_assets.commands.replay_year.yardstick import WEEKLY, measure_weekly

WORKER = "mlops_assets.commands.replay_year.worker"
FITTERS = 2
"""Processes that fit at once."""


def run_replay_year(build: Path, every: int = 1) -> str:
    """Replay the year below ``build/replay_year``; writes ``build/replay_year.json`` and ``.png``
    and returns what to print.

    ``every``: of the rows of a week each so-manieth is sent. Models that were fitted by an earlier
    call and have not changed are kept. Raises ``ReplayError`` when a policy does not come through.
    """
    begun = time.perf_counter()
    model, place = simplify(read_model()), Place((build / NAME).absolute())
    weeks = list_weeks(model)
    ingest_rows(model, place.base, _say)
    _fit(place)
    fitted = time.perf_counter()
    courses = _replay_policies(place, every)
    replayed = time.perf_counter()
    weekly = measure_weekly(model, weeks, place.base, every=every)
    notes = {
        "model": model.name,
        "estimator": model.spec.training.estimator,
        "weeks": len(weeks),
        "first": weeks[0],
        "last": weeks[-1],
        "every": every,
        "seconds": {
            "rows and models": round(fitted - begun, 1),
            "policies": round(replayed - fitted, 1),
            "total": round(time.perf_counter() - begun, 1),
        },
    }
    return write_report({**courses, WEEKLY: weekly}, build, notes)


def _fit(place: Place) -> None:
    parts = range(FITTERS)
    words = ["--root", str(place.root), "--parts", str(FITTERS), "--part"]
    run_together(WORKER, {f"fit {part + 1}": [*words, str(part)] for part in parts})


def _replay_policies(place: Place, every: int) -> dict[str, Course]:
    """All policies at once; their servers have ended when this does, also when it is cut short."""
    words = ["--root", str(place.root), "--every", str(every), "--policy"]
    try:
        run_together(WORKER, {policy: [*words, policy] for policy in POLICIES})
    finally:
        for policy in POLICIES:
            stop_server(place.state(policy))
    return {policy: read_course(place.course(policy)) for policy in POLICIES}


def _say(text: str) -> None:
    print(text, flush=True)
