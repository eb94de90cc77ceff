"""Leakage: signs that a model was tested on what it should not have known.

``features.find_leaks`` proves that features are built from the past. Here it is looked at from the
other end: the rows as they are fitted on and tested on, and each feature alone against the label.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlops_assets.lifecycle.errors import FeatureError
from mlops_assets.lifecycle.point_in_time import KNOWN_AT, PREDICTED_AT
from mlops_assets.lifecycle.training import MISSING_CATEGORY, Feature, cast_features
from mlops_assets.lifecycle.verdicts import Verdict

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import polars as pl

    Truth = npt.NDArray[np.bool_]

_BANDS = 20
"""Bands of equally many rows into which a number is cut to see a label that rises and falls."""

_FEWEST = 10
"""Rows of the rarer class below which an AUC of some feature is near 1 by chance alone."""


@dataclass(frozen=True)
class LeakagePolicy:
    """``single_feature_auc``: one feature alone that ranks the test rows this well or better is
    no feature but the outcome, told another way.
    """

    single_feature_auc: float = 0.95

    def __post_init__(self) -> None:
        if not 0.5 < self.single_feature_auc <= 1:
            raise ValueError(
                f"single_feature_auc must lie above 0.5 and at most at 1, "
                f"got {self.single_feature_auc}"
            )


def judge_leakage(
    fit: pl.DataFrame,
    test: pl.DataFrame,
    features: Sequence[Feature],
    label: str,
    key: str,
    policy: LeakagePolicy,
    *,
    known_at: str = KNOWN_AT,
    predicted_at: str = PREDICTED_AT,
) -> Verdict:
    """Whether nothing of the tested rows could be known to the model.

    Failed when an entity is both fitted and tested on, when a label fitted on became known after
    the first tested row was predicted, when a row was predicted no earlier than its own label was
    known, or when one feature alone explains the label. Inconclusive where that cannot be said:
    no rows, or too few of one class. Raises ``FeatureError`` for a feature that is no column.
    """
    name = "nothing_leaks"
    if not fit.height or not test.height:
        said = f"{fit.height} rows to fit and {test.height} to test, both are needed to judge"
        return Verdict(name, "inconclusive", said)
    times = _count_time_travel(fit, test, known_at, predicted_at)
    counts = {"overlap": test.join(fit, on=key, how="semi").height, **times}
    truth = test[label].cast(bool).to_numpy()
    rarer = int(min(truth.sum(), (~truth).sum()))
    judgeable = rarer >= _FEWEST
    strength = measure_single_features(fit, test, features, label) if judgeable else {}
    evidence = {**counts, **_strongest(strength), "limit": policy.single_feature_auc}
    faults = [*_say_counts(counts), *_say_features(strength, policy.single_feature_auc)]
    if faults:
        return Verdict(name, "failed", "; ".join(faults), evidence)
    if not judgeable:
        said = f"{rarer} test rows of the rarer class, at least {_FEWEST} are needed to judge"
        return Verdict(name, "inconclusive", f"{said} features one by one", evidence)
    return Verdict(name, "passed", _say_clean(fit, test, strength), evidence)


def measure_single_features(
    fit: pl.DataFrame, test: pl.DataFrame, features: Sequence[Feature], label: str
) -> dict[str, float]:
    """How well each feature alone ranks the test rows: AUC in its better direction, 0.5 to 1.

    The best of what a model could make of it: a number by its rank, with missing values below or
    above all others; a category, or a band of numbers, by the share of the label it had in
    ``fit``; and for both whether the value is missing. Strongest first. Raises ``FeatureError``
    for a feature that is no column.
    """
    for part, frame in {"fit": fit, "test": test}.items():
        missing = [feature.name for feature in features if feature.name not in frame.columns]
        if missing:
            raise FeatureError(
                f"leakage: the rows to {part} have no column {', '.join(missing)}; "
                f"they have {', '.join(frame.columns)}"
            )
    truth = test[label].cast(bool).to_numpy()
    positive = fit[label].cast(bool)
    fitted, tested = cast_features(fit, features), cast_features(test, features)
    strength = {
        feature.name: max(_ways(fitted[feature.name], tested[feature.name], positive, truth))
        for feature in features
    }
    return dict(sorted(strength.items(), key=lambda item: -item[1]))


def _ways(fit: pl.Series, test: pl.Series, positive: pl.Series, truth: Truth) -> Iterator[float]:
    """The AUC of each way to rank rows by one feature."""
    if fit.dtype.is_numeric():
        fit, test = fit.fill_nan(None), test.fill_nan(None)
        yield from _rank_ways(test, truth)
        fit, test = _cut_into_bands(fit, test)
    else:
        fit, test = fit.fill_null(MISSING_CATEGORY), test.fill_null(MISSING_CATEGORY)
        yield _better(_auc((test == MISSING_CATEGORY).cast(float).to_numpy(), truth))
    yield _better(_auc(_share_learned(fit, test, positive), truth))


def _rank_ways(test: pl.Series, truth: Truth) -> Iterator[float]:
    """By value with the missing at either end, and by whether it is missing.

    One ranking of the values that are there serves all three, as a missing row beats or loses to
    every other at once.
    """
    import numpy as np
    from scipy.stats import rankdata

    missing = test.is_null().to_numpy()
    there = truth[~missing]
    ranks = rankdata(test.drop_nulls().to_numpy())
    positives, negatives = int(there.sum()), int((~there).sum())
    lost, absent = int((truth & missing).sum()), int((~truth & missing).sum())
    won = float(ranks[there].sum()) - positives * (positives + 1) / 2
    ties = lost * absent / 2
    pairs = (positives + lost) * (negatives + absent)
    ways = (
        won + positives * absent + ties,
        won + lost * negatives + ties,
        lost * negatives + ties + positives * negatives / 2,
    )
    yield from (_better(way / pairs) for way in np.asarray(ways, dtype=float))


def _cut_into_bands(fit: pl.Series, test: pl.Series) -> tuple[pl.Series, pl.Series]:
    """The number of the band each value lies in; missing stays missing."""
    import numpy as np
    import polars as pl

    values = fit.drop_nulls().to_numpy()
    shares = np.arange(1, _BANDS) / _BANDS
    edges = np.unique(np.quantile(values, shares, method="lower")) if len(values) else values

    def band(series: pl.Series) -> pl.Series:
        found = pl.Series(np.searchsorted(edges, series.fill_null(0).to_numpy()))
        return pl.select(pl.when(series.is_not_null()).then(found)).to_series()

    return band(fit), band(test)


def _share_learned(fit: pl.Series, test: pl.Series, positive: pl.Series) -> npt.NDArray[np.float64]:
    """For each test row the share of the label its value had in ``fit``; of all rows, for a value
    that ``fit`` does not know.
    """
    import polars as pl

    rows = pl.DataFrame({"value": fit, "share": positive})
    learned = rows.group_by("value").agg(pl.mean("share"))
    shares = pl.DataFrame({"value": test}).join(
        learned, on="value", how="left", nulls_equal=True, maintain_order="left"
    )["share"]
    return shares.fill_null(positive.mean()).to_numpy()


def _auc(score: npt.NDArray[np.float64], truth: Truth) -> float:
    from scipy.stats import rankdata

    positives = int(truth.sum())
    won = float(rankdata(score)[truth].sum()) - positives * (positives + 1) / 2
    return won / (positives * (len(truth) - positives))


def _better(auc: float) -> float:
    """A feature that ranks backwards tells as much."""
    return float(max(auc, 1 - auc))


def _count_time_travel(
    fit: pl.DataFrame, test: pl.DataFrame, known_at: str, predicted_at: str
) -> dict[str, int]:
    """Labels fitted on that came after testing began, and rows asked after their own answer.

    A label known in the very moment of prediction is history to it, so that is too late as well.
    """
    import polars as pl

    late = pl.col(predicted_at) >= pl.col(known_at)
    return {
        "labels_too_late": fit.filter(pl.col(known_at) > test[predicted_at].min()).height,
        "predicted_too_late": fit.filter(late).height + test.filter(late).height,
    }


def _say_counts(counts: dict[str, int]) -> list[str]:
    said = {
        "overlap": "tested row(s) are of entities that were fitted on",
        "labels_too_late": "label(s) fitted on became known after the first tested row was "
        "predicted",
        "predicted_too_late": "row(s) were predicted when their own label was known",
    }
    return [f"{count} {said[what]}" for what, count in counts.items() if count]


def _say_features(strength: dict[str, float], limit: float) -> list[str]:
    found = [f"{name} (AUC {auc:.3f})" for name, auc in strength.items() if auc >= limit]
    return [f"alone explain the label, {limit:g} is too much: {', '.join(found)}"] if found else []


def _strongest(strength: dict[str, float]) -> dict[str, str | float]:
    if not strength:
        return {}
    name, auc = next(iter(strength.items()))
    return {"feature": name, "auc": auc}


def _say_clean(fit: pl.DataFrame, test: pl.DataFrame, strength: dict[str, float]) -> str:
    said = (
        f"none of {test.height} tested rows is among the {fit.height} fitted on, "
        "every label fitted on was known before"
    )
    if not strength:
        return said
    name, auc = next(iter(strength.items()))
    return f"{said}; the strongest feature alone is {name}, AUC {auc:.3f}"
