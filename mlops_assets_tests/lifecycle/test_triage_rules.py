"""What holds for every triage, whatever was found."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlops_assets.lifecycle.triage import find_bugs, triage
from mlops_assets_tests.lifecycle.drift_reports import column, missing, report
from mlops_assets_tests.lifecycle.test_triage import CASES


@settings(max_examples=60)
@given(order=st.permutations(range(3)), extra=st.sampled_from(CASES))
def test_neither_the_order_of_columns_nor_quiet_ones_change_the_cause(order, extra):
    columns = [*extra.report.columns, *(column(f"quiet{i}", 0.0, drifted=False) for i in order)]
    turned = replace(extra.report, columns=tuple(reversed(columns)))
    assert triage(turned, extra.performance).cause == extra.cause


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_every_finding_and_every_move_is_named_in_the_evidence(case):
    said = triage(case.report, case.performance).evidence
    for found in case.report.columns:
        if found.flagged:
            assert any(sentence.startswith(f"{found.column}: ") for sentence in said)
        for finding in found.findings:
            assert any(finding.said in sentence for sentence in said)


@settings(max_examples=60)
@given(cases=st.lists(st.sampled_from(CASES), min_size=2, max_size=2))
def test_a_window_with_a_heavy_bug_is_never_drift(cases):
    heavy = column("broken", 0.06, missing(0.3), drifted=False)
    for case in cases:
        with_bug = replace(case.report, columns=(heavy, *case.report.columns))
        assert triage(with_bug, case.performance).cause == "data_bug"


def test_a_column_without_summaries_has_no_unit():
    assert find_bugs(column("x", 0.4)) == ()


def test_more_than_five_broken_columns_are_counted():
    broken = [column(f"c{i}", 0.05, missing(0.5), drifted=False) for i in range(7)]
    found = triage(report(*broken))
    assert found.reason == (
        "7 columns look broken: c0, c1, c2, c3, c4 and 2 more; mend the data first"
    )
    assert len(found.columns) == 7
