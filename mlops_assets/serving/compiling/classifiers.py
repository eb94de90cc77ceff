"""Classifiers, and what is made of several: pipelines, votes, stacks and calibrations."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import expit
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    StackingClassifier,
    VotingClassifier,
)
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline

from mlops_assets.serving.compiling.calibrators import compile_calibrator
from mlops_assets.serving.compiling.columns import (
    Columns,
    Matrix,
    NotCompiledError,
    Rows,
    Seen,
    matrix_columns,
)
from mlops_assets.serving.compiling.linear import ask_order, compile_logistic
from mlops_assets.serving.compiling.steps import compile_chain
from mlops_assets.serving.compiling.trees import compile_boosting

Answer = Callable[[Rows], Matrix]


@dataclass(frozen=True)
class Classifier:
    """A compiled classifier: ``probability`` of the positive class, one per row.

    ``decision`` is its decision function, where scikit-learn's has one.
    """

    probability: Answer
    decision: Answer | None = None


def compile_classifier(estimator: Any, columns: Columns, seen: Seen) -> Classifier:
    """The compiled form of a fitted binary classifier. Raises ``NotCompiledError`` without one."""
    kind = type(estimator)
    if kind is FrozenEstimator:
        return compile_classifier(estimator.estimator, columns, seen)
    if kind is Pipeline:
        steps = [step for _, step in estimator.steps]
        return _compile_chain(steps[:-1], steps[-1], columns, seen)
    if kind in (HistGradientBoostingClassifier, LogisticRegression):
        return _compile_chain([], estimator, columns, seen)
    compilers = {
        VotingClassifier: _compile_vote,
        StackingClassifier: _compile_stack,
        CalibratedClassifierCV: _compile_calibrated,
    }
    if kind not in compilers:
        raise NotCompiledError(f"{kind.__name__} is not compiled")
    _require_two_classes(estimator)
    return compilers[kind](estimator, columns, seen)


def _compile_chain(
    transformers: Sequence[Any], classifier: Any, columns: Columns, seen: Seen
) -> Classifier:
    """Transformers, then a classifier."""
    if not transformers:
        return _compile_leaf(classifier, columns, lambda: ask_order([], columns, seen), seen)
    step = compile_chain(transformers, columns, seen)
    if type(classifier) in (HistGradientBoostingClassifier, LogisticRegression):
        compiled = _compile_leaf(
            classifier, step.out, lambda: ask_order(transformers, columns, seen), seen
        )
    else:
        compiled = compile_classifier(classifier, step.out, seen)

    def after(answer: Answer) -> Answer:
        return lambda rows: answer(Rows(step.run(rows)))

    decision = compiled.decision
    return Classifier(after(compiled.probability), None if decision is None else after(decision))


def _compile_leaf(
    estimator: Any, columns: Columns, order: Callable[[], Any], seen: Seen
) -> Classifier:
    """A classifier that computes a score of its own."""
    _require_two_classes(estimator)
    if type(estimator) is LogisticRegression:
        return _of_score(compile_logistic(estimator, columns, order()))
    return _of_score(compile_boosting(estimator, columns, seen))


def _of_score(decide: Answer) -> Classifier:
    def probability(rows: Rows) -> Matrix:
        answer: Matrix = expit(decide(rows))
        return answer

    return Classifier(probability, decide)


def _require_two_classes(estimator: Any) -> None:
    if len(estimator.classes_) != 2:
        raise NotCompiledError(
            f"{type(estimator).__name__} of {len(estimator.classes_)} classes is not compiled"
        )


def _compile_vote(vote: Any, columns: Columns, seen: Seen) -> Classifier:
    """The mean probability of the members, weighted or not, added up as ``numpy.average`` does."""
    if vote.voting != "soft":
        raise NotCompiledError("VotingClassifier with hard votes is not compiled")
    members = [compile_classifier(each, columns, seen).probability for each in vote.estimators_]
    weights = vote._weights_not_none
    shares = [1.0] * len(members) if weights is None else [float(weight) for weight in weights]
    total = float(len(members))
    if weights is not None:
        total = np.array(weights, dtype=np.float64).reshape(-1, 1, 1).sum(axis=0).item()

    def probability(rows: Rows) -> Matrix:
        added = members[0](rows) * shares[0]
        for member, share in zip(members[1:], shares[1:], strict=True):
            added += member(rows) * share
        added /= total
        return added

    return Classifier(probability)


def _compile_stack(stack: Any, columns: Columns, seen: Seen) -> Classifier:
    """A classifier over what the members say."""
    if stack.passthrough:
        raise NotCompiledError("StackingClassifier with passthrough is not compiled")
    members = [
        _response(compile_classifier(each, columns, seen), method)
        for each, method in zip(stack.estimators_, stack.stack_method_, strict=True)
    ]
    final = compile_classifier(
        stack.final_estimator_, matrix_columns([None] * len(members)), Seen()
    )

    def after(answer: Answer) -> Answer:
        return lambda rows: answer(Rows(np.column_stack([member(rows) for member in members])))

    decision = final.decision
    return Classifier(after(final.probability), None if decision is None else after(decision))


def _response(classifier: Classifier, method: str) -> Answer:
    if method == "predict_proba":
        return classifier.probability
    if method == "decision_function" and classifier.decision is not None:
        return classifier.decision
    raise NotCompiledError(f"StackingClassifier over {method} is not compiled")


def _compile_calibrated(calibrated: Any, columns: Columns, seen: Seen) -> Classifier:
    """The mean over folds of scores, each calibrated; a frozen classifier has one fold."""
    folds = []
    for fold in calibrated.calibrated_classifiers_:
        member = compile_classifier(fold.estimator, columns, seen)
        (calibrator,) = fold.calibrators
        folds.append((member.decision or member.probability, compile_calibrator(calibrator)))

    def probability(rows: Rows) -> Matrix:
        added = np.zeros(len(rows.numbers))
        for score, correct in folds:
            corrected = correct(score(rows))
            corrected[(corrected > 1.0) & (corrected <= 1.0 + 1e-5)] = 1.0
            added += corrected
        added /= len(folds)
        return added

    return Classifier(probability)
