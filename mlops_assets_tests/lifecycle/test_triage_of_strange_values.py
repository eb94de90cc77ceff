"""Strange values in many rows move the quantiles they make up: that is no season."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mlops_assets.lifecycle.drift.report import Finding
from mlops_assets.lifecycle.triage import triage
from mlops_assets_tests.lifecycle.drift_reports import (
    BEYOND,
    UNSEEN,
    column,
    numeric,
    report,
    summary,
    warm,
)


def sentinel(share: float) -> float:
    """A tenth of the rows unknown, written as -999."""
    return warm(share) if share > 0.1 else -999.0


def partly_scaled(share: float) -> float:
    """The upper three tenths a thousand times as large."""
    return warm(share) * (1000 if share >= 0.7 else 1)


@pytest.mark.parametrize(
    ("now", "found"),
    [(sentinel, replace(UNSEEN, now=0.1)), (partly_scaled, replace(BEYOND, now=0.3))],
)
def test_given_strange_values_in_many_rows_and_the_rest_as_it_was_then_it_is_a_bug(now, found):
    told = triage(report(numeric("temp", 0.4, warm, now, found)))
    assert (told.cause, told.columns) == ("data_bug", ("temp",))


def test_given_half_of_the_rows_missing_then_the_share_is_that_of_the_known_ones():
    sides = {"before": summary(warm, 0.5), "now": summary(sentinel, 0.5)}
    told = triage(report(column("temp", 0.4, replace(UNSEEN, now=0.05), **sides)))
    assert (told.cause, told.columns) == ("data_bug", ("temp",))


@pytest.mark.parametrize(
    ("warmer", "found"),
    [(20, replace(UNSEEN, now=0.1)), (200, replace(BEYOND, now=1.0))],
)
def test_given_that_the_rest_moved_as_far_then_it_is_none(warmer: float, found: Finding):
    told = triage(report(numeric("temp", 0.4, warm, lambda s: warm(s) + warmer, found)))
    assert (told.cause, told.columns) == ("covariate_drift", ("temp",))
