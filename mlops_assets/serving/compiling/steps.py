"""Transformers, and what is made of several: pipelines of them and column transformers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from sklearn.compose import ColumnTransformer
from sklearn.frozen import FrozenEstimator
from sklearn.impute import SimpleImputer
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    MinMaxScaler,
    OneHotEncoder,
    OrdinalEncoder,
    SplineTransformer,
    StandardScaler,
    TargetEncoder,
)

from mlops_assets.serving.compiling.columns import (
    Columns,
    Matrix,
    NotCompiledError,
    Rows,
    Seen,
    Step,
    matrix_columns,
)
from mlops_assets.serving.compiling.encoders import compile_encoder
from mlops_assets.serving.compiling.numbers import (
    compile_function,
    compile_imputer,
    compile_range_scaler,
    compile_standard_scaler,
)
from mlops_assets.serving.compiling.splines import compile_spline

_COMPILERS: dict[type, Callable[[Any, Columns, Seen], Step]] = {
    OrdinalEncoder: compile_encoder,
    OneHotEncoder: compile_encoder,
    TargetEncoder: compile_encoder,
    SimpleImputer: compile_imputer,
    StandardScaler: compile_standard_scaler,
    MinMaxScaler: compile_range_scaler,
    SplineTransformer: compile_spline,
    FunctionTransformer: compile_function,
}


def compile_step(transformer: Any, columns: Columns, seen: Seen) -> Step:
    """The compiled form of a fitted transformer. Raises ``NotCompiledError`` where it has none.

    A subclass may do anything, so that only the classes themselves are compiled.
    """
    kind = type(transformer)
    if getattr(transformer, "_sklearn_output_config", {}).get("transform", "default") != "default":
        raise NotCompiledError(f"{kind.__name__} with set_output is not compiled")
    if kind is FrozenEstimator:
        return compile_step(transformer.estimator, columns, seen)
    if kind is Pipeline:
        return compile_chain([step for _, step in transformer.steps], columns, seen)
    if kind is ColumnTransformer:
        return _compile_blocks(transformer, columns, seen)
    if kind not in _COMPILERS:
        raise NotCompiledError(f"{kind.__name__} is not compiled")
    return _COMPILERS[kind](transformer, columns, seen)


def compile_chain(transformers: Sequence[Any], columns: Columns, seen: Seen) -> Step:
    """Transformers one after the other; with none of them, the columns as they are."""
    steps: list[Step] = []
    for transformer in transformers:
        if transformer is None or transformer == "passthrough":
            continue
        steps.append(compile_step(transformer, columns, seen))
        columns = steps[-1].out
    if not steps:
        return compile_function(FunctionTransformer(), columns, seen)
    first, *others = (step.run for step in steps)

    def run(rows: Rows) -> Matrix:
        matrix = first(rows)
        for other in others:
            matrix = other(Rows(matrix))
        return matrix

    return Step(run if others else first, columns)


def _compile_blocks(transformer: Any, columns: Columns, seen: Seen) -> Step:
    """A ``ColumnTransformer``: blocks of columns, each through a transformer of its own."""
    blocks: list[tuple[slice, Step]] = []
    for name, part, chosen in transformer.transformers_:
        places = transformer._transformer_to_input_indices[name]
        if part == "drop" or len(places) == 0:
            continue
        if isinstance(chosen, str | int):
            raise NotCompiledError("ColumnTransformer of a column by itself is not compiled")
        of_part = columns.select(_found(transformer, columns, places))
        step = compile_chain([part], of_part, seen)
        blocks.append((transformer.output_indices_[name], step))
    width = max(span.stop for span, _ in blocks)
    out = matrix_columns(
        [column.feature for _, step in blocks for column in step.out.every],
        finite=all(step.out.finite for _, step in blocks),
        sparse=bool(transformer.sparse_output_),
    )
    if any(span.stop - span.start != len(step.out.every) for span, step in blocks):
        raise NotCompiledError("ColumnTransformer with blocks of another width is not compiled")

    def run(rows: Rows) -> Matrix:
        matrix = np.empty((len(rows.numbers), width))
        for span, step in blocks:
            matrix[:, span] = step.run(rows)
        return matrix

    return Step(run, out)


def _found(transformer: Any, columns: Columns, places: Sequence[int]) -> list[int]:
    """Where the columns are now: by name in a data frame, by place in a matrix."""
    if not columns.named:
        return list(places)
    names = columns.names
    return [names.index(str(transformer.feature_names_in_[place])) for place in places]
