"""Time-ordered splits: a training set as of a partition uses labels that had arrived by then."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

from mlops_assets.lifecycle.digests import digest_value
from mlops_assets.lifecycle.errors import TrainingError
from mlops_assets.lifecycle.point_in_time import KNOWN_AT, PREDICTED_AT
from mlops_assets.lifecycle.verdicts import Verdict

if TYPE_CHECKING:
    import polars as pl

    from mlops_assets.lifecycle.calendar import Calendar

Rows = Literal["all", "complete_cases"]


@dataclass(frozen=True)
class SplitPolicy:
    """How many partitions are kept for what, counted back from the one trained as of.

    ``test``: the last ones, for evaluation and gates. ``validation``: those before, for tuning.
    ``minimum_fit``: the fewest before those; ``maximum_fit``: the most, None for all.
    """

    test: int = 2
    validation: int = 1
    minimum_fit: int = 4
    maximum_fit: int | None = None

    def __post_init__(self) -> None:
        for name in ("test", "validation", "minimum_fit"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if self.maximum_fit is not None and self.maximum_fit < self.minimum_fit:
            raise ValueError(
                f"maximum_fit must not be below minimum_fit, got {self.maximum_fit} "
                f"and {self.minimum_fit}"
            )


@dataclass(frozen=True)
class TrainingSet:
    """Which rows a model is fitted and tested on; the digest names exactly these.

    Fitting sees labels known by ``fit_until``, testing those known by ``test_until``
    (ISO 8601, UTC). ``versions`` are the versions of the tables the rows come from.
    """

    as_of: str
    fit: tuple[str, ...]
    validation: tuple[str, ...]
    test: tuple[str, ...]
    validation_from: str
    fit_until: str
    test_until: str
    rows: Rows
    versions: Mapping[str, int]
    fingerprint: str

    @property
    def digest(self) -> str:
        named = dataclasses.asdict(self)
        del named["versions"]  # rewriting equal rows makes a new table version, not new data
        return digest_value(named)

    @property
    def partitions(self) -> tuple[str, ...]:
        """All partitions it draws rows from, in order."""
        return (*self.fit, *self.validation, *self.test)


@dataclass(frozen=True)
class Split:
    """The rows of a training set. ``fit`` includes what ``tuning`` and ``validation`` hold."""

    fit: pl.DataFrame
    tuning: pl.DataFrame
    validation: pl.DataFrame
    test: pl.DataFrame


def plan_training_set(
    calendar: Calendar,
    as_of: str,
    policy: SplitPolicy,
    *,
    rows: Rows,
    versions: Mapping[str, int],
    fingerprint: str,
) -> TrainingSet:
    """The training set as of the beginning of partition ``as_of``.

    Raises ``TrainingError`` when there are too few partitions before.
    """
    earlier = calendar.before(as_of)
    needed = policy.minimum_fit + policy.validation + policy.test
    if len(earlier) < needed:
        raise TrainingError(
            f"training set: {as_of} has {len(earlier)} partition(s) before it, {needed} are "
            f"needed ({policy.minimum_fit} to fit, {policy.validation} to validate, "
            f"{policy.test} to test); train as of a later partition"
        )
    test = earlier[-policy.test :]
    validation = earlier[-policy.test - policy.validation : -policy.test]
    fit = earlier[: -policy.test - policy.validation]
    fit = fit if policy.maximum_fit is None else fit[-policy.maximum_fit :]
    return TrainingSet(
        as_of=as_of,
        fit=fit,
        validation=validation,
        test=test,
        validation_from=calendar.begin(validation[0]).isoformat(),
        fit_until=calendar.begin(test[0]).isoformat(),
        test_until=calendar.begin(as_of).isoformat(),
        rows=rows,
        versions=dict(versions),
        fingerprint=fingerprint,
    )


def split_rows(
    training_set: TrainingSet, features: pl.DataFrame, labels: pl.DataFrame, key: str, label: str
) -> Split:
    """Join features with labels and cut by time; rows without a label are left out.

    Each part holds rows predicted before it ended whose label was known by then, so nothing that
    is fitted on had to wait for the future.
    """
    import polars as pl

    labelled = features.join(
        labels.select(key, label, KNOWN_AT), on=key, how="inner", maintain_order="left"
    ).filter(pl.col(label).is_not_null())
    if training_set.rows == "complete_cases":
        labelled = labelled.drop_nulls()
    validation_from, fit_until, test_until = (
        datetime.fromisoformat(moment)
        for moment in (
            training_set.validation_from,
            training_set.fit_until,
            training_set.test_until,
        )
    )
    predicted, known = pl.col(PREDICTED_AT), pl.col(KNOWN_AT)
    fit = labelled.filter((known <= fit_until) & (predicted < fit_until))
    return Split(
        fit=fit,
        tuning=fit.filter((known <= validation_from) & (predicted < validation_from)),
        validation=fit.filter(predicted >= validation_from),
        test=labelled.filter((predicted >= fit_until) & (known <= test_until)),
    )


def judge_split(split: Split) -> Verdict:
    """Whether every label fitted on was known before the first row tested on was predicted."""
    name = "split_is_time_ordered"
    counts: dict[str, Any] = {
        part: getattr(split, part).height for part in ("fit", "tuning", "validation", "test")
    }
    empty = [part for part, height in counts.items() if not height]
    if empty:
        return Verdict(name, "failed", f"no rows to use for {', '.join(empty)}", counts)
    last_known, first_tested = split.fit[KNOWN_AT].max(), split.test[PREDICTED_AT].min()
    assert isinstance(last_known, datetime)
    assert isinstance(first_tested, datetime)
    ordered = last_known <= first_tested
    said = (
        f"the last label fitted on was known {last_known:%Y-%m-%d %H:%M}, "
        f"the first row tested on was predicted {first_tested:%Y-%m-%d %H:%M} UTC"
    )
    return Verdict(name, "passed" if ordered else "failed", said, counts)
