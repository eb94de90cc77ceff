"""A few strange values in the reference do not hide many of today."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest

from mlops_assets.lifecycle.drift.measure import measure_drift
from mlops_assets.lifecycle.drift.policy import DriftPolicy
from mlops_assets.lifecycle.drift.report import DriftReport
from mlops_assets.lifecycle.drift.tails import find_ends
from mlops_assets.lifecycle.training import Feature
from mlops_assets.lifecycle.triage import triage

DAYS, PER_DAY = 63, 100
CURRENT = 56 * PER_DAY


def compare(values: np.ndarray) -> DriftReport:
    """Eight weeks against the one after them."""
    days = [date(2013, 1, 7) + timedelta(days=row // PER_DAY) for row in range(len(values))]
    rows = pl.DataFrame({"age": values, "day": days})
    sides = rows.head(CURRENT), rows.tail(-CURRENT)
    return measure_drift(*sides, [Feature("age", "numeric")], DriftPolicy(), day="day")


@pytest.fixture
def ages() -> np.ndarray:
    return np.random.default_rng(3).integers(18, 80, size=DAYS * PER_DAY).astype(float)


@pytest.mark.parametrize("stray", [-999.0, 99999.0, np.inf])
def test_given_one_stray_in_the_reference_then_one_percent_of_them_is_a_bug(ages, stray):
    ages[[77, *range(CURRENT, len(ages), 100)]] = stray
    report = compare(ages)
    assert [finding.aspect for finding in report.columns[0].findings] == ["range"]
    assert triage(report).cause == "data_bug"


@pytest.mark.parametrize("share", [0.02, 0.2, 1.0])
def test_infinite_numbers_are_said_to_be_infinite_and_no_other_unit(ages, share):
    ages[CURRENT :: int(1 / share)] = -np.inf
    told = triage(compare(ages))
    assert told.cause == "data_bug"
    said = "\n".join(told.evidence)
    assert "-inf" in said
    assert "e+" not in said
    assert "times what it was" not in said


@pytest.mark.parametrize("every", [1500, 100])
def test_given_as_many_of_them_all_along_then_nothing_is_found(ages, every):
    ages[::every] = -999.0
    assert not compare(ages).alarm


@pytest.mark.parametrize(
    ("values", "ends"),
    [
        ([*range(3000), 9e9], (0.0, 2999.0)),
        ([*range(300), 9e9], (0.0, 9e9)),
        ([0.0] * 3000 + [5.0], (0.0, 5.0)),
        ([7.0], (7.0, 7.0)),
    ],
)
def test_ends_are_without_strays_where_there_are_enough_values_to_tell(values, ends):
    assert find_ends(np.array(values, dtype=float)) == ends


def test_large_values_in_the_nature_of_a_column_are_no_strays():
    values = np.random.default_rng(1).lognormal(size=20_000)
    assert find_ends(values) == (values.min(), values.max())
