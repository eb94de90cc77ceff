"""Imputers, scalers and pass-throughs: scikit-learn's arithmetic without its checks of every call.

The operations and their order are scikit-learn's, so that the results are the same doubles.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from sklearn.utils import check_array

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


def require_no_infinity(matrix: Matrix) -> None:
    """Raises ``UndecidedError`` where scikit-learn refuses the matrix for an infinite value."""
    if np.count_nonzero(np.isinf(matrix)):
        raise UndecidedError("a number is infinite")


def require_finite(matrix: Matrix) -> None:
    """Raises ``UndecidedError`` where scikit-learn refuses a missing or infinite value."""
    if np.count_nonzero(np.isfinite(matrix)) != matrix.size:
        raise UndecidedError("a number is missing or infinite")


def compile_imputer(imputer: Any, columns: Columns, seen: Seen) -> Step:
    """A ``SimpleImputer`` of numbers: missing ones become the statistic of their column."""
    if not (isinstance(imputer.missing_values, float) and np.isnan(imputer.missing_values)):
        raise NotCompiledError("SimpleImputer of other missing values than NaN is not compiled")
    take, finite = taker(columns, "SimpleImputer"), columns.finite
    statistics = np.asarray(imputer.statistics_, dtype=np.float64)
    kept = np.arange(len(statistics))
    if not imputer.keep_empty_features:
        kept = np.flatnonzero(~np.isnan(statistics))
    fill, all_kept = statistics[kept], len(kept) == len(statistics)
    marked = imputer.indicator_.features_ if imputer.add_indicator else None
    for column, statistic in zip(columns.every, statistics.tolist(), strict=True):
        seen.note(column, [statistic])

    def run(rows: Rows) -> Matrix:
        matrix = take(rows)
        if not finite:
            require_no_infinity(matrix)
        missing = np.isnan(matrix)
        if all_kept:
            filled = np.where(missing, fill, matrix)
        else:
            filled = np.where(missing[:, kept], fill, matrix[:, kept])
        return filled if marked is None else np.hstack([filled, missing[:, marked]])

    features = [columns.every[place].feature for place in kept]
    marks = [None] * (0 if marked is None else len(marked))
    return Step(run, matrix_columns([*features, *marks], finite=True))


def compile_standard_scaler(scaler: Any, columns: Columns, seen: Seen) -> Step:
    """A ``StandardScaler``: less the mean, divided by the deviation."""
    require_dense(columns, "StandardScaler")
    take, finite = taker(columns, "StandardScaler"), columns.finite
    mean = scaler.mean_ if scaler.with_mean else None
    scale = scaler.scale_ if scaler.with_std else None
    for column, of_column in zip(
        columns.every, [] if mean is None else mean.tolist(), strict=False
    ):
        seen.note(column, [of_column])

    def run(rows: Rows) -> Matrix:
        matrix = take(rows)
        if not finite:
            require_no_infinity(matrix)
        if mean is not None:
            matrix = matrix - mean
        return matrix if scale is None else matrix / scale

    return Step(run, matrix_columns([None] * len(columns.every)))


def compile_range_scaler(scaler: Any, columns: Columns, seen: Seen) -> Step:
    """A ``MinMaxScaler``, clipping or not."""
    require_dense(columns, "MinMaxScaler")
    take, finite = taker(columns, "MinMaxScaler"), columns.finite
    scale, shift = scaler.scale_, scaler.min_
    for column, low in zip(columns.every, scaler.data_min_.tolist(), strict=True):
        seen.note(column, [low])

    def run(rows: Rows) -> Matrix:
        matrix = take(rows)
        if not finite:
            require_no_infinity(matrix)
        ranged: Matrix = matrix * scale + shift
        return np.clip(ranged, *scaler.feature_range) if scaler.clip else ranged

    return Step(run, matrix_columns([None] * len(columns.every)))


def compile_function(function: Any, columns: Columns, _seen: Seen) -> Step:
    """A ``FunctionTransformer`` without a function; ``validate`` refuses what is missing."""
    if function.func is not None and not _only_checks(function.func):
        raise NotCompiledError("FunctionTransformer with a function is not compiled")
    take, strict = taker(columns, "FunctionTransformer"), bool(function.validate)

    def run(rows: Rows) -> Matrix:
        matrix = take(rows)
        if strict:
            require_finite(matrix)
        return matrix

    features = [column.feature for column in columns.every]
    finite = columns.finite or strict
    return Step(run, matrix_columns(features, finite=finite, sparse=columns.sparse))


def _only_checks(function: Any) -> bool:
    """Whether it is what gradient boosting puts there: any matrix of doubles goes through."""
    return (
        isinstance(function, partial)
        and function.func is check_array
        and function.keywords == {"dtype": [np.float64], "ensure_all_finite": False}
    )


def require_dense(columns: Columns, owner: str) -> None:
    """Raises ``NotCompiledError`` where scikit-learn hands ``owner`` a sparse matrix."""
    if columns.sparse:
        raise NotCompiledError(f"{owner} of a sparse matrix is not compiled")
