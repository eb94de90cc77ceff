"""What says that a column drifted: the project's own measure, and what others use."""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Sequence
from typing import Any

import polars as pl

from mlops_assets.adapters.evidently_reports import run_preset
from mlops_assets.commands.simulate.drift.real_days import DAY
from mlops_assets.commands.simulate.drift.windows import Drawn
from mlops_assets.lifecycle.drift.measure import measure_drift
from mlops_assets.lifecycle.drift.policy import DriftPolicy
from mlops_assets.lifecycle.drift.report import DriftReport
from mlops_assets.lifecycle.training import Feature

Flagged = frozenset[str]
RATE = 0.05
"""The share of false flags that all of them are asked to keep to, where they can be asked."""


class Ours:
    """``lifecycle.drift`` as it is without a word in YAML."""

    name = "ours"

    def __init__(self, policy: DriftPolicy | None = None) -> None:
        self.policy = policy or DriftPolicy()

    def flag(self, drawn: Drawn, features: Sequence[Feature], /) -> Flagged:
        report = self.measure(drawn, features)
        flagged = frozenset(column.column for column in report.columns if column.flagged)
        assert report.alarm == bool(flagged)
        return flagged

    def measure(self, drawn: Drawn, features: Sequence[Feature]) -> DriftReport:
        """All that is said of a week."""
        report = measure_drift(drawn.reference, drawn.current, features, self.policy, day=DAY)
        if not report.columns:
            raise ValueError(f"simulate: nothing was compared: {report.verdict.reason}")
        return report


class PlainTests:
    """Kolmogorov-Smirnov for numbers and chi-square for categories, row by row, then Benjamini and
    Hochberg: what a textbook has, and what takes the rows of a day for independent."""

    name = "KS/chi2 + BH"

    def flag(self, drawn: Drawn, features: Sequence[Feature], /) -> Flagged:
        from scipy.stats import false_discovery_control

        p_values = [_test(drawn, feature) for feature in features]
        adjusted = false_discovery_control(p_values)
        return frozenset(f.name for f, q in zip(features, adjusted, strict=True) if q <= RATE)


class EvidentlyPreset:
    """Evidently's ``DataDriftPreset`` with its defaults. A column's flag rests on that column
    alone, whichever others it is asked about with."""

    name = "Evidently's preset"

    def flag(self, drawn: Drawn, features: Sequence[Feature], /) -> Flagged:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            kinds = {feature.name: feature.kind for feature in features}
            told = run_preset(drawn.reference, drawn.current, kinds, tests=True).dict()
        drifts = [test for test in told["tests"] if test["id"] == "drift"]
        assert len(drifts) == len(features)
        return frozenset(
            feature.name
            for feature in features
            if any(_is_failed(test, feature.name) for test in drifts)
        )


def fails_a_check(report: DriftReport) -> bool:
    """Our rule for a whole table: too much of it drifted, or values are not intact."""
    return "failed" in {report.verdict.outcome, report.intact.outcome}


def is_dataset_drift(flagged: Flagged, features: Sequence[Feature]) -> bool:
    """Evidently's rule for a whole table: at least half of the columns."""
    return sum(feature.name in flagged for feature in features) >= len(features) / 2


def _test(drawn: Drawn, feature: Feature) -> float:
    """The p-value of one column; 1 when there is nothing to compare."""
    from scipy.stats import chi2_contingency, ks_2samp

    before, now = (table[feature.name].drop_nulls() for table in (drawn.reference, drawn.current))
    if before.is_empty() or now.is_empty():
        return 1.0
    if feature.kind == "numeric":
        return float(ks_2samp(before.to_numpy(), now.to_numpy(), method="asymp").pvalue)
    both = pl.concat([before.to_frame().with_columns(side=0), now.to_frame().with_columns(side=1)])
    counts = both.pivot("side", index=feature.name, values="side", aggregate_function="len")
    table = counts.select("0", "1").fill_null(0).to_numpy()
    return float(chi2_contingency(table).pvalue) if len(table) > 1 else 1.0


def _is_failed(test: dict[str, Any], column: str) -> bool:
    return bool(test["name"] == f"Value Drift for column {column}" and test["status"] == "FAIL")
