"""What flows through a compiled predictor: rows, and what is known of their columns beforehand."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from mlops_assets.lifecycle.training import Feature

Matrix = npt.NDArray[np.float64]


class NotCompiledError(Exception):
    """The estimator, or a part of it, has no compiled form; the message says which."""


class UndecidedError(Exception):
    """The compiled form does not answer these rows: scikit-learn itself has the word.

    Raised where scikit-learn may refuse a row, so that it is scikit-learn that refuses it.
    """


class Rows(NamedTuple):
    """Some rows: ``numbers`` (rows, columns), NaN where missing; ``texts``, one list per column."""

    numbers: Matrix
    texts: Sequence[Sequence[str | None]] = ()


@dataclass(frozen=True)
class Column:
    """One column of rows: its place ``at`` in ``numbers`` or ``texts``.

    ``feature``: the input whose values it holds unchanged, None where something was computed.
    """

    at: int
    text: bool = False
    feature: str | None = None


@dataclass(frozen=True)
class Columns:
    """The columns of rows, in scikit-learn's order.

    ``named``: a data frame, whose columns are selected by name. ``finite``: no value can be
    infinite. ``sparse``: scikit-learn has them as a sparse matrix here.
    """

    every: tuple[Column, ...]
    named: bool = False
    finite: bool = False
    sparse: bool = False

    @property
    def names(self) -> list[str]:
        """The names of a data frame's columns."""
        return [column.feature or "" for column in self.every]

    def select(self, chosen: Sequence[int]) -> Columns:
        """Some of the columns, which stay where they are in the rows."""
        every = tuple(self.every[place] for place in chosen)
        return Columns(every, self.named, self.finite, self.sparse)


@dataclass(frozen=True)
class Step:
    """A compiled transformer: ``run`` makes a matrix of rows, ``out`` says what its columns are."""

    run: Callable[[Rows], Matrix]
    out: Columns


@dataclass
class Seen:
    """Values that the estimator itself knows, by feature: what its answers turn on.

    Categories and thresholds are noted while compiling; the check afterwards asks about them.
    """

    texts: dict[str, list[str]] = field(default_factory=dict)
    numbers: dict[str, list[float]] = field(default_factory=dict)

    def note(self, column: Column, values: Sequence[float | str]) -> None:
        """Remember values of a column, where it is a feature as it came."""
        for value in values if column.feature else ():
            if isinstance(value, str):
                self.texts.setdefault(str(column.feature), []).append(value)
            elif np.isfinite(value):
                self.numbers.setdefault(str(column.feature), []).append(float(value))


def frame_columns(features: Sequence[Feature]) -> Columns:
    """The columns of the data frame that an estimator gets for ``features``."""
    counts = {True: 0, False: 0}
    every = []
    for feature in features:
        text = feature.kind == "categorical"
        every.append(Column(counts[text], text, feature.name))
        counts[text] += 1
    return Columns(tuple(every), named=True, finite=True)


def matrix_columns(
    features: Sequence[str | None], *, finite: bool = False, sparse: bool = False
) -> Columns:
    """The columns of a matrix of numbers, each with the feature it holds unchanged or None."""
    every = tuple(Column(at, feature=feature) for at, feature in enumerate(features))
    return Columns(every, finite=finite, sparse=sparse)


def reader(features: Sequence[Feature]) -> Callable[[Mapping[str, Sequence[Any]], int], Rows]:
    """How the columns of a request become ``Rows``.

    Raises ``UndecidedError`` for what scikit-learn may refuse as a whole: no rows, a feature that
    did not come, an infinite number.
    """
    numeric = [feature.name for feature in features if feature.kind == "numeric"]
    texts = [feature.name for feature in features if feature.kind == "categorical"]

    def read(columns: Mapping[str, Sequence[Any]], height: int) -> Rows:
        try:
            numbers = np.array([columns[name] for name in numeric], dtype=np.float64)
            categories = [columns[name] for name in texts]
        except KeyError as error:
            raise UndecidedError(f"feature {error} did not come") from error
        if height < 1 or np.count_nonzero(np.isinf(numbers)):
            raise UndecidedError("there are no rows, or a number is infinite")
        return Rows(numbers.reshape(len(numeric), height).T, categories)

    return read


def taker(columns: Columns, owner: str) -> Callable[[Rows], Matrix]:
    """How ``columns`` are taken from rows, as a matrix that is not to be written to.

    Raises ``NotCompiledError`` in the name of ``owner`` when there is text among them.
    """
    if any(column.text for column in columns.every):
        raise NotCompiledError(f"{owner} of text is not compiled")
    places = [column.at for column in columns.every]
    first = places[0] if places else 0
    if places == list(range(first, first + len(places))):
        last = first + len(places)
        return lambda rows: rows.numbers[:, first:last]
    chosen = np.array(places)
    return lambda rows: rows.numbers[:, chosen]
