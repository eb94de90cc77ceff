"""Rows and models once for all policies; what is there already is kept."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

from mlops_assets.adapters.sql_ledger import SqlLedger
from mlops_assets.commands.replay_year.fitting import INGESTED, fit_models, ingest_rows, list_weeks
from mlops_assets_tests.commands.replay_year.conftest import MONTHS
from mlops_assets_tests.examples.reading import read_example
from mlops_assets_tests.long_form import takes_minutes


def trained(base: Path) -> dict[str, list[str]]:
    """Digests by the partition models were trained as of, as often as they were recorded."""
    rows = SqlLedger(f"sqlite:///{base / 'ledger.db'}").history("trained_model", "seattle_rain")
    found: dict[str, list[str]] = {}
    for row in rows:
        found.setdefault(row.subject, []).append(row.body["digest"])
    return found


@takes_minutes
def test_there_is_one_model_as_of_each_partition(prepared):
    assert sorted(trained(prepared.base)) == sorted(MONTHS)


@takes_minutes
def test_when_prepared_again_then_nothing_is_ingested_or_fitted_anew(prepared, rain):
    before, tables = trained(prepared.base), list_versions(prepared.base)
    said: list[str] = []
    ingest_rows(rain, prepared.base, said.append)
    fit_models(rain, MONTHS, prepared.base, lambda _: None)
    assert trained(prepared.base) == before
    assert list_versions(prepared.base) == tables
    assert said == []


@takes_minutes
def test_when_interrupted_before_its_rows_were_whole_then_it_begins_from_nothing(
    prepared, rain, tmp_path
):
    base = tmp_path / "base"
    shutil.copytree(prepared.base, base)
    (base / INGESTED).unlink()
    said: list[str] = []
    ingest_rows(rain, base, said.append)
    assert said == ["ingest: 2012-01-01 to 2015-12-01 as one run"]
    assert trained(base) == {}


def test_a_first_model_needs_the_history_that_the_split_asks_for():
    model = read_example("seattle_rain")
    assert list_weeks(model)[0] == model.calendar.keys[model.spec.training.split.needed]
    fewer = replace(model.spec.training.split, minimum_fit=1)
    training = model.spec.training.model_copy(update={"split": fewer})
    other = replace(model, spec=model.spec.model_copy(update={"training": training}))
    assert len(list_weeks(other)) > len(list_weeks(model))


def list_versions(base: Path) -> list[str]:
    return sorted(path.name for path in base.glob("tables/**/_delta_log/*.json"))
