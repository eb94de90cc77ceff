"""Judging what is fitted on a few later days, on days it was not fitted on."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


def predict_left_out_days(
    truth: npt.NDArray[Any],
    inputs: npt.NDArray[Any],
    days: npt.NDArray[Any],
    fit: Callable[
        [npt.NDArray[Any], npt.NDArray[Any]],
        Callable[[npt.NDArray[Any]], npt.NDArray[np.float64]],
    ],
) -> npt.NDArray[np.float64]:
    """The probability of each row, from a fit on the rows of all other days, shape (rows,).

    ``fit(inputs, truth)`` returns a function from inputs to probabilities. Ask
    ``say_why_not_left_out`` first whether there are days enough.
    """
    import numpy as np

    _, day = np.unique(np.asarray(days), return_inverse=True)
    probability = np.empty(len(truth))
    for left_out in range(day.max() + 1):
        inside = day == left_out
        probability[inside] = fit(inputs[~inside], truth[~inside])(inputs[inside])
    return probability


def say_why_not_left_out(
    truth: npt.NDArray[Any], days: npt.NDArray[Any], *, each_class: int = 2
) -> str | None:
    """Why no day can be left out, or None when each can.

    What remains needs ``each_class`` rows of both classes, else nothing can be fitted on it.
    """
    import numpy as np

    names, day = np.unique(np.asarray(days), return_inverse=True)
    if len(names) < 2:
        return f"{len(names)} day of later rows, at least 2 are needed to leave one out"
    positives = np.bincount(day, weights=truth)
    negatives = np.bincount(day) - positives
    for kind, counts in (("positive", positives), ("negative", negatives)):
        left = counts.sum() - counts
        if left.min() < each_class:
            return (
                f"without {names[left.argmin()]} there are {left.min():.0f} {kind} later rows, "
                f"at least {each_class} are needed"
            )
    return None
