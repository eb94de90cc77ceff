"""Gradient boosting: many trees in one call of scikit-learn's own traversal."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
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

FEW_ROWS = 16
"""Up to here one call for all trees is faster than one call per group (measured, 150 trees)."""

GROUP = 16
"""Trees in a call for many rows: fewer are more calls, more do not fit the processor's cache."""


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
    together, groups = (
        Forest(trees, size, len(columns.every), known, places) for size in (len(trees), GROUP)
    )
    baseline = float(estimator._baseline_prediction.item())

    def decide(rows: Rows) -> Matrix:
        matrix = prepare.run(rows)
        total: Matrix = np.full(len(matrix), baseline)
        for leaves in (together if len(matrix) <= FEW_ROWS else groups).leaves(matrix):
            leaves[0] += total
            total = np.add.accumulate(leaves, axis=0)[-1]  # in order, where a sum goes in pairs
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
    """Trees in groups of ``size``, each group as one: a balanced tree above its trees goes by one
    more feature, the tree's number in the group.

    A row is asked once per tree of the group, all in one call.
    """

    def __init__(
        self,
        trees: Sequence[TreePredictor],
        size: int,
        features: int,
        known: npt.NDArray[np.uint32],
        places: npt.NDArray[np.uint32],
    ) -> None:
        self._size, self._features = size, features
        self._known, self._places = known, places
        groups = [trees[start : start + size] for start in range(0, len(trees), size)]
        self._groups = [(len(group), _plant(group, features)) for group in groups]

    def leaves(self, matrix: Matrix) -> Iterator[Matrix]:
        """Group by group, the leaf values of its trees (first axis) for every row (second)."""
        rows = len(matrix)
        asked = np.empty((self._size, rows, self._features + 1))
        asked[:, :, :-1] = matrix
        asked[:, :, -1] = np.arange(self._size)[:, None]
        flat = asked.reshape(-1, self._features + 1)
        for count, tree in self._groups:
            found: Matrix = tree.predict(flat[: count * rows], self._known, self._places, 1)
            yield found.reshape(count, rows)


def _plant(trees: Sequence[TreePredictor], features: int) -> TreePredictor:
    bitsets = np.concatenate([tree.raw_left_cat_bitsets for tree in trees])
    return TreePredictor(_join(trees, features), bitsets, bitsets)


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
