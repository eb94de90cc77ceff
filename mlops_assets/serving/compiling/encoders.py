"""Encoders, compiled by asking: what the fitted encoder answers is tabulated, value by value.

No rule of an encoder is written again here: rare, unknown and missing values go where scikit-learn
puts them.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import pairwise
from math import isnan
from typing import Any

import numpy as np
from scipy import sparse

from mlops_assets.lifecycle.training import MISSING_CATEGORY, Feature
from mlops_assets.serving.compiling.columns import (
    Column,
    Columns,
    Matrix,
    NotCompiledError,
    Rows,
    Seen,
    Step,
    UndecidedError,
    matrix_columns,
)
from mlops_assets.serving.compiling.frames import build_model_frame

UNSEEN_TEXT = "a category that nobody has seen \u2400"


_UNSEEN = object()


class Table(dict[Any, Any]):
    """The encoded values of one column by value; None is the missing one.

    ``unseen`` is what all other values become. Where scikit-learn refuses a value, here too it is
    scikit-learn that has to: asking raises ``UndecidedError``.
    """

    unseen: Any = None

    def __missing__(self, value: object) -> Any:
        """What a value becomes that is not in the table."""
        if isinstance(value, str):
            try:
                value.encode()
            except UnicodeEncodeError as error:
                raise UndecidedError("a text is no Unicode") from error
        if self.unseen is None or value is None or value == MISSING_CATEGORY:
            raise UndecidedError("scikit-learn refuses a missing or unknown value")
        return self.unseen


def compile_encoder(encoder: Any, columns: Columns, seen: Seen) -> Step:
    """A lookup per value for an encoder that looks at each column alone."""
    known = [
        _known(column, values)
        for column, values in zip(columns.every, encoder.categories_, strict=True)
    ]
    for column, values in zip(columns.every, known, strict=True):
        seen.note(column, values)
    ask = _asker(encoder, columns, known)
    answers = [
        _answers(ask, place, values, columns.every[place].text)
        for place, values in enumerate(known)
    ]
    spans = _spans(answers)
    scalars = all(span.stop - span.start == 1 for span in spans)
    tables = [_tabulate(*pair, scalars) for pair in zip(answers, spans, strict=True)]
    out = matrix_columns(
        [None] * spans[-1].stop,
        finite=True,
        sparse=bool(getattr(encoder, "sparse_output", False)),
    )
    return Step(_lookup(columns, tables, spans[-1].stop, scalars), out)


def _known(column: Column, categories: Any) -> list[Any]:
    """The categories of a column as rows hold them; the missing one is asked for by itself."""
    kind = str if column.text else (int, float, np.number)
    values = [value for value in categories if isinstance(value, kind) and not _is_nan(value)]
    if not values:
        raise NotCompiledError("an encoder without a known category is not compiled")
    return values if column.text else [float(value) for value in values]


def _is_nan(value: Any) -> bool:
    return not isinstance(value, str) and isnan(value)


def _asker(
    encoder: Any, columns: Columns, known: Sequence[Sequence[Any]]
) -> Callable[[int, Sequence[Any]], Matrix]:
    """Asks the encoder about values of one column, the others held at a known category."""
    names = columns.names if columns.named else [f"x{place}" for place in range(len(known))]
    kinds = [Feature(n, "categorical" if c.text else "numeric") for n, c in _pairs(names, columns)]

    def ask(place: int, values: Sequence[Any]) -> Matrix:
        held = {name: [every[0]] * len(values) for name, every in zip(names, known, strict=True)}
        held[names[place]] = list(values)
        frame = build_model_frame(held, kinds)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            answer = encoder.transform(frame if columns.named else frame.to_numpy())
        return np.asarray(answer.toarray() if sparse.issparse(answer) else answer, dtype=np.float64)

    return ask


def _pairs(names: Sequence[str], columns: Columns) -> list[tuple[str, Column]]:
    return list(zip(names, columns.every, strict=True))


def _answers(
    ask: Callable[[int, Sequence[Any]], Matrix], place: int, known: Sequence[Any], text: bool
) -> dict[Any, Matrix]:
    """What one column makes of the whole row: by known value, missing (None) and unseen."""
    answers: dict[Any, Matrix] = dict(zip(known, ask(place, known), strict=True))
    missing = MISSING_CATEGORY if text else None
    unseen = UNSEEN_TEXT if text else max(known) + 1
    for key, value in ((None, missing), (missing, missing), (_UNSEEN, unseen)):
        with suppress(ValueError):  # scikit-learn refuses this value, whenever it comes
            answers[key] = ask(place, [value])[0]
    return answers


def _spans(answers: Sequence[dict[Any, Matrix]]) -> list[slice]:
    """Which outputs belong to which column: those that change with it, constant ones between.

    Raises ``NotCompiledError`` where an output changes with two columns, or they are out of order.
    """
    stacked = [np.array(list(of.values())) for of in answers]
    changes = np.array([(rows != rows[0]).any(axis=0) for rows in stacked])
    if (changes.sum(axis=0) > 1).any():
        raise NotCompiledError("an encoder that looks at two columns at once is not compiled")
    owners = [int(of.argmax()) if of.any() else None for of in changes.T]
    starts, last = [0], 0
    for place, owner in enumerate(owners):
        if owner is None:
            continue
        if owner < last:
            raise NotCompiledError("an encoder that changes the order of columns is not compiled")
        starts += [place] * (owner - last)
        last = owner
    starts += [len(owners)] * (len(answers) - last)
    return [slice(*pair) for pair in pairwise(starts)]


def _tabulate(answers: dict[Any, Matrix], span: slice, scalars: bool) -> Table:
    """The outputs of one column alone; plain numbers where every column has one output."""
    table = Table()
    for key, row in answers.items():
        entry = float(row[span][0]) if scalars else row[span]
        if key is _UNSEEN:
            table.unseen = entry
        else:
            table[key] = entry
    return table


def _lookup(
    columns: Columns, tables: Sequence[Table], width: int, scalars: bool
) -> Callable[[Rows], Matrix]:
    """Puts together what the tables say of each row."""
    places: list[tuple[Table, bool, int]] = [
        (table, column.text, column.at) for table, column in zip(tables, columns.every, strict=True)
    ]

    def values(rows: Rows, text: bool, at: int) -> Sequence[Any]:
        if text:
            return rows.texts[at]
        return [None if isnan(value) else value for value in rows.numbers[:, at].tolist()]

    def run(rows: Rows) -> Matrix:
        looked = [[table[value] for value in values(rows, text, at)] for table, text, at in places]
        if scalars:
            return np.array(looked, dtype=np.float64).T
        flat = [entry for row in zip(*looked, strict=True) for entry in row]
        return np.concatenate(flat).reshape(-1, width)

    return run
