"""Logistic regression: one product, added up in the order that scikit-learn's has."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np
from scipy.sparse import issparse

from mlops_assets.lifecycle.training import Feature
from mlops_assets.serving.compiling.columns import (
    Columns,
    Matrix,
    Rows,
    Seen,
    UndecidedError,
    taker,
)
from mlops_assets.serving.compiling.frames import build_model_frame

Order = Literal["C", "F"]


def compile_logistic(estimator: Any, columns: Columns, order: Order) -> Callable[[Rows], Matrix]:
    """The decision function of a fitted binary logistic regression.

    ``order``: how scikit-learn's matrix lies in memory (C: by rows), as the product of another
    layout may differ in the last bit. Of a sparse matrix scikit-learn adds up from left to right.
    """
    take, sparse = taker(columns, type(estimator).__name__), columns.sparse
    across, intercept = estimator.coef_.T, estimator.intercept_
    coefficients = estimator.coef_[0]

    def decide(rows: Rows) -> Matrix:
        matrix = take(rows)
        if sparse:
            scores: Matrix = np.add.accumulate(matrix * coefficients, axis=1)[:, -1] + intercept
        else:
            scores = (np.asarray(matrix, order=order) @ across + intercept).reshape(-1)
        # A missing or infinite value in the matrix leaves no finite score, and is refused.
        if np.count_nonzero(np.isfinite(scores)) != len(scores):
            raise UndecidedError("a score is not finite")
        return scores

    return decide


def ask_order(transformers: Sequence[Any], columns: Columns, seen: Seen) -> Order:
    """How the matrix after ``transformers`` lies in memory, from three rows put through them."""
    table: Any = np.zeros((3, len(columns.every)))
    if columns.named:
        features = [
            Feature(column.feature or "", "categorical" if column.text else "numeric")
            for column in columns.every
        ]
        held: dict[str, list[Any]] = {
            feature.name: (
                seen.texts.get(feature.name, [""])
                if feature.kind == "categorical"
                else seen.numbers.get(feature.name, [0.0])
            )[:1]
            * 3
            for feature in features
        }
        table = build_model_frame(held, features)
    for transformer in transformers:
        if transformer is not None and transformer != "passthrough":
            table = transformer.transform(table)
    if issparse(table):
        return "C"
    return "C" if np.asarray(table).flags["C_CONTIGUOUS"] else "F"
