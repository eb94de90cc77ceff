"""Asking a compiled predictor and scikit-learn the same, and comparing the doubles."""

from __future__ import annotations

import runpy
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import polars as pl
import pytest

from mlops_assets.lifecycle.training import Feature, predict_probability, to_model_frame
from mlops_assets.serving.compiling import build_predictor
from mlops_assets.serving.compiling.columns import (
    Rows,
    Seen,
    Step,
    UndecidedError,
    frame_columns,
    reader,
)
from mlops_assets.serving.compiling.steps import compile_step

HERE = Path(__file__).parent
HEIGHTS = (1, 2, 100, 1000)


def as_columns(rows: pl.DataFrame) -> dict[str, list[Any]]:
    return {name: rows[name].to_list() for name in rows.columns}


def ask_both(
    estimator: Any, features: Sequence[Feature], rows: pl.DataFrame, heights: Sequence[int]
) -> Any:
    """Compiles the estimator and asserts the same doubles, slice by slice, without help."""
    predictor = build_predictor(estimator, features)
    assert (predictor.kind, predictor.reason) == ("compiled", None)
    for height in heights:
        for start in range(0, min(rows.height, 8 * height), height):
            some = rows[start : start + height]
            wanted = predict_probability(estimator, some, features).tolist()
            assert predictor.decide(as_columns(some), some.height) == wanted
    return predictor


def transform_both(transformer: Any, features: Sequence[Feature], rows: pl.DataFrame) -> Step:
    """Compiles a fitted transformer and asserts the same doubles, and where it refuses."""
    step = compile_step(transformer, frame_columns(features), Seen())
    for some in (rows, *(rows[place : place + 1] for place in range(rows.height))):
        read = reader(features)(as_columns(some), some.height)
        frame = to_model_frame(some, features)
        try:
            wanted = transformer.transform(frame)
        except ValueError:
            with pytest.raises(UndecidedError):
                step.run(read)
            continue
        dense = wanted.toarray() if hasattr(wanted, "toarray") else np.asarray(wanted)
        assert hasattr(wanted, "toarray") == step.out.sparse
        assert len(step.out.every) == dense.shape[1]
        np.testing.assert_array_equal(step.run(read), dense.astype(float))
    return step


@pytest.fixture(scope="session")
def flights() -> SimpleNamespace:
    """Made-up rows like those of the flights model."""
    return SimpleNamespace(**runpy.run_path(str(HERE / "flight_like.py")))


@pytest.fixture(scope="session")
def kinds() -> SimpleNamespace:
    """Every kind of model that model files have to hold."""
    path = HERE.parents[1] / "adapters" / "model_kinds.py"
    return SimpleNamespace(**runpy.run_path(str(path)))


@pytest.fixture(scope="session")
def same() -> Callable[..., Any]:
    return ask_both


@pytest.fixture(scope="session")
def same_matrix() -> Callable[..., Step]:
    return transform_both


@pytest.fixture(scope="session")
def columns_of() -> Callable[[pl.DataFrame], dict[str, list[Any]]]:
    return as_columns


@pytest.fixture
def numbers() -> Callable[[Any], Rows]:
    """Rows of numbers alone."""
    return lambda matrix: Rows(np.asarray(matrix, dtype=float))
