"""Drift reports as Evidently pages: the picture; the decision is the project's own rule."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import polars as pl

    from mlops_assets.lifecycle.monitoring import DriftReport

_SAMPLE = 5000


@dataclass(frozen=True)
class EvidentlyReports:
    """``Reports`` as HTML files below ``root``."""

    root: Path

    def drift(
        self, name: str, reference: pl.DataFrame, current: pl.DataFrame, report: DriftReport
    ) -> Path:
        from evidently import DataDefinition, Dataset, Report
        from evidently.presets import DataDriftPreset

        kinds = {
            kind: [column.column for column in report.columns if column.kind == kind]
            for kind in ("numeric", "categorical")
        }
        definition = DataDefinition(
            numerical_columns=kinds["numeric"], categorical_columns=kinds["categorical"]
        )
        names = [column.column for column in report.columns]
        current_data, reference_data = (
            Dataset.from_pandas(
                table.select(names).sample(min(_SAMPLE, table.height), seed=0).to_pandas(),
                data_definition=definition,
            )
            for table in (current, reference)
        )
        result = Report([DataDriftPreset()]).run(current_data, reference_data)
        path = self.root / f"{name}.html"
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_suffix(".writing")
        result.save_html(str(temporary))
        return temporary.replace(path)
