"""What people see of drift: the cause first, the rules, the columns, pictures, and one click."""

from __future__ import annotations

import dagster as dg
import pytest

from mlops_assets.adapters.in_memory import InMemoryLedger
from mlops_assets.components.assets.drift import HISTORY, DriftReportConfig, build_drift_report
from mlops_assets.lifecycle.errors import ReportError
from mlops_assets_tests.components.watched import WEEK, Watched


@pytest.fixture
def watched(world) -> Watched:
    return Watched(world)


def materialize(watched: Watched, **config) -> dg.MaterializeResult:
    with dg.build_asset_context(partition_key=WEEK) as context:
        return build_drift_report(watched.world.model)(
            context,
            DriftReportConfig(**config),
            tables=watched.tables,
            ledger=watched.world.ledger,
            model_files=watched.files,
            reports=watched.reports,
            clock=watched.world.clock,
        )


def checks(result: dg.MaterializeResult) -> dict[str, dg.AssetCheckResult]:
    return {check.check_name: check for check in result.check_results}


def text(value) -> str:
    return getattr(value, "value", value)


def test_given_drift_then_the_cause_comes_first_and_the_page_is_one_click_away(watched):
    watched.answer(9.0)
    metadata = materialize(watched).metadata
    assert list(metadata)[:2] == ["cause", "alarm"]
    assert text(metadata["alarm"]).startswith("yes: ")
    assert isinstance(metadata["evidently"], dg.UrlMetadataValue)
    assert metadata["evidently"].url.endswith("flight_delays/drift-2013-05-20-v1.html")


def test_given_rows_as_in_training_then_nothing_is_behind_it(watched):
    watched.answer()
    metadata = materialize(watched).metadata
    assert text(metadata["cause"]).startswith("**nothing**: ")
    assert text(metadata["alarm"]).startswith("no: ")
    assert "evidently" not in metadata
    assert metadata["flagged_columns"] == 0
    assert metadata["reference_of"] == "v1"


def test_the_rules_with_their_thresholds_are_in_the_metadata(watched):
    watched.answer()
    policy = watched.world.model.spec.monitoring
    rules = text(materialize(watched).metadata["rules"])
    assert f"at least {policy.minimum_effect:g}" in rules
    assert f"p-value at most {policy.false_discovery_rate:g}" in rules
    assert f"{policy.drift_share:.0%} or more by importance" in rules


def test_the_table_has_every_column_the_flagged_ones_first(watched):
    watched.record_test()
    watched.answer(move=0.3)
    watched.label(0.2)
    lines = text(materialize(watched).metadata["columns"]).splitlines()
    names = [line.split("|")[1].strip() for line in lines[2:]]
    features = [feature.name for feature in watched.world.model.features]
    assert sorted(names) == sorted([*features, "probability", "late"])
    assert names[0] == "probability"
    assert lines[2].split("|")[2] == " prediction "
    assert lines[2].split("|")[3].startswith(" shape")


def test_pictures_of_the_window_and_of_the_history_are_shown_in_place(watched):
    watched.answer(9.0)
    metadata = materialize(watched).metadata
    for name in ("drift", "shifts", "history"):
        assert text(metadata[name]).startswith("![plot](data:image/png;base64,"), name


def test_the_history_is_of_the_partitions_up_to_this_one(watched, monkeypatch):
    from mlops_assets.adapters import drift_history_plots

    seen = []
    monkeypatch.setattr(
        drift_history_plots, "draw_drift_history", lambda windows: seen.append(windows) or b"p"
    )
    keys = watched.world.model.calendar.keys
    at = keys.index(WEEK)
    for key in (keys[at - 2], keys[at - 1], keys[at + 1]):
        watched.world.drift(key, "failed")
    watched.answer()
    materialize(watched)
    assert [window.partition for window in seen[0]] == list(keys[at - 2 : at + 1])
    assert len(keys) > HISTORY


def test_what_could_not_be_compared_is_said(watched):
    watched.answer()
    said = text(materialize(watched).metadata["not_compared"])
    assert "predictions: what v1 was tested on is not recorded" in said
    assert "labels: none was ever materialized" in said


def test_both_verdicts_are_checks_that_block_nothing(watched):
    watched.answer(9.0)
    results = checks(materialize(watched))
    assert set(results) == {"reference_still_holds", "values_are_intact"}
    assert not results["reference_still_holds"].passed
    assert results["reference_still_holds"].severity is dg.AssetCheckSeverity.ERROR
    specs = build_drift_report(watched.world.model).check_specs
    assert {spec.name: spec.blocking for spec in specs} == dict.fromkeys(results, False)


def test_what_cannot_be_told_warns_and_is_no_failure_of_the_data(watched):
    watched.answer()
    few = watched.tables.read("flight_delays/predictions", [WEEK]).head(20).drop("partition")
    watched.tables.write("flight_delays/predictions", {WEEK: few})
    result = materialize(watched)
    for check in checks(result).values():
        assert not check.passed
        assert check.severity is dg.AssetCheckSeverity.WARN
    assert text(result.metadata["alarm"]).startswith("cannot tell: ")
    assert "history" in result.metadata


class Broken:
    """Reports that cannot be drawn."""

    def drift(self, name, *_):
        raise ReportError(f"report {name}: no room left")


def test_given_a_page_that_cannot_be_drawn_then_the_rest_is_shown_and_it_is_said(watched):
    watched.answer(9.0)
    watched.reports = Broken()
    result = materialize(watched)
    assert "no room left" in text(result.metadata["evidently"])
    assert not checks(result)["reference_still_holds"].passed


@pytest.mark.parametrize(("render", "drawn"), [("always", True), ("never", False)])
def test_the_page_is_drawn_on_demand_and_not_at_all_when_nobody_wants_it(watched, render, drawn):
    watched.answer(9.0 if render == "never" else 0.0)
    assert ("evidently" in materialize(watched, render=render).metadata) is drawn


def test_before_there_is_a_champion_the_step_fails_in_words(watched):
    watched.world.ledger = InMemoryLedger()
    with pytest.raises(dg.Failure, match="no version serves yet"):
        materialize(watched)


def test_it_runs_after_performance_whose_row_it_reads(watched):
    model = watched.world.model
    parents = {dep.asset_key.path[-1] for dep in next(iter(build_drift_report(model).specs)).deps}
    assert parents == {"predictions", "performance", "features", "labels"}
