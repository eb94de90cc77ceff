"""From features to a registered version: bound by digests, decided by the ledger alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest

from mlops_assets.adapters.in_memory import (
    InMemoryModelFiles,
    InMemoryStudies,
    InMemoryTables,
    InMemoryTracking,
)
from mlops_assets.components.stages import evaluation, registration
from mlops_assets.components.stages import training as stage
from mlops_assets.lifecycle.errors import RefusedError, TrainingError

A = "a" * 64
AS_OF = "2013-02-18"
TAGS = {"dagster_asset": "flight_delays/trained_model", "dagster_partition": AS_OF}


@dataclass
class Bench:
    """A world with tables, and the stages of training bound to it."""

    world: Any
    tables: InMemoryTables = field(default_factory=InMemoryTables)
    files: InMemoryModelFiles = field(default_factory=InMemoryModelFiles)
    tracking: InMemoryTracking = field(default_factory=InMemoryTracking)
    studies: InMemoryStudies = field(default_factory=InMemoryStudies)
    said: list[str] = field(default_factory=list)

    def plan(self, as_of: str = AS_OF, rows: str = "all") -> stage.PlannedTrainingSet:
        w = self.world
        return stage.plan(w.model, as_of, rows, self.tables, w.ledger, w.clock)

    def study(self):
        w = self.world
        return stage.study(
            w.model, AS_OF, self.tables, w.ledger, self.studies, w.clock, self.said.append
        )

    def train(self, estimator: str = "build_estimator", run: str = "one") -> stage.TrainedModel:
        w = self.world
        return stage.train(
            w.model,
            AS_OF,
            estimator,
            self.tables,
            w.ledger,
            self.files,
            self.tracking,
            w.clock,
            TAGS | {"dagster_run_id": run},
        )

    def evaluate(self) -> evaluation.Evaluated:
        w = self.world
        return evaluation.evaluate(w.model, AS_OF, self.tables, w.ledger, self.files, w.clock)

    def register(self):
        w = self.world
        return registration.register(w.model, AS_OF, w.ledger, w.registry, w.clock)


def fill(bench: Bench, weeks: int = 7, rows: int = 250) -> None:
    """Weeks of flights, whose delay follows the distance, known three hours after departure."""
    calendar, random = bench.world.model.calendar, np.random.default_rng(7)
    features, labels = {}, {}
    for key in calendar.keys[:weeks]:
        distance = random.normal(size=rows)
        seconds = np.sort(random.integers(0, 7 * 86400 - 4 * 3600, rows))
        at = [calendar.begin(key) + timedelta(seconds=int(s)) for s in seconds]
        entity = pl.DataFrame(
            {"flight_id": [f"{key}-{n}" for n in range(rows)], "predicted_at": at}
        ).with_columns(pl.col("predicted_at").cast(pl.Datetime("us", "UTC")))
        carrier = random.choice(["AA", "UA"], rows)
        features[key] = entity.with_columns(carrier=pl.Series(carrier), distance=distance)
        late = random.random(rows) < 1 / (1 + np.exp(-3 * distance))
        known = pl.col("predicted_at") + timedelta(hours=3)
        labels[key] = entity.with_columns(late=pl.Series(late), known_at=known)
    bench.tables.write("flight_delays/features", features)
    bench.tables.write("flight_delays/labels", labels)


@pytest.fixture(scope="session")
def small(flight_delays_text) -> dict[str, str]:
    """What makes the model small: two features, two trials, gates for few rows."""
    start, end = (flight_delays_text.index(f"\n  {name}:") for name in ("features", "training"))
    return {
        flight_delays_text[start:end]: (
            "\n  features: {categorical: [carrier], numeric: [distance]}\n"
        ),
        "slices: [carrier, origin]": "slices: [carrier]",
        "minimum_rows: 1000": "minimum_rows: 300",
        "calibration_error: 0.12": "calibration_error: 0.3",
        "trials: 4": "trials: 2",
        "    estimator: build_estimator\n": (
            "    estimator: build_estimator\n    parameters: {classifier__max_iter: 12}\n"
        ),
    }


@pytest.fixture
def make_bench(make_world, small) -> Callable[..., Bench]:
    return lambda **changes: Bench(make_world(small | changes))


@pytest.fixture
def bench(make_bench) -> Bench:
    made = make_bench()
    fill(made)
    return made


class TestRequireVerdict:
    def text(self, world) -> str:
        with pytest.raises(RefusedError) as refused:
            registration.require_verdict(world.model, A, world.ledger)
        return str(refused.value)

    def test_given_none_then_the_model_and_what_to_do_are_named(self, world):
        assert self.text(world) == (
            "flight_delays: model aaaaaaaaaaaa has no verdict; materialize its evaluation first"
        )

    @pytest.mark.parametrize("outcome", ["failed", "inconclusive"])
    def test_given_one_that_did_not_pass_then_its_outcome_and_reason_are_said(self, world, outcome):
        world.judge(A, outcome=outcome, reason="auc_is_high_enough: auc 0.5")
        assert self.text(world) == (
            f"flight_delays: model aaaaaaaaaaaa was judged {outcome}: auc_is_high_enough: auc 0.5"
        )

    def test_given_one_under_other_gates_then_to_judge_again_is_asked(self, world):
        world.judge(A, policy="f" * 64)
        assert self.text(world) == (
            "flight_delays: model aaaaaaaaaaaa was judged by other gates than defs.yaml states "
            "now; materialize its evaluation again"
        )

    def test_given_a_later_one_that_failed_then_the_earlier_pass_counts_no_more(self, world):
        world.judge(A)
        world.judge(A, outcome="failed", reason="judged again")
        assert self.text(world).endswith("was judged failed: judged again")

    def test_given_one_that_passed_for_another_model_then_it_does_not_count(self, world):
        world.judge("b" * 64)
        assert "has no verdict" in self.text(world)

    def test_given_one_that_passed_under_todays_gates_then_nothing_is_raised(self, world):
        world.judge(A, outcome="failed")
        world.judge(A)
        assert registration.require_verdict(world.model, A, world.ledger) is None


class TestPlan:
    def test_given_no_tables_then_both_are_named(self, make_bench):
        with pytest.raises(TrainingError) as error:
            make_bench().plan()
        assert str(error.value) == "training set: features, labels were never materialized"

    def test_given_a_week_is_missing_then_it_is_named(self, make_bench):
        bench = make_bench()
        fill(bench, weeks=6)
        with pytest.raises(TrainingError) as error:
            bench.plan()
        assert str(error.value) == (
            "training set: as of 2013-02-18 it needs features of 1 partition(s) that hold no "
            "rows: 2013-02-11; materialize them first"
        )

    def test_given_enough_weeks_then_the_plan_is_recorded_with_its_digest(self, bench):
        planned = bench.plan()
        assert planned.verdict.passed
        (row,) = bench.world.rows("training_set", AS_OF)
        assert row["digest"] == planned.training_set.digest
        assert row["test"] == ["2013-02-04", "2013-02-11"]
        assert stage.read_training_set(row) == planned.training_set

    def test_given_planned_again_then_nothing_is_added(self, bench):
        bench.plan()
        bench.plan()
        assert len(bench.world.rows("training_set")) == 1

    def test_given_other_labels_since_then_the_digest_is_another(self, bench):
        first = bench.plan().training_set.digest
        labels = bench.tables.read("flight_delays/labels", ["2013-01-07"]).drop("partition")
        turned = labels.with_columns(~pl.col("late"))
        bench.tables.write("flight_delays/labels", {"2013-01-07": turned})
        assert bench.plan().training_set.digest != first

    def test_given_equal_rows_written_again_then_the_digest_stays(self, bench):
        first = bench.plan().training_set.digest
        fill(bench)
        assert bench.plan().training_set.digest == first


class TestTrainingToVersion:
    def test_given_no_plan_then_what_to_materialize_first_is_said(self, bench):
        with pytest.raises(TrainingError) as error:
            bench.train()
        assert str(error.value) == (
            "training set: none as of 2013-02-18; materialize training_set first"
        )

    def test_given_no_model_then_what_to_materialize_first_is_said(self, bench):
        with pytest.raises(TrainingError) as error:
            bench.register()
        assert str(error.value) == (
            "trained model: none as of 2013-02-18; materialize trained_model first"
        )

    def test_given_all_stages_then_the_verdict_binds_model_data_science_and_gates(self, bench):
        planned = bench.plan()
        bench.study()
        trained = bench.train()
        done = bench.evaluate()
        assert done.verdict.outcome == "passed", done.verdict.reason
        (verdict,) = bench.world.rows("verdict", trained.digest)
        assert verdict["training_set"] == planned.training_set.digest
        assert verdict["policy"] == bench.world.model.policy_digest
        assert verdict["code"] == bench.world.model.code_digest
        assert [gate["name"] for gate in verdict["gates"]] == bench.world.model.spec.gates.names
        version, _ = bench.register()
        assert (version.version, version.digest) == ("v1", trained.digest)
        assert bench.world.aliases() == {"challenger": "v1"}
        (recorded,) = bench.world.rows("version")
        assert recorded == {
            "digest": trained.digest,
            "train_as_of": AS_OF,
            "uri": trained.model_uri,
        }

    def test_given_all_stages_run_again_then_no_record_or_version_is_added(self, bench):
        for _ in range(2):
            bench.plan()
            bench.study()
            bench.train()
            bench.evaluate()
            bench.register()
        kinds = ("training_set", "study", "evaluation", "verdict", "version")
        assert [len(bench.world.rows(kind)) for kind in kinds] == [1] * 5
        assert len({row["digest"] for row in bench.world.rows("trained_model")}) == 1
        assert len(bench.world.registry.versions("flight_delays")) == 1
        assert len(bench.files.folders) == 1

    def test_given_a_study_then_its_best_parameters_are_fitted(self, bench):
        bench.plan()
        result = bench.study()
        trained = bench.train()
        assert dict(trained.parameters) == {"classifier__max_iter": 12, **result.parameters}
        assert len(bench.said) == 2
        (run,) = bench.tracking.runs
        assert run.params["digest"] == trained.digest
        assert run.status == "FINISHED"

    def test_given_gates_that_fail_then_the_version_is_refused(self, make_bench):
        bench = make_bench(**{"minimum: {auc: 0.62}": "minimum: {auc: 1.0}"})
        fill(bench)
        bench.plan()
        bench.train()
        assert bench.evaluate().verdict.outcome == "failed"
        with pytest.raises(RefusedError, match=r"was judged failed: auc_is_high_enough: auc 0\."):
            bench.register()
        assert bench.world.registry.versions("flight_delays") == []
        assert bench.world.rows("version") == []

    def test_given_too_few_rows_to_judge_then_the_version_is_refused(self, make_bench):
        bench = make_bench(**{"minimum_rows: 1000": "minimum_rows: 9000"})
        fill(bench)
        bench.plan()
        bench.train()
        assert bench.evaluate().verdict.outcome == "inconclusive"
        with pytest.raises(RefusedError, match="was judged inconclusive"):
            bench.register()

    def test_given_a_champion_then_it_is_measured_on_the_same_rows(self, bench):
        bench.plan()
        old = bench.train("build_strict_estimator", run="earlier")
        bench.world.crown("v1", old.digest, "2013-01-07")
        bench.train()
        done = bench.evaluate()
        assert done.champion.rows == done.report.rows
        (verdict,) = bench.world.rows("verdict")
        assert verdict["champion"] == old.digest

    def test_given_a_champion_trained_later_then_it_is_not_compared_with_on_rows_it_has_seen(
        self, bench
    ):
        bench.plan()
        later = bench.train("build_strict_estimator", run="later")
        bench.world.crown("v1", later.digest, "2013-12-02")
        bench.train()
        done = bench.evaluate()
        gate = next(g for g in done.gates if g.name == "is_no_worse_than_champion")
        assert done.champion is None
        assert (gate.outcome, gate.reason) == (
            "inconclusive",
            "v1 was trained later, as of 2013-12-02",
        )
        with pytest.raises(RefusedError, match="inconclusive"):
            bench.register()

    def test_given_the_champion_itself_registered_again_then_it_is_no_challenger(self, bench):
        bench.plan()
        trained = bench.train()
        bench.evaluate()
        bench.world.crown("v1", trained.digest)
        version, _ = bench.register()
        assert "challenger" not in version.aliases

    def test_given_a_model_older_than_the_latest_then_the_latest_is_registered(self, bench):
        bench.plan()
        bench.train("build_strict_estimator", run="earlier")
        bench.evaluate()
        newest = bench.train()
        with pytest.raises(RefusedError, match=f"model {newest.digest[:12]} has no verdict"):
            bench.register()
