"""What came of the year: figures to keep, a few lines to print, one picture."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mlops_assets.adapters.timeline_plots import Timeline, draw_year
from mlops_assets.commands.replay_year.gain import Gain, measure_gain
from mlops_assets.commands.replay_year.policies import NEVER, ON_DRIFT
from mlops_assets.commands.replay_year.weeks import Course
from mlops_assets.commands.replay_year.yardstick import WEEKLY

CLAIMED_GAIN = 0.95
CLAIMED_FITS = 1 / 3
NAME = "replay_year"


def measure_gains(courses: Mapping[str, Course]) -> dict[str, Gain]:
    """The gain of each course beside the yardstick's."""
    never, weekly = courses[NEVER].weeks, courses[WEEKLY].weeks
    return {name: measure_gain(never, course.weeks, weekly) for name, course in courses.items()}


def judge_claim(courses: Mapping[str, Course], gains: Mapping[str, Gain]) -> tuple[bool, str]:
    """Whether training on drift keeps what it promises, and the figures that say so."""
    gain, fits, all_fits = gains[ON_DRIFT].value, courses[ON_DRIFT].fits, courses[WEEKLY].fits
    holds = gain >= CLAIMED_GAIN and fits <= all_fits * CLAIMED_FITS
    said = (
        f"on drift reaches {gain:.0%} of the gain of training every week with {fits} of its "
        f"{all_fits} fits ({fits / all_fits:.0%}); promised are at least {CLAIMED_GAIN:.0%} with "
        f"at most {CLAIMED_FITS:.0%}: {'it holds' if holds else 'it does NOT hold'}"
    )
    return holds, said


def write_report(courses: Mapping[str, Course], build: Path, notes: Mapping[str, Any]) -> str:
    """Write ``replay_year.json`` and ``replay_year.png`` below ``build``; what to print."""
    gains = measure_gains(courses)
    holds, said = judge_claim(courses, gains)
    kept = {
        **notes,
        "claim": {"holds": holds, "said": said},
        "policies": {name: _plain(course, gains[name]) for name, course in courses.items()},
    }
    _replace(build / f"{NAME}.json", (json.dumps(kept, indent=2) + "\n").encode())
    _replace(build / f"{NAME}.png", draw_courses(courses, gains))
    return "\n".join(["", *_tell(courses, gains), "", said, f"{build / NAME}.json, .png"])


def draw_courses(courses: Mapping[str, Course], gains: Mapping[str, Gain]) -> bytes:
    """The picture of all policies beside the yardstick, as PNG."""
    weekly = courses[WEEKLY]
    lines = [_line(course, gains[name]) for name, course in courses.items() if name != WEEKLY]
    return draw_year(
        [week.week for week in weekly.weeks],
        [week.late_rate for week in weekly.weeks],
        lines,
        [week.brier for week in weekly.weeks],
    )


def _line(course: Course, gain: Gain) -> Timeline:
    weeks = course.weeks
    said = (
        f"{course.policy.replace('_', ' ')}: {course.fits} fits, "
        f"mean Brier {course.mean_brier:.4f}, {gain.value:.0%} of the gain"
    )

    def where(happened: Sequence[Any]) -> tuple[int, ...]:
        return tuple(place for place, found in enumerate(happened) if found)

    return Timeline(
        title=said,
        realised=[week.brier for week in weeks],
        estimated=[week.estimated for week in weeks],
        alarms=where([week.alarm for week in weeks]),
        retrained=where([week.asked for week in weeks]),
        promoted=where([week.promoted for week in weeks]),
        rolled_back=where([week.rolled_back for week in weeks]),
    )


def _plain(course: Course, gain: Gain) -> dict[str, Any]:
    weeks = course.weeks
    return {
        "fits": course.fits,
        "refused": sum(week.refused is not None for week in weeks),
        "promotions": sum(len(week.promoted) for week in weeks),
        "rolled_back": sum(len(week.rolled_back) for week in weeks),
        "alarms": sum(week.alarm for week in weeks),
        "failed_requests": sum(week.failed_requests for week in weeks),
        "mean_brier": course.mean_brier,
        "gain": {"value": gain.value, "low": gain.low, "high": gain.high},
        "seconds": course.seconds,
        "weeks": [
            {
                "week": week.week,
                "champion": week.champion,
                "rows": week.rows,
                "late_rate": week.late_rate,
                "brier": week.brier,
                "estimated": week.estimated,
                "alarm": week.alarm,
                "cause": week.cause,
                "retrained": week.asked,
                "refused": week.refused,
                "promoted": list(week.promoted),
                "rolled_back": list(week.rolled_back),
            }
            for week in weeks
        ],
    }


def _tell(courses: Mapping[str, Course], gains: Mapping[str, Gain]) -> list[str]:
    """A table with a line per policy."""
    head = "policy     fits  refused  promoted  back  alarms  mean Brier  gain  (95 % of resamples)"
    return [head, *(_row(course, gains[name]) for name, course in courses.items())]


def _row(course: Course, gain: Gain) -> str:
    plain = _plain(course, gain)
    ends = "" if gain.low is None else f"  ({gain.low:.0%} to {gain.high:.0%})"
    return (
        f"{course.policy:9}{course.fits:6}{plain['refused']:9}{plain['promotions']:10}"
        f"{plain['rolled_back']:6}{plain['alarms']:8}{course.mean_brier:12.4f}{gain.value:6.0%}{ends}"
    )


def _replace(path: Path, content: bytes) -> None:
    written = path.with_suffix(path.suffix + ".writing")
    written.write_bytes(content)
    written.replace(path)
