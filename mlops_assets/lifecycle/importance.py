"""How much a model rests on each of its features."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from mlops_assets.lifecycle.training import Feature, predict_probability

if TYPE_CHECKING:
    import polars as pl

_ROWS_AT_ONCE = 50_000


def measure_importance(
    model: Any,
    rows: pl.DataFrame,
    features: Sequence[Feature],
    label: str,
    *,
    seed: int,
    sample: int = 2000,
) -> dict[str, float]:
    """How much AUC is lost when one feature's values are shuffled, on a sample of rows.

    Largest loss first; nothing where the sample holds one class only. Features that tell the same
    stand in for each other, so each of them looks less important than it is.
    """
    import numpy as np
    from sklearn.metrics import roc_auc_score

    few = rows.sample(min(sample, rows.height), seed=seed)
    truth = few[label].cast(int).to_numpy()
    if len(np.unique(truth)) < 2:
        return {}
    shuffled = [few.with_columns(few[f.name].shuffle(seed=seed)) for f in features]
    # A forest spends most of a prediction on its way in and out of trees: many copies of the
    # sample at once cost little more than one.
    asked = _predict_at_once(model, [few, *shuffled], features, max(1, _ROWS_AT_ONCE // few.height))
    base, *without = [float(roc_auc_score(truth, probability)) for probability in asked]
    losses = {f.name: base - auc for f, auc in zip(features, without, strict=True)}
    return dict(sorted(losses.items(), key=lambda item: -item[1]))


def _predict_at_once(
    model: Any, copies: Sequence[pl.DataFrame], features: Sequence[Feature], at_once: int
) -> list[Any]:
    import numpy as np
    import polars as pl

    batches = [copies[start : start + at_once] for start in range(0, len(copies), at_once)]
    return [
        probability
        for batch in batches
        for probability in np.split(
            predict_probability(model, pl.concat(batch), features), len(batch)
        )
    ]
