"""What is simulated is counted right, kept as it is printed, and as the seed says."""

from __future__ import annotations

import json
from dataclasses import asdict

import pytest
from scipy.stats import binomtest

from mlops_assets.commands.simulate import report as whole
from mlops_assets.commands.simulate.drift import measuring
from mlops_assets.commands.simulate.drift.effort import USUAL, Effort
from mlops_assets.commands.simulate.drift.measuring import measure_drift_rates
from mlops_assets.commands.simulate.drift.pool import run_jobs
from mlops_assets.commands.simulate.drift.report import tell
from mlops_assets.commands.simulate.drift.shifts import SHIFTS
from mlops_assets_tests.commands.simulate.drift.test_streams import model_of
from mlops_assets_tests.long_form import takes_minutes

EFFORT = Effort(windows=4, seasons=2, shifted=2, years=1, evidently=1, evidently_shifted=1)


@pytest.fixture(scope="module")
def world(real):
    quick = model_of({"minimum_effect": 0.2}, windows=2, budget={"false_per_year": 3})
    return quick, real


@pytest.fixture(scope="module")
def measured(world):
    return measure_drift_rates(EFFORT, 7, world, workers=1)


def find(entries, **wanted):
    (found,) = [e for e in entries if all(e[name] == value for name, value in wanted.items())]
    return found


def test_every_window_is_counted_once(measured):
    ours = find(measured["same"], draw="days", detector="ours", features=10)
    assert ours["windows"] == EFFORT.windows
    assert find(measured["same"], draw="weeks", detector="ours", features=10)["windows"] == 2
    preset = find(measured["same"], draw="days", detector="Evidently's preset", features=10)
    assert preset["windows"] == EFFORT.evidently
    assert {each["shift"] for each in measured["shifted"]} == {shift.name for shift in SHIFTS}
    for shift in SHIFTS:
        counts = {
            e["detector"]: e["windows"] for e in measured["shifted"] if e["shift"] == shift.name
        }
        assert counts == {"ours": 2, "KS/chi2 + BH": 2, "Evidently's preset": 1}


def test_rates_are_what_was_flagged_with_the_exact_interval(measured):
    for each in measured["same"]:
        flagged = round(each["flagged"]["rate"] * each["windows"])
        exact = binomtest(flagged, each["windows"]).proportion_ci(0.95, method="exact")
        assert (each["flagged"]["low"], each["flagged"]["high"]) == pytest.approx(
            (exact.low, exact.high)
        )


def test_what_was_missed_is_told_by_column(measured):
    for each in measured["shifted"]:
        missed = sum(int(said.split(" of ")[0]) for said in each["missed"].values())
        assert missed == each["windows"] - round(each["found"]["rate"] * each["windows"])
    nothing = find(measured["shifted"], shift="nothing", detector="ours")
    assert nothing["found"]["rate"] < 1
    assert nothing["missed"]


def test_the_budget_is_the_one_that_the_model_states(measured):
    own, *others = measured["retrains"]
    assert (own["budget"], own["years"]) == (3, EFFORT.years)
    assert {each["budget"] for each in others} == {None}


@takes_minutes
def test_the_same_seed_gives_the_same_in_one_process_and_in_two(world, measured):
    assert measure_drift_rates(EFFORT, 7, world, workers=2) == measured


def test_jobs_come_back_in_order_and_a_failure_is_raised():
    assert run_jobs(abs, [-3, -1, -2], workers=1) == [3, 1, 2]
    assert run_jobs(abs, [-3, -1, -2], workers=2) == [3, 1, 2]
    with pytest.raises(TypeError):
        run_jobs(abs, ["a"], workers=2)


def test_fewer_runs_are_less_of_everything_but_never_nothing():
    assert Effort.for_runs(USUAL) == Effort()
    assert set(asdict(Effort.for_runs(1)).values()) == {1}
    half = Effort.for_runs(USUAL // 2)
    assert half.windows == Effort().windows // 2


def test_everything_that_is_kept_is_told(measured):
    said = tell(json.loads(json.dumps(measured)))
    assert said == tell(measured)
    lines = said.splitlines()
    (days,) = [line for line in lines if line.startswith("real days, 10 features")]
    ours = find(measured["same"], draw="days", detector="ours", features=10)["flagged"]["rate"]
    assert f" {ours:.2%} (" in days
    assert "at most 5 %" in days
    assert all(any(line.startswith(shift.name) for line in lines) for shift in SHIFTS)
    assert sum("aim: at least 95%" in line for line in lines) == sum(bool(s.aim) for s in SHIFTS)
    assert sum("budget in defs.yaml: 3" in line for line in lines) == 1
    assert "Evidently's preset 1" in said


@takes_minutes
def test_the_command_keeps_and_tells_the_drift_part_alone(tmp_path, monkeypatch, world):
    """The year of flights takes too long here: a smaller world is drawn from."""
    monkeypatch.setattr(measuring, "build_world", lambda: world)
    said = whole.run_simulate(tmp_path, 1, 7, parts=["drift"])
    kept = json.loads((tmp_path / "simulate.json").read_text())
    assert "measured" not in kept
    assert kept["drift"]["effort"] == asdict(Effort.for_runs(1))
    assert said == tell(kept["drift"])
