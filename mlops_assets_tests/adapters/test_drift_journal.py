"""Drift in the ledger: written once, and read back whatever state wrote it."""

from __future__ import annotations

from dataclasses import asdict, replace
from datetime import UTC, datetime

import pytest

from mlops_assets.adapters.drift_journal import PastWindow, read_drift, write_drift
from mlops_assets.adapters.in_memory import InMemoryLedger
from mlops_assets.adapters.journal import write_once
from mlops_assets.adapters.sql_ledger import SqlLedger
from mlops_assets.lifecycle.drift.report import ColumnDrift, ColumnSummary, DriftReport, Finding
from mlops_assets.lifecycle.triage import Triage
from mlops_assets.lifecycle.verdicts import Verdict

AT = datetime(2013, 6, 1, tzinfo=UTC)
SUMMARY = ColumnSummary(0.01, tuple(float(n) for n in range(19)), -1.0, 20.0)
FOUND = (Finding("missing", 0.01, 0.2, "missing in 20 %"), Finding("range", 0.0, 0.1, "beyond"))
COLUMNS = (
    ColumnDrift("temp", "numeric", 0.4, 0.001, 0.01, 1.0, True, "feature", FOUND, SUMMARY, SUMMARY),
    ColumnDrift("wind", "numeric", 0.1, 0.5, 0.6, 0.0, False),
    ColumnDrift("late", "categorical", 0.2, 0.001, 0.01, 0.0, True, "label"),
)
REPORT = DriftReport(
    COLUMNS,
    1.0,
    Verdict("reference_still_holds", "failed", "temp drifted"),
    Verdict("values_are_intact", "failed", "temp: missing in 20 %"),
    1000,
    200,
)
TRIAGE = Triage("data_bug", "temp looks broken", ("temp: missing",), ("temp",))


@pytest.fixture(params=["memory", "sql"])
def ledger(request, tmp_path):
    if request.param == "memory":
        return InMemoryLedger()
    return SqlLedger(f"sqlite:///{tmp_path / 'ledger.db'}")


def write(ledger, partition: str, report: DriftReport = REPORT, version: str = "v1") -> None:
    write_drift(ledger, "model", partition, version, report, TRIAGE, AT)


def test_all_that_was_found_is_in_the_row(ledger):
    write(ledger, "w1")
    body = ledger.latest("drift", "model", "w1").body
    assert (body["version"], body["outcome"], body["reason"]) == ("v1", "failed", "temp drifted")
    assert (body["intact"], body["intact_reason"]) == ("failed", "temp: missing in 20 %")
    assert (body["share"], body["reference_rows"], body["current_rows"]) == (1.0, 1000, 200)
    assert body["triage"]["cause"] == "data_bug"
    (temp, wind, late) = body["columns"]
    assert [finding["aspect"] for finding in temp["findings"]] == ["missing", "range"]
    assert temp["reference"]["quantiles"] == list(SUMMARY.quantiles)
    assert (wind["findings"], late["role"]) == ([], "label")


def test_finding_the_same_again_adds_no_row_and_another_find_does(ledger):
    for report in (REPORT, REPORT, replace(REPORT, share=0.5)):
        write(ledger, "w1", report)
    assert [row.body["share"] for row in ledger.history("drift", "model", "w1")] == [1.0, 0.5]


def test_what_was_written_is_read_back(ledger):
    write(ledger, "w1")
    assert read_drift(ledger, "model", ["w1"]) == [
        PastWindow(
            "w1",
            "v1",
            "failed",
            "failed",
            "data_bug",
            {"temp": 0.4, "wind": 0.1, "late": 0.2},
            {"temp": ("shape", "missing", "range"), "late": ("shape",)},
            {"temp": 1.0, "wind": 0.0, "late": 0.0},
        )
    ]


def test_windows_come_in_the_order_asked_for_without_those_never_compared(ledger):
    for partition in ("w3", "w1"):
        write(ledger, partition)
    windows = read_drift(ledger, "model", ["w1", "w2", "w3"])
    assert [window.partition for window in windows] == ["w1", "w3"]
    assert read_drift(ledger, "other", ["w1", "w3"]) == []


def test_of_a_partition_compared_twice_the_last_is_read(ledger):
    write(ledger, "w1")
    write(ledger, "w1", replace(REPORT, columns=()), version="v2")
    (window,) = read_drift(ledger, "model", ["w1"])
    assert (window.version, window.effects, window.flags) == ("v2", {}, {})


def test_rows_of_before_there_was_a_triage_can_be_read(ledger):
    column = {
        name: value
        for name, value in asdict(COLUMNS[0]).items()
        if name not in ("role", "findings", "reference", "current")
    }
    old = {"version": "v1", "outcome": "failed", "reason": "r", "share": 1.0, "columns": [column]}
    write_once(ledger, "drift", "model", "w1", old, AT)
    write_once(ledger, "drift", "model", "w2", {**old, "columns": []}, AT)
    first, second = read_drift(ledger, "model", ["w1", "w2"])
    assert (first.intact, first.cause, first.flags) == (None, "nothing", {"temp": ("shape",)})
    assert second.effects == {}
