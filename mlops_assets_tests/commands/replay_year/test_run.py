"""The command: rows, models, policies, yardstick, figures, in that order; servers end with it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mlops_assets.commands.replay_year import run
from mlops_assets.commands.replay_year.gain import ReplayError
from mlops_assets.commands.replay_year.policies import POLICIES
from mlops_assets.commands.replay_year.weeks import Course, Week, write_course
from mlops_assets.commands.replay_year.yardstick import WEEKLY

BRIERS = {"never": 0.20, "monthly": 0.17, "on_drift": 0.16, WEEKLY: 0.15}


def course(policy: str) -> Course:
    days = {"2013-03-04": (BRIERS[policy] * 10, 10), "2013-03-05": (BRIERS[policy] * 10, 10)}
    asked = "2013-03-11" if policy == WEEKLY else None
    return Course(policy, [Week("2013-03-04", "v1", 20, 0.2, days, asked=asked)] * 3)


class Played:
    """Stands in for what takes minutes; remembers what was asked of it."""

    def __init__(self, root: Path, *, fails: str | None = None) -> None:
        self.root, self.fails = root, fails
        self.told: list[str] = []

    def run_together(self, module: str, arguments: dict[str, list[str]]) -> None:
        assert module == "mlops_assets.commands.replay_year.worker"
        self.told.append(" ".join(arguments))
        if self.fails in arguments:
            raise ReplayError(f"replay-year: {self.fails} ended with status 1, see above")
        for name, words in arguments.items():
            assert words[:2] == ["--root", str(self.root)]
            if name in POLICIES:
                assert words[-2:] == ["--policy", name]
                write_course(course(name), self.root / f"{name}.json")


@pytest.fixture
def play(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    def begin(fails: str | None = None) -> Played:
        (tmp_path / "replay_year").mkdir()
        played = Played(tmp_path / "replay_year", fails=fails)
        monkeypatch.setattr(run, "run_together", played.run_together)
        monkeypatch.setattr(run, "ingest_rows", lambda *_: played.told.append("ingest"))
        monkeypatch.setattr(run, "measure_weekly", lambda *_, **__: course(WEEKLY))
        stopped = played.told
        monkeypatch.setattr(run, "stop_server", lambda state: stopped.append(f"stop {state.name}"))
        return played

    return begin


def test_rows_come_before_models_and_models_before_policies(play, tmp_path):
    played = play()
    run.run_replay_year(tmp_path)
    assert played.told == [
        "ingest",
        "fit 1 fit 2",
        "never monthly on_drift",
        *(f"stop {policy}" for policy in POLICIES),
    ]


def test_the_figures_say_what_was_replayed_and_how_long_it_took(play, tmp_path):
    play()
    said = run.run_replay_year(tmp_path, every=2)
    kept = json.loads((tmp_path / "replay_year.json").read_text())
    assert (kept["model"], kept["every"], kept["estimator"]) == (
        "flight_delays",
        2,
        "build_committee",
    )
    assert kept["weeks"] == 44
    assert set(kept["seconds"]) == {"rows and models", "policies", "total"}
    assert kept["policies"]["on_drift"]["gain"]["value"] == pytest.approx(0.8)
    assert "replay_year.json" in said


def test_given_a_policy_that_fails_then_servers_end_and_no_figures_are_written(play, tmp_path):
    played = play("on_drift")
    played.fails = "on_drift"
    with pytest.raises(ReplayError, match="on_drift ended with status 1"):
        run.run_replay_year(tmp_path)
    assert played.told[-3:] == [f"stop {policy}" for policy in POLICIES]
    assert not (tmp_path / "replay_year.json").exists()
