"""Rows like those of the flights model, made up; read by path (``runpy``)."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

from mlops_assets.defs.flight_delays.model import CURVED
from mlops_assets.lifecycle.training import Feature

CATEGORIES = {"carrier": 16, "origin": 3, "dest": 100, "manufacturer": 30, "engine": 6}
STRAIGHT = (
    *("distance", "scheduled_minutes", "weekday", "plane_age", "seats", "engines", "regional"),
    *("dest_lat", "dest_lon", "dest_alt", "dest_tz", "dewp", "wind_speed", "precip", "visib"),
    *("carrier_late_rate_28d", "dest_late_rate_28d", "origin_late_rate_28d"),
    *("flight_late_rate_28d", "tailnum_late_rate_28d"),
)
FEATURES = (
    *(Feature(name, "categorical") for name in CATEGORIES),
    *(Feature(name, "numeric") for name in (*STRAIGHT, *CURVED)),
)
STRANGE_NUMBERS = (1e30, -1e30, 1e300, 0.0, -0.0, 5e-324, 1e-310, 1e6)
STRANGE_TEXTS = (
    "",
    " ",
    "nan",
    "None",
    "never seen",
    "Z\u00fcrich \u6f22\u5b57",
    "\x00",
    "x" * 5000,
)


def make_rows(count: int, seed: int, missing: float = 0.1) -> pl.DataFrame:
    """Labelled rows; ``missing`` is the share of values that are."""
    random = np.random.default_rng(seed)
    columns: dict[str, Any] = {}
    risk = np.zeros(count)
    for name, categories in CATEGORIES.items():
        # Some categories are rare, as in life.
        drawn = np.minimum(random.geometric(min(0.5, 4 / categories), size=count), categories)
        risk += 0.3 * np.sin(drawn)
        columns[name] = _gaps([f"{name} {place}" for place in drawn], random, missing)
    for place, feature in enumerate(FEATURES[len(CATEGORIES) :]):
        scale = 10.0 ** (place % 4)
        values = np.round(random.normal(scale, scale / 3, size=count), 2)
        risk += 0.2 * np.cos(3 * values / scale)
        columns[feature.name] = _gaps(values.tolist(), random, missing)
    columns["late"] = (risk + random.normal(size=count) > np.median(risk)).tolist()
    return pl.DataFrame(columns)


def make_strange_rows(count: int, seed: int, missing: float = 0.1) -> pl.DataFrame:
    """The same, with values that nobody has seen in them and some rows that miss everything."""
    random = np.random.default_rng(seed)
    rows = make_rows(count, seed, missing).drop("late")
    columns = {}
    for feature in FEATURES:
        values = rows[feature.name].to_list()
        strange = STRANGE_TEXTS if feature.kind == "categorical" else STRANGE_NUMBERS
        for place in np.flatnonzero(random.random(count) < 0.05).tolist():
            values[place] = strange[random.integers(len(strange))]
        if missing:
            values[:: max(2, count // 5)] = [None] * len(values[:: max(2, count // 5)])
        columns[feature.name] = pl.Series(feature.name, values, rows[feature.name].dtype)
    return pl.DataFrame(columns)


def _gaps(values: list[Any], random: np.random.Generator, share: float) -> list[Any]:
    gone = random.random(len(values)) < share
    return [None if gap else value for gap, value in zip(gone, values, strict=True)]
