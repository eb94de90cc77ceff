"""B-splines of all columns at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from mlops_assets.serving.compiling.columns import (
    Columns,
    Matrix,
    NotCompiledError,
    Rows,
    Seen,
    Step,
    UndecidedError,
    matrix_columns,
    taker,
)
from mlops_assets.serving.compiling.numbers import require_dense, require_finite


def compile_spline(spline: Any, columns: Columns, seen: Seen) -> Step:
    """A ``SplineTransformer`` that is constant, refuses or goes on beyond its knots."""
    if spline.extrapolation not in ("constant", "error", "continue"):
        raise NotCompiledError(
            f"SplineTransformer with extrapolation {spline.extrapolation!r} is not compiled"
        )
    if spline.degree < 1:
        raise NotCompiledError("SplineTransformer of degree 0 is not compiled")
    if spline.sparse_output or spline.handle_missing != "error":
        raise NotCompiledError(
            "SplineTransformer with sparse output or missing values is not compiled"
        )
    require_dense(columns, "SplineTransformer")
    take, degree = taker(columns, "SplineTransformer"), int(spline.degree)
    knots = np.array([basis.t for basis in spline.bsplines_], dtype=np.float64)
    for column, of_column in zip(columns.every, knots[:, degree : -degree or None], strict=True):
        seen.note(column, of_column.tolist())
    low, high = knots[:, degree], knots[:, -degree - 1]
    evaluate = _basis(knots, degree)
    if spline.extrapolation == "constant":
        evaluate = _constant_beyond(evaluate, low, high, degree)
    kept = slice(None) if spline.include_bias else slice(-1)

    def run(rows: Rows) -> Matrix:
        matrix = take(rows)
        require_finite(matrix)
        if spline.extrapolation == "error" and ((matrix < low) | (matrix > high)).any():
            raise UndecidedError("a number lies beyond the knots of a spline")
        return evaluate(matrix)[:, :, kept].reshape(len(matrix), -1)

    return Step(run, matrix_columns([None] * int(spline.n_features_out_)))


def _constant_beyond(
    evaluate: Callable[[Matrix], Matrix], low: Matrix, high: Matrix, degree: int
) -> Callable[[Matrix], Matrix]:
    """Beyond the outer knots the values at those.

    scikit-learn takes but the ``degree`` outer functions there, the others are 0. They are so by
    themselves, unless the outer knot comes several times.
    """
    at_low, at_high = evaluate(np.array([low, high]))
    repeated = at_low[:, degree:].any() or at_high[:, :-degree].any()

    def constant(matrix: Matrix) -> Matrix:
        values = evaluate(np.minimum(np.maximum(matrix, low), high))
        if repeated:
            values[:, :, degree:][matrix < low] = 0.0
            values[:, :, :-degree][matrix > high] = 0.0
        return values

    return constant


def _basis(knots: Matrix, degree: int) -> Callable[[Matrix], Matrix]:
    """The basis functions at each value: (rows, columns) to (rows, columns, functions).

    De Boor's recursion (A Practical Guide to Splines, 1978, chapter X) in the order of operations
    of scipy's, so that the results are the same doubles. What depends on the interval alone is
    laid out beforehand.
    """
    count, length = knots.shape
    functions, intervals = length - degree - 1, length - 2 * degree - 1
    inner = knots[:, degree + 1 : functions]
    table = _by_interval(knots, degree).reshape(count * intervals, -1)
    of_column = np.arange(count)
    reach = np.arange(degree + 1)

    def evaluate(matrix: Matrix) -> Matrix:
        interval = (matrix[:, :, None] >= inner).sum(axis=2)
        laid = table[interval + of_column * intervals]
        above = laid[:, :, : 2 * degree] - matrix[:, :, None]
        values, start = np.ones((len(matrix), count, 1)), 2 * degree
        for level in range(1, degree + 1):
            weights = values / laid[:, :, start : start + level]
            values = np.zeros((len(matrix), count, level + 1))
            values[:, :, :-1] = weights * above[:, :, degree : degree + level]
            values[:, :, 1:] -= weights * above[:, :, degree - level : degree]
            start += level
        out = np.zeros((len(matrix) * count, functions))
        places = np.arange(0, out.size, functions) + interval.reshape(-1)
        out.reshape(-1)[places[:, None] + reach] = values.reshape(-1, degree + 1)
        return out.reshape(len(matrix), count, functions)

    return evaluate


def _by_interval(knots: Matrix, degree: int) -> Matrix:
    """What the recursion needs of each interval: the knots around it, then how far they lie apart.

    It drops a quotient of two equal knots: divided by an infinite width that is 0 as well.
    """
    starts = np.arange(degree, knots.shape[1] - degree - 1)
    around = knots[:, starts[:, None] + np.arange(1 - degree, degree + 1)]
    widths = [
        around[:, :, degree : degree + level] - around[:, :, degree - level : degree]
        for level in range(1, degree + 1)
    ]
    return np.concatenate([around, *(np.where(w == 0, np.inf, w) for w in widths)], axis=2)
