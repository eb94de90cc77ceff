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

    ``test``: the last ones, for evaluation and gates. ``calibration``: those before, for weighing
    candidates against each other and for calibrating them; none without either. ``validation``:
    the last of those fitted on, for tuning. ``minimum_fit``: the fewest before the validation;
    ``maximum_fit``: the most, None for all.
    """

    test: int = 2
    calibration: int = 0
    validation: int = 1
    minimum_fit: int = 4
    maximum_fit: int | None = None

    def __post_init__(self) -> None:
        for name in ("test", "validation", "minimum_fit"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if self.calibration < 0:
            raise ValueError(f"calibration must not be negative, got {self.calibration}")
        if self.maximum_fit is not None and self.maximum_fit < self.minimum_fit:
            raise ValueError(
                f"maximum_fit must not be below minimum_fit, got {self.maximum_fit} "
                f"and {self.minimum_fit}"
            )

    @property
    def needed(self) -> int:
        """The fewest partitions there have to be before one that is trained as of."""
        return self.minimum_fit + self.validation + self.calibration + self.test


@dataclass(frozen=True)
class TrainingSet:
    """Which rows a model is fitted and tested on; the digest names exactly these.

    Fitting sees labels known by ``fit_until``, calibrating those known by ``calibrate_until``,
    testing those known by ``test_until``. Each of ``fold_from`` begins a fold of the validation.
    Moments are ISO 8601, UTC. ``versions`` are the versions of the tables the rows come from.
    """

    as_of: str
    fit: tuple[str, ...]
    validation: tuple[str, ...]
    calibration: tuple[str, ...]
    test: tuple[str, ...]
    fold_from: tuple[str, ...]
    fit_until: str
    calibrate_until: str
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
        return (*self.fit, *self.validation, *self.calibration, *self.test)


@dataclass(frozen=True)
class Fold:
    """One step of a validation that walks forward: fitted on earlier rows, judged on later ones."""

    fit: pl.DataFrame
    score: pl.DataFrame


@dataclass(frozen=True)
class Split:
    """The rows of a training set. ``fit`` includes what the ``folds`` hold."""

    fit: pl.DataFrame
    folds: tuple[Fold, ...]
    calibration: pl.DataFrame
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
    if len(earlier) < policy.needed:
        kept = f"{policy.calibration} to calibrate, " if policy.calibration else ""
        raise TrainingError(
            f"training set: {as_of} has {len(earlier)} partition(s) before it, {policy.needed} are "
            f"needed ({policy.minimum_fit} to fit, {policy.validation} to validate, {kept}"
            f"{policy.test} to test); train as of a later partition"
        )
    rest, test = _cut(earlier, policy.test)
    rest, calibration = _cut(rest, policy.calibration)
    fit, validation = _cut(rest, policy.validation)
    fit = fit if policy.maximum_fit is None else fit[-policy.maximum_fit :]
    tested_from = calendar.begin(test[0]).isoformat()
    return TrainingSet(
        as_of=as_of,
        fit=fit,
        validation=validation,
        calibration=calibration,
        test=test,
        fold_from=tuple(calendar.begin(key).isoformat() for key in validation),
        fit_until=calendar.begin(calibration[0]).isoformat() if calibration else tested_from,
        calibrate_until=tested_from,
        test_until=calendar.begin(as_of).isoformat(),
        rows=rows,
        versions=dict(versions),
        fingerprint=fingerprint,
    )


def _cut(keys: tuple[str, ...], last: int) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """All but the last ones, and the last ones."""
    return keys[: len(keys) - last], keys[len(keys) - last :]


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

    def between(first: str | None, last: str) -> pl.DataFrame:
        end, predicted = datetime.fromisoformat(last), pl.col(PREDICTED_AT)
        known = (pl.col(KNOWN_AT) <= end) & (predicted < end)
        return labelled.filter(
            known if first is None else known & (predicted >= datetime.fromisoformat(first))
        )

    ends = (*training_set.fold_from[1:], training_set.fit_until)
    return Split(
        fit=between(None, training_set.fit_until),
        folds=tuple(
            Fold(fit=between(None, begin), score=between(begin, end))
            for begin, end in zip(training_set.fold_from, ends, strict=True)
        ),
        calibration=between(training_set.fit_until, training_set.calibrate_until),
        test=between(training_set.calibrate_until, training_set.test_until),
    )


def judge_split(split: Split, *, calibrated: bool) -> Verdict:
    """Whether every label used at one step was known before the next step's rows were predicted.

    ``calibrated``: whether the training set keeps rows for calibration.
    """
    name = "split_is_time_ordered"
    counts: dict[str, Any] = {
        "fit": split.fit.height,
        "before_folds": min(fold.fit.height for fold in split.folds),
        **{f"fold_{n}": fold.score.height for n, fold in enumerate(split.folds, start=1)},
        "calibration": split.calibration.height,
        "test": split.test.height,
    }
    empty = [
        part
        for part, height in counts.items()
        if not height and (part != "calibration" or calibrated)
    ]
    if empty:
        return Verdict(name, "failed", f"no rows to use for {', '.join(empty)}", counts)
    pairs = [(fold.fit, fold.score) for fold in split.folds]
    pairs += [(split.fit, split.calibration)] if calibrated else []
    pairs += [(split.calibration if calibrated else split.fit, split.test)]
    last_known, first_tested = _moments(split.fit, split.test)
    ordered = all(known <= predicted for known, predicted in (_moments(*p) for p in pairs))
    said = (
        f"the last label fitted on was known {last_known:%Y-%m-%d %H:%M}, "
        f"the first row tested on was predicted {first_tested:%Y-%m-%d %H:%M} UTC"
    )
    return Verdict(name, "passed" if ordered else "failed", said, counts)


def _moments(earlier: pl.DataFrame, later: pl.DataFrame) -> tuple[datetime, datetime]:
    """When the last label of the earlier rows was known, and the first later row predicted."""
    known, predicted = earlier[KNOWN_AT].max(), later[PREDICTED_AT].min()
    assert isinstance(known, datetime)
    assert isinstance(predicted, datetime)
    return known, predicted
