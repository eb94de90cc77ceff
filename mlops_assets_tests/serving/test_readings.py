"""The state of the server as metrics: routing, ledger, cut-offs, looked-up features."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from prometheus_client.parser import text_string_to_metric_families

from mlops_assets.adapters.journal import read_rollout, write_rollout
from mlops_assets.adapters.online_tables import FolderOnlineTables
from mlops_assets.lifecycle.online import OnlineGroup, OnlineTable
from mlops_assets.serving.answering.online import OnlineLookups
from mlops_assets.serving.web.readings import Readings


def read(page: str) -> dict[tuple[str, frozenset], float]:
    return {
        (sample.name.removeprefix("mlops_assets_"), frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(page)
        for sample in family.samples
    }


def labelled(name, **labels):
    return name, frozenset(labels.items())


@pytest.fixture
def scrape(server):
    return lambda: read(server.client.get("/metrics").text)


def test_the_routing_is_shown(server, scrape, world):
    world.train("v2")
    world.roll_out("v2", 30)
    server.follow()
    seen = scrape()
    assert seen[labelled("weight_percent", model="delays", version="v1", arm="primary")] == 70
    assert seen[labelled("weight_percent", model="delays", version="v2", arm="canary")] == 30
    assert seen[labelled("mirror_percent", model="delays", version="v2", arm="canary")] == 0
    loaded = {dict(labels)["version"] for name, labels in seen if name == "loaded"}
    assert loaded == {"v1", "v2"}


def test_the_ledger_is_seen_to_go_away_and_to_come_back(server, scrape, monkeypatch):
    assert scrape()[labelled("ledger_reachable")] == 1
    assert scrape()[labelled("routing_age_seconds")] >= 0
    with monkeypatch.context() as away:
        away.setattr("mlops_assets.adapters.sql_ledger.SqlLedger.position", lambda _: 1 / 0)
        server.follow()
        assert scrape()[labelled("ledger_reachable")] == 0
    server.follow()
    assert scrape()[labelled("ledger_reachable")] == 1


def test_before_the_first_reading_no_ledger_is_reachable(start, world):
    server = start(follow=False)
    assert read(server.client.get("/metrics").text)[labelled("ledger_reachable")] == 0


def test_a_version_that_was_cut_off_is_counted(server, scrape, world):
    world.train("v2")
    world.roll_out("v2", 30)
    server.follow()
    assert scrape()[labelled("cut_offs_total")] == 0
    server.client.app.inference._answers.cut_off("delays", "v2", "a test", "nobody")
    seen = scrape()
    assert seen[labelled("cut_offs_total")] == 1
    assert seen[labelled("weight_percent", model="delays", version="v2", arm="canary")] == 0
    assert (seen[labelled("dropped_copies_total")], seen[labelled("lost_log_lines_total")]) == (
        0,
        0,
    )


def test_a_mirrored_version_is_shown(server, scrape, world):
    world.train("v2")
    world.roll_out("v2", 0)
    state = read_rollout(world.ledger, "delays")
    write_rollout(world.ledger, "delays", replace(state, mirror=40), world.at)
    server.follow()
    assert scrape()[labelled("mirror_percent", model="delays", version="v2", arm="canary")] == 40


def test_the_age_of_looked_up_features_is_shown(server, tmp_path):
    moment = datetime.now(UTC) - timedelta(hours=2)
    tables = FolderOnlineTables(tmp_path / "online")
    group = OnlineGroup(("carrier",), ("late_rate",), {("UA",): (0.2,)})
    tables.publish(OnlineTable("delays", moment.isoformat(), "code", (group,)))
    readings = Readings(server.watch, OnlineLookups(tables))
    (age,) = [r for r in readings() if r.name == "online_features_age_seconds"]
    assert age.labels == (("model", "delays"),)
    assert 7200 <= age.value < 7200 + 600


def test_without_looked_up_features_they_have_no_age(scrape):
    assert not [name for name, _ in scrape() if name.startswith("online")]


def test_the_age_of_the_routing_grows_while_the_ledger_is_not_read(server):
    server.watch.read_at = time.monotonic() - 100
    (age,) = [r for r in Readings(server.watch, None)() if r.name == "routing_age_seconds"]
    assert age.value >= 100
