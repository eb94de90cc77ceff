"""A shadow beside the version that answers: the same requests, compared row by row."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from mlops_assets.lifecycle.rollout.decision import ShadowComparison

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import polars as pl

SHADOW = "shadow"
"""The arm under which copies are logged."""

_REQUEST = ("request_id", "received_at")
"""A copy is logged as received when its request was; ids are the callers', who may repeat them."""


def pair_answers(answers: pl.DataFrame) -> pl.DataFrame:
    """The rows that were answered and copied, in order of arrival, each unit's first request only.

    ``probability`` is what the caller got, ``shadow`` what the copy gave (null where it failed);
    the other columns are those of the answer. A copy that was dropped, or is still under way,
    makes no pair.
    """
    import polars as pl

    copied = pl.col("arm") == SHADOW
    answered = answers.filter(
        ~copied.fill_null(value=False), pl.col("routed"), pl.col("probability").is_not_null()
    )
    key = [*_REQUEST, "row"]
    copies = answers.filter(copied).select(*key, pl.col("probability").alias(SHADOW))
    pairs = answered.unique(key, keep="first", maintain_order=True).join(
        copies.unique(key, keep="first", maintain_order=True), on=key, how="inner"
    )
    pairs = pairs.sort("received_at", "request_id", "row")
    first = pairs.unique("unit", keep="first", maintain_order=True).select("unit", *_REQUEST)
    return pairs.join(first, on=["unit", *_REQUEST], how="semi", maintain_order="left")


def compare_shadow(
    pairs: pl.DataFrame, threshold: float, slices: Mapping[str, npt.NDArray[Any]]
) -> ShadowComparison:
    """What ``pair_answers`` gave, as counts and shares, and per slice.

    ``threshold``: the probability from which callers act. ``slices``: per slice the value of each
    pair. With a column ``label`` there are the differences of the squared errors, per unit that is
    labelled.
    """
    import polars as pl

    cut = pairs.with_columns(
        pl.Series(f"slice {name}", list(values), pl.String) for name, values in slices.items()
    )
    both = cut.drop_nulls(SHADOW)
    failed = pairs.filter(pl.col(SHADOW).is_null()).select(_REQUEST).n_unique()
    whole = _measure(both, threshold)
    return ShadowComparison(
        units=pairs.select(_REQUEST).n_unique(),
        failed=failed,
        agreement=whole["agreement"],
        shift=whole["shift"],
        slices=[
            {"slice": "all", "value": "", **whole},
            *(
                {"slice": name, "value": str(value), **_measure(part, threshold)}
                for name in slices
                for (value,), part in both.sort(f"slice {name}", maintain_order=True)
                .partition_by(f"slice {name}", as_dict=True)
                .items()
            ),
        ],
        differences=_differences(both) if "label" in pairs.columns else None,
    )


def _measure(both: pl.DataFrame, threshold: float) -> dict[str, Any]:
    """Agreement at the threshold, shift, and how many would have been decided otherwise."""
    before, after = (both[name].to_numpy() for name in ("probability", SHADOW))
    raised = int(((before < threshold) & (after >= threshold)).sum())
    lowered = int(((before >= threshold) & (after < threshold)).sum())
    rows = both.height
    return {
        "rows": rows,
        "agreement": 1 - (raised + lowered) / rows if rows else 1.0,
        "shift": float((after - before).mean()) if rows else 0.0,
        "raised": raised,
        "lowered": lowered,
    }


def _differences(both: pl.DataFrame) -> npt.NDArray[np.float64]:
    """The shadow's squared error less the answer's: of each unit's first labelled row."""
    import polars as pl

    def loss(name: str) -> pl.Expr:
        return (pl.col(name) - pl.col("label")) ** 2

    first = both.unique("unit", keep="first", maintain_order=True).drop_nulls("label")
    ordered = first.sort("arrived_at", maintain_order=True)
    difference: npt.NDArray[np.float64] = (
        ordered.select((loss(SHADOW) - loss("probability")).cast(pl.Float64)).to_series().to_numpy()
    )
    return difference
