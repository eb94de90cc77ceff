"""One version answering one request."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any

import pytest

from mlops_assets.lifecycle.errors import FeatureError
from mlops_assets.lifecycle.rollout.state import Target
from mlops_assets.lifecycle.training import Feature
from mlops_assets.serving.answering.asked import Asked
from mlops_assets.serving.answering.attempts import (
    INLINE_ROWS,
    Attempt,
    Attempts,
    PredictionError,
    predict,
)
from mlops_assets.serving.answering.plans import Trial
from mlops_assets.serving.answering.prediction_log import LogLine, PredictionLog
from mlops_assets.serving.answering.rows import Rows
from mlops_assets.serving.routing.versions import Version

ROWS = Rows({"distance": [1.0, 2.0], "carrier": ["UA", None]}, 2)


class Answer:
    """A predictor that says what it is told to, and remembers in which thread."""

    reason = None

    def __init__(self, said: Any, kind: Any = "compiled") -> None:
        self.said, self.kind = said, kind
        self.thread = ""

    def predict(self, _: Any, height: int) -> list[float]:
        self.thread = threading.current_thread().name
        if isinstance(self.said, Exception):
            raise self.said
        return self.said if isinstance(self.said, list) else [self.said] * height


@pytest.fixture
def make(signature: Any) -> Any:
    def version(said: Any, kind: str = "compiled", **changes: Any) -> Version:
        return Version("v1", "d", Answer(said, kind), signature(**changes))

    return version


def attempt(version: Version, rows: Rows = ROWS) -> Attempt:
    return Attempt("delays", "r", "2013-06-01T00:00:00+00:00", rows, version, "primary", True, "u")


@pytest.mark.parametrize("said", [[0.5, float("nan")], [0.5, float("inf")], [0.5], []])
def test_a_probability_that_is_not_one_is_an_error(make: Any, said: Any) -> None:
    with pytest.raises(ValueError, match="one finite probability per row"):
        predict(make(said), ROWS)


def test_an_input_that_did_not_come_is_named(make: Any) -> None:
    wide = make(0.5, features=(Feature("distance", "numeric"), Feature("gusts", "numeric")))
    with pytest.raises(FeatureError, match="v1 needs gusts, which the request left out"):
        predict(wide, ROWS)


@pytest.mark.parametrize(
    ("kind", "height", "inline"),
    [
        ("compiled", 1, True),
        ("compiled", INLINE_ROWS, True),
        ("compiled", INLINE_ROWS + 1, False),
        ("scikit-learn", 1, False),
    ],
)
def test_little_work_is_done_at_once_and_the_rest_in_a_thread(
    make: Any, tmp_path: Path, kind: str, height: int, inline: bool
) -> None:
    version = make(0.5, kind)
    rows = Rows({"distance": [1.0] * height, "carrier": ["UA"] * height}, height)
    attempts = Attempts(PredictionLog(tmp_path), None, 60.0)
    assert asyncio.run(attempts.make(attempt(version, rows), patient=False)) == [0.5] * height
    assert (version.predictor.thread == threading.current_thread().name) == inline


@pytest.mark.parametrize("kind", ["compiled", "scikit-learn"])
def test_what_a_version_raises_is_observed_and_logged_in_short(
    make: Any, tmp_path: Path, kind: str
) -> None:
    lines: list[LogLine] = []
    attempts = Attempts(PredictionLog(tmp_path), lines.append, 60.0)
    with pytest.raises(PredictionError, match=r"^KeyError: "):
        asyncio.run(attempts.make(attempt(make(KeyError("x" * 999), kind)), patient=True))
    (line,) = lines
    assert (line.status, line.probability, line.unit) == ("error", None, "u")
    assert line.reason is not None
    assert len(line.reason) == 300


def test_only_the_impatient_give_up(make: Any, tmp_path: Path) -> None:
    entered, released = threading.Event(), threading.Event()

    def stall(_: Any, height: int) -> list[float]:
        entered.set()
        assert released.wait(60)
        return [0.5] * height

    version = make(0.5, "scikit-learn")
    version.predictor.predict = stall
    attempts = Attempts(PredictionLog(tmp_path), None, 0.02)

    async def ask() -> list[float]:
        waiting = asyncio.create_task(attempts.make(attempt(version), patient=True))
        assert await asyncio.to_thread(entered.wait, 60)
        with pytest.raises(PredictionError, match=r"no answer within 0\.02 s"):
            await attempts.make(attempt(version), patient=False)
        released.set()
        return await waiting

    assert asyncio.run(ask()) == [0.5, 0.5]


@pytest.mark.parametrize(("arm", "weight"), [("primary", 30), ("canary", 30), ("shadow", 0)])
def test_an_attempt_carries_what_the_request_was_assigned_in(
    make: Any, arm: Any, weight: int
) -> None:
    asked = Asked("delays", "r", "2013-06-01", ROWS, "u", "2013-05-31")
    trial = Trial(
        Version("v2", "e", Answer(0.5), make(0.5).signature), Target("v2", "e", 30, "canary")
    )
    made = asked.attempt(make(0.5), arm, trial, routed=True)
    assert (made.canary, made.weight, made.unit) == ("v2", weight, "u")
    alone = asked.attempt(make(0.5), None, None)
    assert (alone.canary, alone.weight) == (None, 0)
    assert asked.respond(alone, [0.5, 0.5], fallback=True).parameters == {
        "fallback": True,
        "features_as_of": "2013-05-31",
    }
