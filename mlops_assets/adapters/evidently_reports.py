"""Drift reports as Evidently pages: the picture; the decision is the project's own rule."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from mlops_assets.adapters.ports import ReportPage
from mlops_assets.lifecycle.errors import ReportError

if TYPE_CHECKING:
    import polars as pl

    from mlops_assets.lifecycle.drift.report import ColumnDrift, DriftReport

_SAMPLE = 5000
_BODY = "<body>"
_NOTHING = """<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><title>{name}</title></head>
<body><p>{name}: no column has values on both sides, so there is nothing to compare.</p></body>
</html>
"""
_BANNER = """
<div style="font: 15px/1.5 sans-serif; margin: 16px 24px; padding: 12px 16px;
 border-left: 6px solid {colour}; background: #f4f5f7">
<b>{name}</b><br>Decided: {outcome}. {reason}<br>{intact}<br>
<span style="color: #555">These sentences decide. The page below is Evidently's, drawn from at most
{sample} rows of each side; what it calls drift comes from other tests and decides nothing.</span>
</div>
"""


@dataclass(frozen=True)
class EvidentlyReports:
    """``Reports`` as HTML files below ``root``, which ``url`` serves."""

    root: Path
    url: str = "http://127.0.0.1:8082"

    def drift(
        self, name: str, reference: pl.DataFrame, current: pl.DataFrame, report: DriftReport
    ) -> ReportPage:
        path = self.root / f"{name}.html"
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_suffix(".writing")
        try:
            temporary.write_text(_build_page(name, reference, current, report), encoding="utf-8")
        except Exception as error:
            reason = " ".join(f"{type(error).__name__}: {error}".split())
            raise ReportError(
                f"report {name}: Evidently cannot draw it ({reason[:300]}); what was found is "
                "recorded, launch drift_report with render: always to try again"
            ) from error
        return ReportPage(temporary.replace(path), f"{self.url.rstrip('/')}/{quote(name)}.html")


def _build_page(
    name: str, reference: pl.DataFrame, current: pl.DataFrame, report: DriftReport
) -> str:
    both = set(current.columns) & set(reference.columns)
    held = [column for column in report.columns if column.column in both]
    current, reference = (_sample(table, held) for table in (current, reference))
    # Evidently refuses a column without a value on either side, and a few may be lost by the
    # sample; the verdict speaks of it.
    drawn = [
        column
        for column in held
        if all(_has_values(table, column.column) for table in (current, reference))
    ]
    if not drawn:
        return _NOTHING.format(name=html.escape(name))
    kinds = {column.column: column.kind for column in drawn}
    page: str = run_preset(reference, current, kinds).get_html_str(as_iframe=False)
    return page.replace(_BODY, _BODY + _describe(name, report), 1)


def _describe(name: str, report: DriftReport) -> str:
    """What was decided, above what Evidently thinks of it."""
    colour = {"passed": "#2e7d32", "failed": "#c0392b"}.get(report.verdict.outcome, "#9aa3ad")
    return _BANNER.format(
        name=html.escape(name),
        colour="#c0392b" if report.alarm else colour,
        outcome=html.escape(report.verdict.outcome),
        reason=html.escape(report.verdict.reason),
        intact=html.escape(f"Values: {report.intact.outcome}. {report.intact.reason}"),
        sample=_SAMPLE,
    )


def _has_values(table: pl.DataFrame, name: str) -> bool:
    known = table[name].drop_nulls()
    # Evidently leaves out what is infinite as well.
    return not (known.filter(known.is_finite()) if known.dtype.is_float() else known).is_empty()


def _sample(table: pl.DataFrame, columns: Sequence[ColumnDrift]) -> pl.DataFrame:
    """At most so many rows, in the types of the columns' kinds."""
    import polars as pl

    # Values come from callers, and Evidently writes them into the page's scripts as they are.
    as_text = pl.String
    cells = [
        pl.col(column.column).cast(pl.Float64)
        if column.kind == "numeric"
        else pl.col(column.column).cast(as_text).str.replace_all("<", "\u2039", literal=True)
        for column in columns
    ]
    return table.sample(min(_SAMPLE, table.height), seed=0).select(cells)


def run_preset(
    reference: pl.DataFrame, current: pl.DataFrame, kinds: Mapping[str, str], *, tests: bool = False
) -> Any:
    """Evidently's ``DataDriftPreset`` with its defaults, on the columns that ``kinds`` names."""
    from evidently import DataDefinition, Dataset, Report
    from evidently.presets import DataDriftPreset

    definition = DataDefinition(
        numerical_columns=[name for name, kind in kinds.items() if kind == "numeric"],
        categorical_columns=[name for name, kind in kinds.items() if kind == "categorical"],
    )
    sides = [
        Dataset.from_pandas(table.select(*kinds).to_pandas(), data_definition=definition)
        for table in (current, reference)
    ]
    return Report([DataDriftPreset()], include_tests=tests).run(*sides)
