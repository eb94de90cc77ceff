"""All of drift: which windows are simulated, and the rates that come of it."""

from __future__ import annotations

import pickle
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import cache, partial
from pathlib import Path
from typing import Any

from mlops_assets.commands.bench.processes import read_model
from mlops_assets.commands.simulate.drift.effort import Effort
from mlops_assets.commands.simulate.drift.pool import WORKERS, run_jobs
from mlops_assets.commands.simulate.drift.real_days import (
    RealDays,
    build_real_days,
)
from mlops_assets.commands.simulate.drift.shifts import SHIFTS
from mlops_assets.commands.simulate.drift.streams import build_regimes, count_retrains
from mlops_assets.commands.simulate.drift.trials import (
    DRAWS,
    Draw,
    Flags,
    Found,
    judge_same,
    judge_shifted,
)
from mlops_assets.commands.simulate.rates import measure_rate, measure_yearly
from mlops_assets.components.definition import ModelDefinition

Job = Callable[[RealDays], Any]


def build_world() -> tuple[ModelDefinition, RealDays]:
    """The flights that are shipped: a year through their own stages."""
    print("building a year of features in memory", flush=True)
    model = read_model()
    return model, build_real_days(model)


def measure_drift_rates(
    effort: Effort,
    seed: int,
    world: tuple[ModelDefinition, RealDays] | None = None,
    workers: int = WORKERS,
) -> dict[str, Any]:
    """False alarms, found shifts and false retrains; each rate with its 95 % interval."""
    model, real = world or build_world()
    same, shifted = _plan_same(effort, seed), _plan_shifted(effort, seed)
    years: list[Job] = [
        partial(count_retrains, model=model, seed=(seed, 3, number))
        for number in range(effort.years)
    ]
    print(f"simulating {effort}", flush=True)
    told = _run(real, [*years, *same.values(), *shifted.values()], workers)
    counted, rest = told[: len(years)], told[len(years) :]
    flags = dict(zip(same, rest[: len(same)], strict=True))
    found = dict(zip(shifted, rest[len(same) :], strict=True))
    return {
        "effort": asdict(effort),
        "same": [each for draw in DRAWS for each in _measure_same(draw, flags)],
        "shifted": [each for shift in SHIFTS for each in _measure_shifted(shift.name, found)],
        "retrains": _measure_retrains(model, counted),
    }


def _plan_same(effort: Effort, seed: int) -> dict[tuple[Draw, int], Job]:
    counts = {"days": effort.windows, "weeks": effort.seasons}
    return {
        (draw, number): partial(
            judge_same,
            draw=draw,
            seed=(seed, index, number),
            evidently=draw == "days" and number < effort.evidently,
        )
        for index, draw in enumerate(DRAWS)
        for number in range(counts[draw])
    }


def _plan_shifted(effort: Effort, seed: int) -> dict[tuple[str, int], Job]:
    return {
        (shift.name, number): partial(
            judge_shifted,
            shift=shift.name,
            number=number,
            seed=(seed, 2, index, number),
            evidently=number < effort.evidently_shifted,
        )
        for index, shift in enumerate(SHIFTS)
        for number in range(effort.shifted)
    }


def _run(real: RealDays, jobs: Sequence[Job], workers: int) -> list[Any]:
    """All jobs, longest first, in processes that read the days from a file of their own."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "days"
        path.write_bytes(pickle.dumps(real))
        return run_jobs(partial(_work, path), jobs, workers)


def _work(path: Path, job: Job) -> Any:
    return job(_load(path))


@cache
def _load(path: Path) -> RealDays:
    """Read once in a process."""
    real: RealDays = pickle.loads(path.read_bytes())  # noqa: S301 - written above
    return real


def _measure_same(draw: Draw, flags: dict[tuple[Draw, int], Flags]) -> list[dict[str, Any]]:
    """One entry for each number of features and detector."""
    of_draw = [found for (drawn, _), found in flags.items() if drawn == draw]
    first = of_draw[0]  # what Evidently saw it saw among the first
    return [
        {
            "draw": draw,
            "features": count,
            "detector": name,
            "windows": len(seen := [each[name][count] for each in of_draw if name in each]),
            "flagged": measure_rate(seen),
        }
        for name in first
        for count in first[name]
    ]


def _measure_shifted(shift: str, found: dict[tuple[str, int], Found]) -> list[dict[str, Any]]:
    """One entry for each detector: the shifted column flagged, and anything at all."""
    of_shift = [each for (name, _), each in found.items() if name == shift]
    aim = next(each.aim for each in SHIFTS if each.name == shift)
    measured = []
    for detector in of_shift[0].found:
        seen = [each for each in of_shift if detector in each.found]
        any_flag = [each.anything[detector] for each in seen if detector in each.anything]
        measured.append(
            {
                "shift": shift,
                "aim": aim,
                "detector": detector,
                "windows": len(seen),
                "found": measure_rate([each.found[detector] for each in seen]),
                "anything": measure_rate(any_flag) if any_flag else None,
                "missed": _count_missed(seen, detector),
            }
        )
    return measured


def _count_missed(seen: Sequence[Found], detector: str) -> dict[str, str]:
    """Of the columns that were missed at least once, in how many of their windows."""
    columns = sorted({each.column for each in seen if not each.found[detector]})
    return {
        column: f"{sum(not each.found[detector] for each in own)} of {len(own)}"
        for column in columns
        if (own := [each for each in seen if each.column == column])
    }


def _measure_retrains(
    model: ModelDefinition, counted: Sequence[dict[str, int]]
) -> list[dict[str, Any]]:
    stated = model.spec.retraining.budget.false_per_year
    own, *_ = regimes = build_regimes(model)
    return [
        {
            "regime": regime.name,
            "years": len(counted),
            "per_year": measure_yearly([each[regime.name] for each in counted]),
            "budget": stated if regime is own else None,
        }
        for regime in regimes
    ]
