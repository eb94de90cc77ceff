"""Gradient boosting: all trees of one row in a single call of scikit-learn's own traversal."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn._loss.loss import HalfBinomialLoss
from sklearn.ensemble._hist_gradient_boosting.predictor import TreePredictor

from mlops_assets.serving.compiling.columns import (
    Columns,
    Matrix,
    NotCompiledError,
    Rows,
    Seen,
    Step,
    matrix_columns,
    taker,
)
from mlops_assets.serving.compiling.numbers import require_dense
from mlops_assets.serving.compiling.steps import compile_step

if TYPE_CHECKING:
    import numpy.typing as npt

FEW_ROWS = 32
"""Up to here one call for all trees is faster than one call per tree (measured, 150 trees)."""


def compile_boosting(estimator: Any, columns: Columns, seen: Seen) -> Callable[[Rows], Matrix]:
    """The decision function (log-odds of the positive class) of a fitted boosting classifier.

    Leaves are added to the baseline one tree after the other, as scikit-learn does: the same
    double.
    """
    prepare = _compile_categories(estimator, columns, seen)
    columns = prepare.out
    if not isinstance(estimator._loss, HalfBinomialLoss):
        raise NotCompiledError(f"{type(estimator).__name__} of this loss is not compiled")
    trees = [predictor for (predictor,) in estimator._predictors]
    _note_thresholds(trees, columns, seen)
    known, places = estimator._bin_mapper.make_known_categories_bitsets()
    together = Forest(trees, len(columns.every), known, places)
    baseline = float(estimator._baseline_prediction.item())

    def decide(rows: Rows) -> Matrix:
        matrix = prepare.run(rows)
        if len(matrix) <= FEW_ROWS:
            leaves = together.leaves(matrix)
            leaves[:, 0] += baseline
            return np.add.accumulate(leaves, axis=1)[:, -1]
        matrix = np.ascontiguousarray(matrix)
        total = np.full(len(matrix), baseline)
        for tree in trees:
            total += tree.predict(matrix, known, places, 1)
        return total

    return decide


def _compile_categories(estimator: Any, columns: Columns, seen: Seen) -> Step:
    """What the classifier does before its trees: with categories of its own, it encodes them."""
    if estimator._preprocessor is not None:
        return compile_step(estimator._preprocessor, columns, seen)
    require_dense(columns, type(estimator).__name__)
    every = [column.feature for column in columns.every]
    return Step(taker(columns, type(estimator).__name__), matrix_columns(every))


class Forest:
    """Many trees as one: a balanced tree above them goes by one more feature, the tree's number.

    A row is asked once per tree, all in one call.
    """

    def __init__(
        self,
        trees: Sequence[TreePredictor],
        features: int,
        known: npt.NDArray[np.uint32],
        places: npt.NDArray[np.uint32],
    ) -> None:
        self._count, self._features = len(trees), features
        self._known, self._places = known, places
        self._numbers = np.arange(len(trees), dtype=np.float64)
        bitsets = np.concatenate([tree.raw_left_cat_bitsets for tree in trees])
        self._tree = TreePredictor(_join(trees, features), bitsets, bitsets)

    def leaves(self, matrix: Matrix) -> Matrix:
        """The leaf value of every row (first axis) in every tree (second axis)."""
        asked = np.empty((len(matrix), self._count, self._features + 1))
        asked[:, :, :-1] = matrix[:, None, :]
        asked[:, :, -1] = self._numbers
        flat = asked.reshape(-1, self._features + 1)
        leaves: Matrix = self._tree.predict(flat, self._known, self._places, 1)
        return leaves.reshape(len(matrix), self._count)


def _join(trees: Sequence[TreePredictor], feature: int) -> npt.NDArray[Any]:
    """The nodes of the tree above all, then those of each tree, with what they point to moved."""
    above = len(trees) - 1
    roots, bitsets, parts = [], 0, []
    start = above
    for tree in trees:
        nodes = tree.nodes.copy()
        inner = nodes["is_leaf"] == 0
        for side in ("left", "right"):
            nodes[side][inner] += start
        nodes["bitset_idx"][nodes["is_categorical"] == 1] += bitsets
        bitsets += len(tree.raw_left_cat_bitsets)
        roots.append(start)
        start += len(nodes)
        parts.append(nodes)
    routing = np.zeros(above, dtype=trees[0].nodes.dtype)
    _route(routing, feature, roots)
    return np.concatenate([routing, *parts])


def _route(routing: npt.NDArray[Any], feature: int, roots: Sequence[int]) -> None:
    """Fill the balanced tree in preorder; what is left of a node has the lower tree numbers."""
    free = iter(range(len(routing)))

    def build(low: int, high: int) -> int:
        if high - low == 1:
            return roots[low]
        place, middle = next(free), (low + high) // 2
        routing["feature_idx"][place] = feature
        routing["num_threshold"][place] = middle - 1
        routing["left"][place] = build(low, middle)
        routing["right"][place] = build(middle, high)
        return place

    build(0, len(roots))


def _note_thresholds(trees: Sequence[TreePredictor], columns: Columns, seen: Seen) -> None:
    for tree in trees:
        for node in tree.nodes[tree.nodes["is_leaf"] == 0]:
            threshold = float(node["num_threshold"])
            above = float(np.nextafter(threshold, np.inf))
            seen.note(columns.every[int(node["feature_idx"])], [threshold, above])
