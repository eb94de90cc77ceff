"""What a worker says and keeps, and that its command line reads what it is told."""

from __future__ import annotations

import pytest

from mlops_assets.commands.replay_year import worker
from mlops_assets.commands.replay_year.place import Place
from mlops_assets.commands.replay_year.weeks import Week
from mlops_assets.commands.replay_year.worker import describe_week, main

QUIET = Week("2013-05-06", "v1", 100, 0.25, {"a": (15.0, 100)})


def test_a_quiet_week_is_told_by_its_figures_alone():
    assert describe_week(QUIET) == "2013-05-06 v1   late 25.0% Brier 0.1500"


@pytest.mark.parametrize(
    ("happened", "said"),
    [
        ({"estimated": 0.14}, "(estimated 0.1400)"),
        ({"alarm": True, "cause": "covariate_drift"}, "alarm: covariate drift"),
        ({"asked": "2013-05-13"}, "retrained as of 2013-05-13"),
        ({"promoted": ("v2",)}, "promoted v2"),
        ({"rolled_back": ("v3",)}, "rolled back v3"),
        ({"refused": "a gate"}, "refused: a gate"),
    ],
)
def test_what_happened_in_a_week_is_said(happened, said):
    week = Week(**{**vars(QUIET), **happened})
    assert said in describe_week(week)
    assert said not in describe_week(QUIET)


@pytest.fixture
def called(monkeypatch: pytest.MonkeyPatch) -> list[tuple]:
    """What the worker would do, without doing it; it stays untethered."""
    calls: list[tuple] = []
    monkeypatch.setattr(worker, "end_with_stdin", lambda: None)
    monkeypatch.setattr(worker.signal, "signal", lambda *_: None)
    monkeypatch.setattr(worker, "fit_part", lambda _, *rest: calls.append(("fit", *rest)))
    monkeypatch.setattr(worker, "replay_policy", lambda _, *rest: calls.append(("live", *rest)))
    return calls


def test_with_a_policy_it_lives_and_without_one_it_fits(called, tmp_path):
    assert main(["--root", str(tmp_path), "--part", "1", "--parts", "2"]) == 0
    assert main(["--root", str(tmp_path), "--policy", "never", "--every", "3"]) == 0
    assert called == [("fit", Place(tmp_path), 1, 2), ("live", Place(tmp_path), "never", 3)]


def test_parts_of_the_fits_are_all_of_them_once(monkeypatch, tmp_path):
    fitted: list[str] = []
    monkeypatch.setattr(worker, "list_weeks", lambda _: tuple("abcdefg"))
    monkeypatch.setattr(worker, "fit_models", lambda _, weeks, *__: fitted.extend(weeks))
    for part in range(3):
        worker.fit_part(None, Place(tmp_path), part, 3)
    assert sorted(fitted) == list("abcdefg")
