"""Candidates: fitted on the same rows, measured on later ones, and again only for a reason."""

from __future__ import annotations

from dataclasses import asdict
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import log_loss
from threadpoolctl import threadpool_limits

from mlops_assets.adapters.in_memory import InMemoryModelFiles
from mlops_assets.components.definition import Candidate
from mlops_assets.components.stages.candidates import FittedCandidate, fit, load_candidates
from mlops_assets.components.stages.training_sets import load_split, read_recorded
from mlops_assets.lifecycle.errors import TrainingError
from mlops_assets.lifecycle.training import Feature, ModelSignature, predict_probability
from mlops_assets_tests.components.bench import (
    AS_OF,
    NAME,
    RECENT,
    SEASONAL,
    Bench,
    make_bench,
)


@pytest.fixture
def bench() -> Bench:
    made = make_bench()
    made.plan()
    return made


def split_of(bench: Bench):
    return load_split(bench.model, AS_OF, bench.tables, bench.world.ledger)[1]


def names(bench: Bench) -> dict[str, FittedCandidate]:
    planned = read_recorded(bench.model, AS_OF, bench.world.ledger)
    return load_candidates(bench.model, planned, bench.world.ledger)


class TestFit:
    def test_its_files_are_kept_under_the_digest_that_is_recorded(self, bench):
        fitted, reused = bench.fit("seasonal")
        assert not reused
        (row,) = bench.world.rows("candidate", f"{AS_OF}/seasonal")
        assert FittedCandidate(**row) == fitted
        _, signature = bench.files.load(fitted.digest)
        assert (signature.estimator, signature.train_as_of) == ("build_seasonal", AS_OF)

    def test_it_is_measured_on_later_rows_than_it_was_fitted_on(self, bench):
        fitted, _ = bench.fit("seasonal")
        later = split_of(bench).calibration
        model, signature = bench.files.load(fitted.digest)
        answers = predict_probability(model, later, signature.features)
        truth = later["rain"].cast(int).to_numpy()
        assert fitted.metrics["log_loss"] == pytest.approx(log_loss(truth, answers))
        assert fitted.fit_rows == split_of(bench).fit.height == 240

    def test_it_takes_the_parameters_that_its_study_found_over_those_of_the_yaml(self, bench):
        given = {**RECENT, "parameters": {"classify__C": 5.0, "classify__tol": 0.001}}
        space = {"space": {"classify__C": {"low": 0.01, "high": 1}}}
        tuned = bench.stating(candidates={"recent": {**given, **space}, "seasonal": SEASONAL})
        (result,) = tuned.study().values()
        fitted, _ = tuned.fit("recent")
        assert fitted.parameters == {**result.parameters, "classify__tol": 0.001}
        model, _ = tuned.files.load(fitted.digest)
        assert model.get_params()["classify__C"] == result.parameters["classify__C"]

    def test_its_tracking_run_says_what_went_in_and_what_came_out(self, bench):
        fitted, _ = bench.fit("seasonal")
        (run,) = bench.tracking.runs
        assert (run.name, run.status) == (f"seasonal {AS_OF}", "FINISHED")
        assert run.params == {"estimator": "build_seasonal", "digest": fitted.digest}
        assert run.metrics == {"fit_rows": 240, **fitted.metrics}
        (dataset,) = run.datasets
        assert (dataset.context, dataset.digest) == ("training", fitted.training_set)

    def test_a_fit_that_fails_leaves_a_failed_run_and_no_record(self, bench):
        wrong = {**SEASONAL, "parameters": {"classify__depth": 3}}
        broken = bench.stating(candidates={"recent": RECENT, "seasonal": wrong}, tuning=None)
        with pytest.raises((TrainingError, ValueError), match="depth"):
            broken.fit("seasonal")
        assert [run.status for run in bench.tracking.runs] == ["FAILED"]
        assert bench.world.rows("candidate") == []

    def test_given_one_class_only_on_later_rows_then_it_is_fitted_and_not_measured(self, bench):
        for month in ("2012-05-01", "2012-06-01"):
            rows = bench.tables.read(f"{NAME}/labels", [month]).drop("partition")
            dry = rows.with_columns(pl.lit(value=False).alias("rain"))
            bench.tables.write(f"{NAME}/labels", {month: dry})
        bench.plan()
        fitted, _ = bench.fit("seasonal")
        assert fitted.metrics == {}
        assert bench.files.holds(fitted.digest)


