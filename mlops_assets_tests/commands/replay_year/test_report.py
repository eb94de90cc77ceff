"""The claim is tested, whatever comes of it; figures are kept, told and drawn."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from mlops_assets.commands.replay_year.report import judge_claim, measure_gains, write_report
from mlops_assets.commands.replay_year.weeks import Course, Week

COUNT = 12


def course(policy: str, brier: float, asked: int) -> Course:
    """A year of equal weeks in which the first ``asked`` were followed by a training."""
    return Course(
        policy,
        [
            Week(
                f"2013-03-{number + 1:02d}",
                "v1",
                200,
                0.2,
                {"a": (brier * 100, 100), "b": (brier * 100, 100)},
                asked="2013-04-01" if number < asked else None,
            )
            for number in range(COUNT)
        ],
    )


def year(brier_on_drift: float, fits: int) -> dict[str, Course]:
    return {
        "never": course("never", 0.20, 0),
        "monthly": course("monthly", 0.17, 3),
        "on_drift": course("on_drift", brier_on_drift, fits),
        "weekly": course("weekly", 0.15, 11),
    }


@pytest.mark.parametrize(
    ("brier", "fits", "holds"),
    [(0.152, 3, True), (0.152, 4, False), (0.153, 3, False), (0.14, 2, True)],
)
def test_the_claim_holds_for_enough_gain_with_few_enough_fits_and_for_nothing_else(
    brier, fits, holds
):
    courses = year(brier, fits)
    found, said = judge_claim(courses, measure_gains(courses))
    assert found is holds
    assert ("it does NOT hold" in said) is not holds
    assert f"with {fits} of its 11 fits" in said


def test_figures_are_kept_told_and_drawn(tmp_path):
    courses = year(0.16, 5)
    weeks = list(courses["on_drift"].weeks)
    weeks[3] = replace(weeks[3], alarm=True, promoted=("v2",), refused="a gate said no")
    courses["on_drift"] = replace(courses["on_drift"], weeks=weeks)
    said = write_report(courses, tmp_path, {"first": "2013-03-01"})
    kept = json.loads((tmp_path / "replay_year.json").read_text())
    assert kept["first"] == "2013-03-01"
    assert kept["claim"]["holds"] is False
    on_drift = kept["policies"]["on_drift"]
    counted = {name: on_drift[name] for name in ("fits", "refused", "promotions", "alarms")}
    assert counted == {"fits": 5, "refused": 1, "promotions": 1, "alarms": 1}
    assert on_drift["gain"]["value"] == pytest.approx(0.8)
    assert on_drift["weeks"][3]["refused"] == "a gate said no"
    for name in ("never", "monthly", "on_drift", "weekly"):
        assert name in said
    assert "0.1600   80%" in said
    assert (tmp_path / "replay_year.png").read_bytes().startswith(b"\x89PNG")
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "replay_year.json",
        "replay_year.png",
    ]
