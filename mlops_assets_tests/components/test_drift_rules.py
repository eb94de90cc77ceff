"""The rules of drift in words: every threshold is named, and alarms name their columns."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mlops_assets.components.stages.drift_rules import say_alarm, say_flags, say_rules
from mlops_assets.lifecycle.drift.policy import DriftPolicy
from mlops_assets.lifecycle.drift.report import ColumnDrift, DriftReport, Finding
from mlops_assets.lifecycle.retraining.policy import RetrainingPolicy
from mlops_assets.lifecycle.verdicts import Verdict

FINE = ColumnDrift("temp", "numeric", 0.02, 0.5, 0.7, 0.5, drifted=False)
MISSING = Finding("missing", 0.01, 0.2, "missing in 20.0 % of the rows, 1.0 % in the reference")


def report(*columns: ColumnDrift) -> DriftReport:
    outcome = "passed" if columns else "inconclusive"
    verdict = Verdict("reference_still_holds", outcome, "3 rows on 1 days")
    return DriftReport(columns, 0.0, verdict, replace(verdict, name="values_are_intact"), 10, 10)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"false_discovery_rate": 0.037}, "0.037"),
        ({"minimum_effect": 0.123}, "0.123"),
        ({"missing": 0.077}, "7.7%"),
        ({"unseen": 0.066}, "6.6%"),
        ({"tail": 0.055}, "5.5%"),
        ({"drift_share": 0.44}, "44%"),
        ({"minimum_rows": 321}, "321 rows"),
        ({"minimum_days": 6}, "6 days"),
        ({"reference": 11}, "11 partitions"),
        ({"permutations": 1234}, "1,234 times"),
        ({"ignore": ("season", "month")}, "without season, month"),
    ],
)
def test_each_threshold_of_the_policy_is_in_the_words(change, said):
    usual = " ".join(say_rules(DriftPolicy(), RetrainingPolicy()))
    assert said not in usual
    assert said in " ".join(say_rules(DriftPolicy(**change), RetrainingPolicy()))


@pytest.mark.parametrize(
    ("policy", "said"),
    [
        (RetrainingPolicy(windows=5, violated=4), "4 of the last 5 windows drifted"),
        (RetrainingPolicy(mode="dry_run"), "retraining is dry run"),
    ],
)
def test_how_many_windows_it_takes_is_in_the_words(policy, said):
    assert said in " ".join(say_rules(DriftPolicy(), policy))


def test_it_is_said_that_evidently_decides_nothing():
    assert "these rules decide" in say_rules(DriftPolicy(), RetrainingPolicy())[-1]


@pytest.mark.parametrize(
    ("column", "flags"),
    [
        (FINE, ""),
        (replace(FINE, drifted=True), "shape"),
        (replace(FINE, findings=(MISSING,)), "missing"),
        (replace(FINE, drifted=True, findings=(MISSING,)), "shape, missing"),
    ],
)
def test_what_was_flagged_of_a_column_is_said_in_a_word_each(column, flags):
    assert say_flags(column) == flags


def test_an_alarm_names_its_columns():
    flagged = replace(FINE, column="wind", drifted=True, findings=(MISSING,))
    assert say_alarm(report(FINE, flagged)) == "yes: 1 of 2 columns flagged: wind (shape, missing)"


def test_without_a_flag_there_is_no_alarm():
    assert say_alarm(report(FINE, FINE)) == "no: none of 2 columns is flagged"


def test_of_many_flagged_columns_the_rest_is_counted():
    many = [replace(FINE, column=f"c{n}", drifted=True) for n in range(13)]
    assert say_alarm(report(*many)).endswith("c9 (shape) and 3 more")


def test_where_nothing_was_compared_nobody_can_tell():
    assert say_alarm(report()) == "cannot tell: 3 rows on 1 days"


def test_where_days_are_too_few_what_is_flagged_all_the_same_is_named():
    unknown = Verdict("reference_still_holds", "inconclusive", "3 reference days")
    assert say_alarm(replace(report(FINE), verdict=unknown)) == "cannot tell: 3 reference days"
    flagged = replace(report(replace(FINE, drifted=True)), verdict=unknown)
    assert say_alarm(flagged).startswith("yes: 1 of 1")
