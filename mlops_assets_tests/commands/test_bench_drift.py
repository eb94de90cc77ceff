"""The two contenders of the drift measurement, on few rows."""

from __future__ import annotations

import pytest

from mlops_assets.commands.bench import drift
from mlops_assets_tests.long_form import takes_minutes


def test_the_rows_have_17_columns_and_the_same_seed_makes_the_same():
    rows = drift.make_rows(5000, seed=1)
    assert rows.shape == (5000, 18)
    assert rows["day"].n_unique() == 63
    assert rows.equals(drift.make_rows(5000, seed=1))
    assert not rows.equals(drift.make_rows(5000, seed=2))


@takes_minutes
def test_each_contender_tells_seconds_and_memory_of_a_process_of_its_own(tmp_path, monkeypatch):
    monkeypatch.setattr(drift, "ROWS", 4000)
    measured = drift.measure_drift_rules(tmp_path)
    assert set(measured) == {
        "drift_seconds",
        "drift_peak_mb",
        "evidently_seconds",
        "evidently_peak_mb",
        "drift_ratio",
    }
    assert all(value > 0 for value in measured.values())
    assert measured["drift_ratio"] == pytest.approx(
        measured["drift_seconds"] / measured["evidently_seconds"]
    )
