"""A drill goes back where nobody is served, and says how long it took and what it cost."""

from __future__ import annotations

from contextlib import contextmanager

import dagster as dg
import pytest

from mlops_assets.adapters.in_memory import InMemoryStaging, InMemoryStagingServer
from mlops_assets.adapters.journal import (
    find_previous_champion,
    read_drills,
    read_routing,
    write_champion,
)
from mlops_assets.components.assets.drill import build_rollback_drill
from mlops_assets.components.stages.drill import drill_rollback
from mlops_assets.lifecycle.errors import ArtifactError, RefusedError
from mlops_assets.lifecycle.rollout.drill import RollbackDrill
from mlops_assets.lifecycle.rollout.state import Champion
from mlops_assets_tests.components.bench import ALONE, AS_OF, make_bench

LATER = "2012-10-01"


class SlowStaging(InMemoryStaging):
    """A server that takes as long to go back, and loses as many requests, as it is told."""

    def __init__(self, seconds: float = 0.0, failed: int = 0) -> None:
        self.drill, self.asked = RollbackDrill(seconds, 100, failed), []

    @contextmanager
    def open(self):
        yield self

    def drill_rollback(self, current, previous, rows):
        self.asked.append((current, previous, rows))
        return self.drill


@pytest.fixture(scope="module")
def trained():
    """Two versions, trained one after the other; neither serves."""
    bench = make_bench(ALONE)
    return bench, [bench.make(as_of).digest for as_of in (AS_OF, LATER)]


@pytest.fixture
def bench(trained):
    """A bench of its own over the models that were trained."""
    done, digests = trained
    bench = make_bench(ALONE, filled=False)
    bench.tables, bench.files = done.tables, done.files
    crown(bench, "v1", digests[0], AS_OF)
    return bench


@pytest.fixture
def both(bench, trained):
    """v2 serves, v1 served before."""
    crown(bench, "v2", trained[1][1], LATER)
    return bench


def crown(bench, version: str, digest: str, as_of: str) -> None:
    w = bench.world
    write_champion(w.ledger, w.name, Champion(version, digest, as_of), w.clock.now())


def drill(bench, server=None):
    w = bench.world
    server = server or InMemoryStagingServer(bench.files)
    return drill_rollback(w.model, bench.tables, w.ledger, bench.files, server, w.clock)


def test_it_goes_from_the_champion_to_the_version_before(both, trained):
    server = SlowStaging(0.2)
    done = drill(both, server)
    ((current, previous, rows),) = server.asked
    assert [current.digest, previous.digest] == trained[1][::-1]
    assert current.signature.train_as_of == LATER
    assert (done.current, done.previous, done.drill.seconds) == ("v2", "v1", 0.2)
    assert rows["partition"].unique().to_list() == ["2012-09-01"]
    assert {feature.name for feature in both.model.features} <= set(rows.columns)


def test_it_is_kept_and_changes_nothing_that_serves(both):
    w = both.world
    before = read_routing(w.ledger, w.name)
    done = drill(both)
    drill(both)
    assert read_routing(w.ledger, w.name) == before
    assert done.verdict.passed
    drills = read_drills(w.ledger, w.name)
    assert [(current, previous) for _, current, previous, _ in drills] == [("v2", "v1")] * 2
    assert all(kept.failed == 0 and kept.requests > 0 for *_, kept in drills)


@pytest.mark.parametrize(
    ("server", "outcome"),
    [
        (SlowStaging(0.9), "passed"),
        (SlowStaging(1.1), "failed"),
        (SlowStaging(0.1, failed=1), "failed"),
    ],
)
def test_it_is_judged_against_the_limit_and_by_what_it_lost(both, server, outcome):
    assert drill(both, server).verdict.outcome == outcome


def test_given_one_version_alone_has_served_then_it_says_so_and_asks_no_server(bench):
    done = drill(bench, server=None)
    assert (done.verdict.outcome, done.drill) == ("inconclusive", None)
    assert done.verdict.reason == "v1 alone has served: there is nothing to go back to"
    assert read_drills(bench.world.ledger, bench.world.name) == []


def test_given_nothing_serves_then_refused():
    with pytest.raises(RefusedError, match="no version serves yet"):
        drill(make_bench(ALONE, filled=False))


def test_given_the_files_of_the_version_before_are_gone_then_the_drill_fails(both):
    w = both.world
    crown(both, "v3", "c" * 64, LATER)
    crown(both, "v4", find_previous_champion(w.ledger, w.name).digest, LATER)
    with pytest.raises(ArtifactError):
        drill(both)
    assert read_drills(w.ledger, w.name) == []


class TestAsset:
    def materialize(self, bench, staging):
        w = bench.world
        resources = {
            "tables": bench.tables,
            "ledger": w.ledger,
            "model_files": bench.files,
            "staging": staging,
            "clock": w.clock,
        }
        done = dg.materialize([build_rollback_drill(bench.model)], resources=resources)
        (event,) = done.get_asset_materialization_events()
        (check,) = done.get_asset_check_evaluations()
        return done, event.materialization.metadata, check

    def test_it_shows_this_drill_and_those_before(self, both):
        self.materialize(both, SlowStaging(0.3))
        done, shown, check = self.materialize(both, SlowStaging(0.2))
        assert done.success
        assert (shown["current"].value, shown["previous"].value) == ("v2", "v1")
        assert (shown["seconds"].value, shown["requests"].value) == (0.2, 100)
        assert shown["drills"].value.count("| 0.") == 2
        assert "image/png" in shown["drill_seconds"].value
        assert (check.check_name, check.passed) == ("rolls_back_in_time", True)

    def test_given_it_takes_too_long_then_the_check_warns_and_blocks_nothing(self, both):
        done, _, check = self.materialize(both, SlowStaging(5.0))
        assert done.success
        assert not check.passed
        assert check.severity is dg.AssetCheckSeverity.WARN

    def test_given_one_version_alone_then_there_is_no_picture_and_the_check_is_not_green(
        self, bench
    ):
        _, shown, check = self.materialize(bench, SlowStaging())
        assert "drill_seconds" not in shown
        assert not check.passed
