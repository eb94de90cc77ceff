"""Rows as scikit-learn got them in training, without the library that training makes tables with.

``lifecycle.training.to_model_frame`` is the one way in; this is the same for columns that are lists
already. A server that never loads Polars is a tenth smaller, and starts sooner.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mlops_assets.lifecycle.errors import FeatureError
from mlops_assets.lifecycle.training import MISSING_CATEGORY, Feature

if TYPE_CHECKING:
    import pandas as pd


def build_model_frame(
    columns: Mapping[str, Sequence[Any]], features: Sequence[Feature]
) -> pd.DataFrame:
    """The features in order, from a list each (None where a value is missing).

    Raises ``FeatureError`` naming the columns that are missing or hold another kind of value.
    """
    import pyarrow as pa

    missing = [feature.name for feature in features if feature.name not in columns]
    if missing:
        raise FeatureError(f"features: the rows have no column {', '.join(missing)}")
    arrays = []
    for feature in features:
        values: Sequence[Any] = columns[feature.name]
        if feature.kind == "categorical":
            values = [MISSING_CATEGORY if value is None else value for value in values]
        kind = pa.float64() if feature.kind == "numeric" else pa.large_string()
        try:
            arrays.append(pa.array(values, kind))
        except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
            reason = str(error).splitlines()[0]
            raise FeatureError(f"features: {feature.name} holds a wrong value: {reason}") from error
    return pa.table(arrays, names=[feature.name for feature in features]).to_pandas()
