"""Triage as a table: what was found, what is made of it, and in which words."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest

from mlops_assets.lifecycle.drift.report import DriftReport
from mlops_assets.lifecycle.performance import PerformanceReport
from mlops_assets.lifecycle.triage import Cause, triage
from mlops_assets_tests.lifecycle.drift_reports import (
    BEYOND,
    UNSEEN,
    column,
    missing,
    numeric,
    performance,
    report,
    summary,
    warm,
)


@dataclass(frozen=True)
class Case:
    """One row of the table."""

    name: str
    report: DriftReport
    cause: Cause
    columns: tuple[str, ...] = ()
    said: str = ""
    performance: PerformanceReport | None = None


HEAVY = column("carrier", 0.4)
RAIN = 0.35  # the highest of a column that is almost always 0


def rain(share: float) -> float:
    return RAIN * max(share - 0.95, 0) * 20


CASES = [
    Case("nothing happened", report(), "nothing", (), "0% by importance drifted"),
    Case("a light column drifted", report(column("seats", 0.1)), "nothing", (), "10% by"),
    Case("too few rows", report(outcome="inconclusive"), "nothing", (), "cannot be told: "),
    Case(
        "too few rows and a worse score",
        report(outcome="inconclusive"),
        "nothing",
        (),
        "cannot be told: ",
        performance(),
    ),
    # Findings -------------------------------------------------------------------------------
    Case(
        "a burst of nulls",
        report(column("temp", 0.2, missing(0.4), drifted=False)),
        "data_bug",
        ("temp",),
        "temp: missing in 40% of the rows",
    ),
    Case(
        "a little more missing than ever, as after quiet hours",
        report(column("temp", 0.2, missing(0.052), drifted=False)),
        "nothing",
        (),
        "temp: missing in 5% of the rows, 0% before; less than 7% more",
    ),
    Case(
        "a little more missing where the world changed",
        report(column("dest", 0.4), column("temp", 0.2, missing(0.052)), outcome="failed"),
        "covariate_drift",
        ("dest", "temp"),
        "",
    ),
    Case(
        "a burst of nulls in a window that drifted by the same column",
        report(column("temp", 0.4, missing(0.4))),
        "data_bug",
        ("temp",),
        "1 column looks broken: temp; mend the data first",
    ),
    Case(
        "levels never seen",
        report(column("carrier", 0.1, UNSEEN, drifted=False)),
        "data_bug",
        ("carrier",),
        "carrier: 2% of the rows hold levels never seen",
    ),
    Case(
        "a few new levels, as when routes open",
        report(column("dest", 0.1, replace(UNSEEN, now=0.006), drifted=False)),
        "nothing",
        (),
        "levels never seen: XX; less than 1%, the world may have grown",
    ),
    Case(
        "a few new levels where the world changed",
        report(column("dest", 0.4, replace(UNSEEN, now=0.006))),
        "covariate_drift",
        ("dest",),
        "the world may have grown",
    ),
    Case(
        "1 % poison far beyond the range",
        report(
            column(
                "temp",
                0.2,
                BEYOND,
                before=summary(warm),
                now=replace(summary(warm), highest=9999.0),
                drifted=False,
            )
        ),
        "data_bug",
        ("temp",),
        "temp: 1% of the rows lie beyond",
    ),
    Case(
        "a cold night a little below the range",
        report(
            column(
                "temp",
                0.2,
                BEYOND,
                before=summary(warm),
                now=replace(summary(warm), lowest=30.0),
                drifted=False,
            )
        ),
        "nothing",
        (),
        "near what was known",
    ),
    Case(
        "a storm with three times the rain ever seen",
        report(numeric("precip", 0.1, rain, lambda share: 3 * rain(share), BEYOND, drifted=False)),
        "nothing",
        (),
        "near what was known",
    ),
    Case(
        "rain of a thousand inches",
        report(
            numeric("precip", 0.1, rain, lambda share: 3000 * rain(share), BEYOND, drifted=False)
        ),
        "data_bug",
        ("precip",),
        "precip: 1% of the rows lie beyond",
    ),
    Case(
        "values beyond the range of a column nothing else is known of",
        report(column("x", 0.1, BEYOND, drifted=False)),
        "data_bug",
        ("x",),
        "beyond",
    ),
    Case(
        "a number never seen, as a warm week has them",
        report(numeric("temp", 0.4, warm, lambda s: warm(s) + 20, UNSEEN)),
        "covariate_drift",
        ("temp",),
        "moved along with the rest",
    ),
    Case(
        "a number never seen within the range",
        report(numeric("temp", 0.4, warm, warm, UNSEEN, drifted=False)),
        "nothing",
        (),
        "near what was known",
    ),
    Case(
        "one number in a fifth of the rows",
        report(numeric("temp", 0.4, warm, warm, replace(UNSEEN, now=0.2))),
        "data_bug",
        ("temp",),
        "never seen",
    ),
    Case(
        "a sentinel below all that was known",
        report(numeric("temp", 0.2, warm, lambda s: warm(s) if s else -1.0, UNSEEN, drifted=False)),
        "data_bug",
        ("temp",),
        "never seen",
    ),
    Case(
        "labels that have not arrived yet",
        report(column("late", 0.0, missing(0.6), drifted=False, role="label")),
        "nothing",
        (),
        "labels may still arrive",
    ),
    Case(
        "answers that are missing",
        report(column("probability", 0.0, missing(0.2), drifted=False, role="prediction")),
        "data_bug",
        ("probability",),
        "missing in 20%",
    ),
    Case(
        "summer beyond all that was known",
        report(numeric("temp", 0.4, warm, lambda s: warm(s) + 40, BEYOND)),
        "covariate_drift",
        ("temp",),
        "moved along with the rest",
    ),
    Case(
        "one value only",
        report(numeric("temp", 0.4, warm, lambda _: 55.0)),
        "data_bug",
        ("temp",),
        "always 55, was 38 to 72",
    ),
    Case(
        "a week without rain",
        report(numeric("precip", 0.4, rain, lambda _: 0.0)),
        "covariate_drift",
        ("precip",),
        "distribution moved",
    ),
    # Which of several wins ------------------------------------------------------------------
    Case("heavy columns drifted", report(HEAVY), "covariate_drift", ("carrier",), "40% by"),
    Case(
        "a heavy bug beside drift",
        report(column("temp", 0.2, missing(0.4)), HEAVY),
        "data_bug",
        ("temp",),
        "carrier: its distribution moved",
    ),
    Case(
        "a light bug beside drift of others",
        report(column("seats", 0.02, missing(0.4)), HEAVY),
        "covariate_drift",
        ("carrier",),
        "seats: missing in 40%",
    ),
    Case(
        "a light bug that tips the window over",
        report(column("seats", 0.04, missing(0.4)), column("dest", 0.05), outcome="failed"),
        "data_bug",
        ("seats",),
        "seats: missing in 40%",
    ),
    Case(
        "broken labels weigh nothing, and are a bug all the same",
        report(column("late", 0.0, UNSEEN, drifted=False, role="label"), HEAVY),
        "data_bug",
        ("late",),
        "never seen",
    ),
    # Concepts -------------------------------------------------------------------------------
    Case(
        "the same rows mean something else",
        report(),
        "concept_drift",
        (),
        "worse than the model's confidence by 0.030 (at least 0.010",
        performance(),
    ),
    Case(
        "both other rows and another meaning",
        report(HEAVY),
        "concept_drift",
        (),
        "carrier: its distribution moved",
        performance(),
    ),
    Case(
        "a bug and a worse score",
        report(column("temp", 0.4, missing(0.4))),
        "data_bug",
        ("temp",),
        "worse than the model's confidence",
        performance(),
    ),
    Case("noise", report(), "nothing", (), "0% by", performance(0.03, -0.001)),
    Case("sure but small", report(), "nothing", (), "0% by", performance(0.01, 0.005)),
    Case(
        "as small, of a rare event",
        report(),
        "concept_drift",
        (),
        "0.020 were expected",
        performance(0.01, 0.005, brier=0.02),
    ),
    Case("too few days", report(), "nothing", (), "0% by", performance(0.03, None)),
    Case("nothing to compare", report(), "nothing", (), "0% by", performance(None, None)),
    Case("better than expected", report(), "nothing", (), "0% by", performance(-0.03, -0.05)),
]


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_what_is_made_of_what_was_found(case):
    found = triage(case.report, case.performance)
    assert found.cause == case.cause
    assert found.columns == case.columns
    assert case.said in "\n".join((found.reason, *found.evidence))
