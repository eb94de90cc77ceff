"""A model as stages see it: its candidates, its searches, and what its digests cover."""

from __future__ import annotations

import shutil
from dataclasses import replace

import pytest

from mlops_assets.components.definition import SOLE, Candidate, ModelDefinition
from mlops_assets.lifecycle.errors import SpecError
from mlops_assets.lifecycle.tuning import Dimension


@pytest.fixture(scope="session")
def make_alone(flight_delays_text, read, model):
    """The model with one estimator in place of candidates, and a section of tuning or none."""

    def make(tuning: str = "") -> ModelDefinition:
        begin = flight_delays_text.index("  candidates:")
        end = flight_delays_text.index("  evaluation:")
        text = flight_delays_text[:begin] + tuning + flight_delays_text[end:]
        stated = (
            "    estimator: build_boosting\n    parameters: {classifier__min_samples_leaf: 9}\n"
        )
        return replace(model, spec=read(text.replace("    seed: 7\n", f"{stated}    seed: 7\n", 1)))

    return make


def test_candidates_keep_the_order_and_the_words_of_the_yaml(model, written, searched):
    stated = [(name, of["estimator"]) for name, of in written["candidates"].items()]
    assert [(name, of.estimator) for name, of in model.candidates.items()] == stated
    assert len(stated) > 1
    assert model.compares_candidates
    assert [name for name, of in model.candidates.items() if of.tuned] == [searched]


def test_given_no_candidates_then_there_is_one_with_what_training_says(make_alone):
    alone = make_alone()
    parameters = {"classifier__min_samples_leaf": 9}
    assert alone.candidates == {SOLE: Candidate(SOLE, "build_boosting", parameters, {}, None)}
    assert not alone.compares_candidates
    assert alone.tuning_of(alone.candidates[SOLE]) is None


def test_given_no_candidates_then_the_space_of_tuning_is_that_of_the_only_one(make_alone):
    alone = make_alone("  tuning: {space: {a: {low: 1, high: 2}}, trials: 3}\n\n")
    tuning = alone.tuning_of(alone.candidates[SOLE])
    assert tuning.space == {"a": Dimension(low=1, high=2)}
    assert tuning.trials == 3


def test_the_search_of_a_candidate_is_its_space_under_the_models_limits(model, written, searched):
    tuning = model.tuning_of(model.candidates[searched])
    assert list(tuning.space) == list(written["candidates"][searched]["space"])
    limits = model.spec.tuning
    assert (tuning.trials, tuning.timeout, tuning.seed, tuning.workers, tuning.pruning) == (
        limits.trials,
        limits.timeout,
        limits.seed,
        limits.workers,
        limits.pruning,
    )


def test_a_candidate_without_a_space_is_not_searched(model, searched):
    others = [of for name, of in model.candidates.items() if name != searched]
    assert others
    assert [of.name for of in others if model.tuning_of(of) is not None] == []


def test_given_space_from_then_the_function_of_model_py_says_the_space(
    make_model, space_text, searched, monkeypatch
):
    made = make_model({space_text: "      space_from: build_boosting\n"})
    space = {"depth": Dimension(low=1, high=9, int=True)}
    asked: list[str] = []

    def function(_, name: str):
        asked.append(name)
        return lambda: space

    monkeypatch.setattr(ModelDefinition, "function", function)
    candidate = made.candidates[searched]
    assert candidate.tuned
    assert asked == []  # model.py is not run to see whether there is a search
    assert made.tuning_of(candidate).space == space
    assert asked == ["build_boosting"]


def test_a_function_is_looked_up_in_model_py_and_named_when_it_is_not_there(model):
    assert model.function("build_boosting").__name__ == "build_boosting"
    with pytest.raises(SpecError) as refused:
        model.function("build_wood")
    assert str(refused.value) == f"{model.folder / 'model.py'}: has no function 'build_wood'"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("minimum: {auc: ", "minimum: {log_loss: 0.1, auc: "),
        ("champion: {metric: brier, ", "champion: {metric: auc, "),
        ("    slices: {metric: brier, margin: ", "    slices: {metric: auc, margin: "),
        ("leakage: {single_feature_auc: 0.9", "leakage: {single_feature_auc: 0.99"),
        ("megabytes: 50", "megabytes: 51"),
        ("behaviour: [late_airports_raise_the_risk, ", "behaviour: ["),
    ],
)
def test_other_gates_have_another_policy_digest(model, make_model, old, new):
    assert make_model({old: new}).policy_digest != model.policy_digest


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("    start: automatic\n", "    start: automatic\n    approval: true\n"),
        ("trials: 4", "trials: 5"),
        ("    start: automatic\n", "    start: manual\n"),
    ],
)
def test_what_is_no_gate_leaves_verdicts_as_they_are(model, make_model, old, new):
    assert make_model({old: new}).policy_digest == model.policy_digest


def test_the_code_digest_follows_model_py_to_the_letter(model, tmp_path):
    copy = tmp_path / "model.py"
    shutil.copy(model.folder / "model.py", copy)
    assert replace(model, folder=tmp_path).code_digest == model.code_digest
    copy.write_text(copy.read_text() + "\n")
    assert replace(model, folder=tmp_path).code_digest != model.code_digest
