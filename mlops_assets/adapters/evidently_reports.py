"""Drift reports as Evidently pages: the picture; the decision is the project's own rule."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import polars as pl

    from mlops_assets.lifecycle.drift.report import ColumnDrift, DriftReport

_SAMPLE = 5000
_NOTHING = """<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><title>{name}</title></head>
<body><p>{name}: no column has values on both sides, so there is nothing to compare.</p></body>
</html>
"""


@dataclass(frozen=True)
class EvidentlyReports:
    """``Reports`` as HTML files below ``root``."""

    root: Path

    def drift(
        self, name: str, reference: pl.DataFrame, current: pl.DataFrame, report: DriftReport
    ) -> Path:
        current, reference = (
            table.sample(min(_SAMPLE, table.height), seed=0) for table in (current, reference)
        )
        # Evidently refuses a column without a value on either side; the verdict speaks of it.
        drawn = [
            column
            for column in report.columns
            if all(_has_values(table[column.column]) for table in (current, reference))
        ]
        path = self.root / f"{name}.html"
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_suffix(".writing")
        if drawn:
            _draw(current, reference, drawn).save_html(str(temporary))
        else:
            temporary.write_text(_NOTHING.format(name=html.escape(name)), encoding="utf-8")
        return temporary.replace(path)


def _has_values(column: pl.Series) -> bool:
    known = column.drop_nulls()
    return not (known.drop_nans() if known.dtype.is_float() else known).is_empty()


def _draw(current: pl.DataFrame, reference: pl.DataFrame, columns: Sequence[ColumnDrift]) -> Any:
    from evidently import DataDefinition, Dataset, Report
    from evidently.presets import DataDriftPreset

    kinds = {
        kind: [column.column for column in columns if column.kind == kind]
        for kind in ("numeric", "categorical")
    }
    definition = DataDefinition(
        numerical_columns=kinds["numeric"], categorical_columns=kinds["categorical"]
    )
    names = [column.column for column in columns]
    current_data, reference_data = (
        Dataset.from_pandas(table.select(names).to_pandas(), data_definition=definition)
        for table in (current, reference)
    )
    return Report([DataDriftPreset()]).run(current_data, reference_data)