class TestAgain:
    def test_given_nothing_changed_then_it_is_not_fitted_again(self, bench):
        first, _ = bench.fit("seasonal")
        assert bench.fit("seasonal") == (first, True)
        assert len(bench.tracking.runs) == 1

    def test_asked_for_again_it_is_fitted_again_to_the_same_files(self, bench):
        first, _ = bench.fit("seasonal")
        again, reused = bench.fit("seasonal", again=True)
        assert not reused
        assert (again.digest, again.identity) == (first.digest, first.identity)
        assert len(bench.tracking.runs) == 2

    @pytest.mark.parametrize(
        "changes",
        [
            {"candidates": {"recent": RECENT, "seasonal": {**SEASONAL, "estimator": "build_tree"}}},
            {
                "candidates": {
                    "recent": RECENT,
                    "seasonal": {**SEASONAL, "parameters": {"classify__C": 0.1}},
                }
            },
        ],
        ids=["another estimator", "another parameter"],
    )
    def test_given_what_decides_it_changed_then_it_is_fitted_again(self, bench, changes):
        first, _ = bench.fit("seasonal")
        other, reused = bench.stating(tuning=None, **changes).fit("seasonal")
        assert not reused
        assert other.digest != first.digest

    def test_given_another_seed_then_it_is_fitted_again(self, bench):
        first, _ = bench.fit("seasonal")
        seeded = {**bench.model.spec.training.model_dump(exclude_unset=True), "seed": 8}
        other, reused = bench.stating(training=seeded).fit("seasonal")
        assert (reused, other.identity == first.identity) == (False, False)

    def test_given_other_rows_then_it_is_fitted_again(self, bench):
        first, _ = bench.fit("seasonal")
        bench.plan(rows="complete_cases")
        other, reused = bench.fit("seasonal")
        assert not reused
        assert other.training_set != first.training_set

    def test_given_the_other_candidate_changed_then_this_one_is_left(self, bench):
        bench.fit("seasonal")
        other = {"estimator": "build_tree"}
        changed = bench.stating(candidates={"recent": other, "seasonal": SEASONAL}, tuning=None)
        assert changed.fit("seasonal")[1]

    def test_given_its_files_are_gone_then_it_is_fitted_again(self, bench):
        fitted, _ = bench.fit("seasonal")
        bench.files.folders.clear()
        again, reused = bench.fit("seasonal")
        assert (reused, again.digest) == (False, fitted.digest)
        assert bench.files.holds(fitted.digest)


class TestLoad:
    def test_given_all_are_fitted_then_all_are_there_by_name(self, bench):
        fitted = {name: bench.fit(name)[0] for name in ("recent", "seasonal")}
        assert {name: asdict(of) for name, of in names(bench).items()} == {
            name: asdict(of) for name, of in fitted.items()
        }

    def test_given_one_is_missing_then_it_is_named(self, bench):
        bench.fit("recent")
        with pytest.raises(TrainingError) as error:
            names(bench)
        assert str(error.value) == (
            "ensemble: as of 2012-09-01 candidate seasonal was not fitted on this training set; "
            "materialize it first"
        )

    def test_given_one_of_other_rows_then_it_does_not_count(self, bench):
        for name in ("recent", "seasonal"):
            bench.fit(name)
        bench.plan(rows="complete_cases")
        bench.fit("recent")
        with pytest.raises(TrainingError, match="candidate seasonal was not fitted on this"):
            names(bench)


@pytest.mark.parametrize("threads", [1, 2])
def test_the_digest_does_not_depend_on_how_many_threads_the_process_may_use(threads):
    # given an estimator that keeps the number of threads it was fitted with in its files
    random = np.random.default_rng(0)
    rows = pl.DataFrame({"x": random.random(400), "late": random.integers(0, 2, 400)})
    feature = Feature("x", "numeric")
    training = SimpleNamespace(seed=7, threads=2)

    def build(features, seed):
        assert features == (feature,)
        return HistGradientBoostingClassifier(max_iter=3, random_state=seed)

    model = SimpleNamespace(
        function=lambda _: build,
        features=(feature,),
        spec=SimpleNamespace(label="late", training=training),
    )
    candidate = Candidate("boosting", "build_boosting", {}, {}, None)
    signature = ModelSignature("m", (feature,), "id", "at", "late", "2013-01-07", "a", "b")

    def digest(limit):
        with threadpool_limits(limits=limit):
            fitted = fit(model, candidate, {}, SimpleNamespace(fit=rows))
        return InMemoryModelFiles().save(fitted, signature)

    # when the process has another limit, then the files are the same
    assert digest(threads) == digest(None)
