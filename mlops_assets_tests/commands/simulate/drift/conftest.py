"""A small world without drift: some columns differ from row to row, some from day to day."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest

from mlops_assets.commands.simulate.drift.real_days import RealDays
from mlops_assets.lifecycle.training import Feature

FIRST = date(2013, 1, 7)
CATEGORIES = {"carrier": "ABCDE", "origin": "XYZ", "rare": "qrstuvwxyzabcdefghij"}
BY_ROW = ("distance", "seats", "fare", "minutes", "age")
BY_DAY = ("temp", "dewp")
LEVELS = ("engines", "hours")
FEATURES = (
    *(Feature(name, "categorical") for name in CATEGORIES),
    *(Feature(name, "numeric") for name in (*BY_ROW, *BY_DAY, *LEVELS)),
)


def draw_day(number: int, random: np.random.Generator) -> pl.DataFrame:
    """70 to 90 flights; the weather is one for all of them."""
    rows, day = int(random.integers(70, 91)), FIRST + timedelta(days=number)
    columns = {
        name: random.choice(
            list(levels), rows, p=np.arange(len(levels), 0, -1) / sum(range(len(levels) + 1))
        )
        for name, levels in CATEGORIES.items()
    }
    weather = random.normal(60, 10)
    return pl.DataFrame(
        {
            **columns,
            **{name: random.gamma(4, 100, rows) for name in BY_ROW},
            **{name: weather + random.normal(0, 0.5, rows) for name in BY_DAY},
            **{name: random.integers(1, 5, rows).astype(float) for name in LEVELS},
            "day": [day] * rows,
            "partition": [(FIRST + timedelta(days=number - number % 7)).isoformat()] * rows,
            "truth": (random.random(rows) < (0.5 if number % 5 == 0 else 0.2)).astype(float),
            "probability": np.full(rows, 0.25) + random.normal(0, 0.01, rows),
        }
    )  # fmt: skip


@pytest.fixture(scope="session")
def real() -> RealDays:
    """20 weeks."""
    random = np.random.default_rng(1)
    rows = pl.concat(draw_day(number, random) for number in range(140))
    return RealDays(rows, FEATURES, {"distance": 0.2, "carrier": 0.1, "temp": 0.05})
