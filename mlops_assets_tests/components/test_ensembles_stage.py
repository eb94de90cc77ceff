"""Candidates weighed against each other on later rows; the choice holds for these members only."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import log_loss

from mlops_assets.components.stages.candidates import load_candidates
from mlops_assets.components.stages.ensembles import read_weighed
from mlops_assets.components.stages.training_sets import load_split, read_recorded
from mlops_assets.lifecycle.errors import TrainingError
from mlops_assets.lifecycle.training import predict_probability
from mlops_assets_tests.components.bench import AS_OF, RECENT, SEASONAL, Bench, make_bench

UNTUNED = {"tuning": None, "candidates": {"recent": RECENT, "seasonal": SEASONAL}}


@pytest.fixture
def bench() -> Bench:
    """Two candidates that each know half of what there is to know, fitted."""
    made = make_bench(UNTUNED)
    made.plan()
    for name in ("recent", "seasonal"):
        made.fit(name)
    return made


def members(bench: Bench) -> dict[str, str]:
    planned = read_recorded(bench.model, AS_OF, bench.world.ledger)
    found = load_candidates(bench.model, planned, bench.world.ledger)
    return {name: of.digest for name, of in found.items()}


def test_given_candidates_that_know_different_things_then_together_they_are_chosen(bench):
    choice = bench.weigh()
    assert choice.chosen == "ensemble"
    assert choice.gain.low > 0
    assert sum(choice.weights.values()) == pytest.approx(1)
    assert min(choice.weights.values()) > 0.1


def test_losses_are_those_of_the_candidates_on_the_calibration_rows(bench):
    choice = bench.weigh()
    split = load_split(bench.model, AS_OF, bench.tables, bench.world.ledger)[1]
    truth = split.calibration["rain"].cast(int).to_numpy()
    for name, digest in members(bench).items():
        fitted, signature = bench.files.load(digest)
        answers = predict_probability(fitted, split.calibration, signature.features)
        assert choice.losses[name] == pytest.approx(log_loss(truth, answers))


def test_given_a_candidate_that_knows_all_then_it_is_chosen_alone_or_nearly(bench):
    """The mean with one that adds nothing is no better beyond noise."""
    twice = {"recent": RECENT, "copy": {**RECENT, "parameters": {"classify__C": 0.9}}}
    other = bench.stating(**{**UNTUNED, "candidates": twice})
    for name in twice:
        other.fit(name)
    choice = other.weigh()
    assert choice.chosen in twice
    assert not choice.verdict.passed


def test_the_choice_is_recorded_with_its_members_and_again_adds_nothing(bench):
    choice = bench.weigh()
    bench.weigh()
    (row,) = bench.world.rows("ensemble", AS_OF)
    assert row["members"] == members(bench)
    assert (row["chosen"], row["weights"]) == (choice.chosen, dict(choice.weights))
    assert row["verdict"]["reason"] == choice.verdict.reason


def test_given_a_candidate_is_missing_then_nothing_is_weighed(bench):
    three = {**UNTUNED["candidates"], "tree": {"estimator": "build_tree"}}
    with pytest.raises(TrainingError, match="candidate tree was not fitted on this training set"):
        bench.stating(**{**UNTUNED, "candidates": three}).weigh()
    assert bench.world.rows("ensemble") == []


@pytest.mark.parametrize("method", ["blend", "stacking"])
def test_the_model_says_what_its_members_say_put_together(bench, method):
    stated = bench.stating(**UNTUNED, ensemble={"method": method, "confidence": 0.5})
    assert stated.weigh().chosen == "ensemble"
    trained, _ = stated.train()
    split = load_split(stated.model, AS_OF, stated.tables, stated.world.ledger)[1]
    model, signature = stated.files.load(trained.digest)
    answers = predict_probability(model, split.test, signature.features)
    parts = [
        predict_probability(stated.files.load(digest)[0], split.test, signature.features)
        for digest in members(stated).values()
    ]
    assert np.corrcoef(answers, np.mean(parts, axis=0))[0, 1] > 0.9
    if method == "blend":
        weights = trained.recipe["weights"]
        expected = sum(w * part for w, part in zip(weights.values(), parts, strict=True))
        assert np.allclose(answers, expected)


class TestReadWeighed:
    def test_given_these_members_then_what_was_recorded_is_read(self, bench):
        bench.weigh()
        found = read_weighed(bench.world.ledger, bench.model, AS_OF, members(bench))
        assert found["chosen"] == "ensemble"

    def test_given_they_were_never_weighed_then_what_to_materialize_is_said(self, bench):
        with pytest.raises(TrainingError) as error:
            read_weighed(bench.world.ledger, bench.model, AS_OF, members(bench))
        assert str(error.value) == (
            "ensemble: the candidates as of 2012-09-01 were not weighed; materialize ensemble first"
        )

    def test_given_one_was_fitted_again_to_other_files_then_the_choice_counts_no_more(self, bench):
        bench.weigh()
        others = {**members(bench), "recent": "f" * 64}
        with pytest.raises(TrainingError, match="were not weighed"):
            read_weighed(bench.world.ledger, bench.model, AS_OF, others)
