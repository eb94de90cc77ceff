"""The overview of a model is what its ledger says, newest first."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime

import dagster as dg

from mlops_assets.adapters.journal import write_once
from mlops_assets.components.assets.overview import build_overview
from mlops_assets.components.stages.overview import look_over, read_partitions
from mlops_assets.lifecycle.performance import PerformanceReport
from mlops_assets.lifecycle.triage import Triage

AT = datetime(2013, 6, 5, tzinfo=UTC)


def record(world, kind: str, subject: str, body: dict) -> None:
    write_once(world.ledger, kind, world.name, subject, body, AT)


def monitor(world, partition: str, version: str, brier: float, cause: str = "nothing") -> None:
    """What the job monitor leaves in the ledger for a partition."""
    report = PerformanceReport(600, 580, 0.25, {"brier": brier}, "partial", {"brier": 0.14})
    record(world, "performance", partition, {version: asdict(report), "v9 (shadow)": {}})
    column = {"column": "temp", "drifted": cause != "nothing", "findings": []}
    body = {
        "version": version,
        "outcome": "passed",
        "reason": "in words",
        "columns": [column],
        "triage": asdict(Triage(cause, f"{cause} it is")),
    }
    record(world, "drift", partition, body)


def test_each_partition_holds_the_latest_of_what_was_recorded(world):
    monitor(world, "2013-05-06", "v1", 0.18)
    monitor(world, "2013-05-13", "v1", 0.19, "covariate_drift")
    record(world, "retraining", "2013-05-13", {"action": "retrain", "as_of": "2013-05-20"})
    monitor(world, "2013-05-20", "v2", 0.15)
    monitor(world, "2013-05-06", "v1", 0.17)  # more labels have come
    before, drifted, after = read_partitions(world.model, world.ledger)
    assert (before.partition, before.realised, before.alarm) == ("2013-05-06", 0.17, False)
    assert (drifted.cause, drifted.alarm, drifted.said) == (
        "covariate_drift",
        True,
        "covariate_drift it is",
    )
    assert (drifted.retrain_as_of, after.retrain_as_of) == ("2013-05-20", None)
    assert [p.first for p in (before, drifted, after)] == [False, False, True]
    assert (after.labelled, after.predictions, after.estimated) == (580, 600, 0.14)


def test_rows_of_a_state_that_knew_less_are_read_too(world):
    world.drift("2013-05-13", "failed")
    (only,) = read_partitions(world.model, world.ledger)
    assert (only.drift, only.cause, only.said) == ("failed", "nothing", "2013-05-13 failed")
    assert (only.realised, only.alarm) == (None, False)


def test_looking_writes_nothing_and_an_empty_ledger_has_an_overview_too(world):
    seen = look_over(world.model, world.ledger)
    assert (seen.overview.status, list(seen.partitions)) == ("somebody has to act", [])
    assert world.ledger.position() == 0


def test_the_tested_score_and_the_last_decision_stand_beside_the_rest(world):
    world.crown("v1", "a" * 64)
    record(world, "evaluation", "a" * 64, {"metrics": {"brier": 0.1234}})
    record(world, "retraining", "2013-05-13", {"action": "skip", "reason": "the cooldown is 2"})
    monitor(world, "2013-05-13", "v1", 0.18)
    answers = dict(look_over(world.model, world.ledger).overview.answers)
    assert answers["Is it as good as tested?"].endswith("0.123 when it was tested")
    assert answers["Is it trained again?"] == "the cooldown is 2"


def shown(world) -> dict:
    """The metadata of the asset, materialized on its own."""
    with dg.build_asset_context() as context:
        result = build_overview(world.model)(context, ledger=world.ledger)
    assert isinstance(result, dg.MaterializeResult)
    return dict(result.metadata or {})


def test_the_asset_shows_status_summary_picture_and_the_newest_partitions_first(world):
    world.crown("v1", "a" * 64)
    for week in ("2013-05-06", "2013-05-13"):
        monitor(world, week, "v1", 0.18)
    metadata = shown(world)
    assert list(metadata) == ["status", "summary", "over_time", "newest_partitions"]
    assert metadata["status"] == "all is well: nothing stands out in 2013-05-13"
    summary = metadata["summary"].value
    assert "- **What serves?** v1, trained as of 2013-03-04" in summary
    assert "`drift ··`" in summary
    rows = metadata["newest_partitions"].value.splitlines()[2:]
    assert [row.split("|")[1].strip() for row in rows] == ["2013-05-13", "2013-05-06"]
    assert metadata["over_time"].value.startswith("![plot](data:image/png;base64,")


def test_whatever_there_is_to_say_the_summary_is_shown_without_a_click(world):
    world.crown("v1", "a" * 64)
    for week in world.model.calendar.keys:
        monitor(world, week, "v1", 0.18, "covariate_drift")
    body = world.rows("drift", "2013-12-30")[-1]
    record(
        world, "drift", "2013-12-30", body | {"triage": {"cause": "nothing", "reason": "x" * 999}}
    )
    record(world, "retraining", "2013-12-30", {"action": "skip", "reason": "y" * 999})
    assert len(shown(world)["summary"].value) < 1000


def test_without_a_partition_there_is_no_picture(world):
    assert list(shown(world)) == ["status", "summary", "newest_partitions"]
