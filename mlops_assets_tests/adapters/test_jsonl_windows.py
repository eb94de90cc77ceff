"""Counting windows: what the words of ``Arm`` say, on any log, however it is read."""

from __future__ import annotations

import json
from datetime import timedelta

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from mlops_assets.adapters.jsonl_windows import AttemptLine, Thresholds, count_windows
from mlops_assets.lifecycle.rollout.window import Arm, Window
from mlops_assets_tests.adapters.prediction_lines import TEN, beside, canary, failing


def count_slowly(lines, slow, threshold):
    """What ``Arm`` says, word by word, unit by unit."""
    order = sorted(
        (
            each
            for each in lines
            if each["routed"] and each["canary"] == "v2" and each["weight"] > 0
        ),
        key=lambda each: each["received_at"],
    )

    def of(unit, status=None):
        return [e for e in order if e["unit"] == unit and status in (None, e["status"])]

    def place(each):
        return each["weight"], each["version"]

    windows = []
    for weight in sorted({each["weight"] for each in order}):
        arms = {}
        for version in ("v2", "v1"):
            here = (weight, version)
            arm = dict.fromkeys(("requests", "units", "failed", "errors", "slow", "high"), 0)
            for unit in {each["unit"] for each in order}:
                mine, answers, failures = of(unit), of(unit, "ok"), of(unit, "error")
                slows = [e for e in answers if e["milliseconds"] > slow]
                arm["requests"] += sum(place(e) == here for e in mine)
                arm["errors"] += bool(failures) and place(failures[0]) == here
                arm["slow"] += bool(slows) and place(slows[0]) == here
                if place(mine[0]) == here:
                    arm["units"] += 1
                    arm["failed"] += mine[0]["status"] == "error"
                    if answers and place(answers[0]) == here:
                        mean = sum(answers[0]["probability"]) / len(answers[0]["probability"])
                        arm["high"] += mean >= threshold
            arms[version] = arm
        asked = arms["v1"]["requests"] > 0
        baseline = Arm("v1" if asked else "none", **arms["v1"])
        windows.append(Window(weight, Arm("v2", **arms["v2"]), baseline))
    return tuple(windows)


@st.composite
def ramps(draw):
    """Requests of sticky units while the weight rises, in any order and with what counts not."""
    lines = []
    for number in range(draw(st.integers(0, 40))):
        place = draw(st.integers(0, 99))  # where the unit's hash falls: below the weight, canary
        weight = draw(st.sampled_from([0, 5, 25, 50, 100]))
        make = canary if place < weight else beside
        at = TEN + timedelta(minutes=draw(st.integers(0, 90)), microseconds=number)
        each = make(
            f"u{place}",
            at,
            weight=weight,
            milliseconds=draw(st.sampled_from([1.0, 10.0, 11.0])),
            probability=draw(st.lists(st.sampled_from([0.25, 0.5, 0.75]), min_size=1, max_size=2)),
            routed=draw(st.sampled_from([True, True, True, False])),
            canary=draw(st.sampled_from(["v2", "v2", "v2", None, "v3"])),
        )
        lines.append(failing(each) if draw(st.booleans()) else each)
    return lines


@settings(max_examples=100)
@given(ramps(), st.integers(1, 41))
def test_windows_are_what_the_words_say_however_many_lines_are_read_at_once(lines, size):
    written = [json.dumps(each).encode() for each in lines]
    read = [msgspec.json.decode(each, type=AttemptLine) for each in written]
    batches = [read[start : start + size] for start in range(0, len(read), size)]
    windows = count_windows(batches, "v2", Thresholds(10.0, 0.5))
    assert windows == count_slowly(lines, 10.0, 0.5)


def test_units_that_differ_only_at_the_end_of_a_long_name_are_told_apart():
    names = ["u" * 5000 + str(n) for n in range(3)]
    lines = [msgspec.convert(canary(name), AttemptLine) for name in names]
    (window,) = count_windows([lines, [], lines], "v2", Thresholds())
    assert (window.canary.requests, window.canary.units) == (6, 3)
