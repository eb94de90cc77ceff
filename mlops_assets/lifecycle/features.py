"""Features that know only the past.

The functions of ``model.py`` never see an outcome of the rows they build features for: of the
entities' own table they get the columns listed as known beforehand, and labels reach them only as
``history``, where each row carries the moment it became known. ``find_leaks`` proves it by building
again without the future.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from mlops_assets.lifecycle.errors import FeatureError
from mlops_assets.lifecycle.point_in_time import KNOWN_AT, PREDICTED_AT
from mlops_assets.lifecycle.training import Feature, cast_features
from mlops_assets.lifecycle.verdicts import Verdict

if TYPE_CHECKING:
    import polars as pl


@dataclass(frozen=True)
class EntityPolicy:
    """What one row of a model is.

    ``source``: the table whose rows are predicted for. ``key`` and ``time``: columns that
    ``build_entities`` makes. ``known``: columns of the source known when the prediction is made;
    ``build_entities`` sees no others, so what nobody listed cannot leak. ``lead``: minutes before
    ``time`` at which the prediction is made. ``lookback``: partitions of history that features
    may reach back to.
    """

    source: str
    key: str
    time: str
    known: tuple[str, ...]
    lead: int = 0
    lookback: int = 5

    def __post_init__(self) -> None:
        if self.lead < 0:
            raise ValueError(f"lead must not be negative, got {self.lead}")
        if self.lookback < 0:
            raise ValueError(f"lookback must not be negative, got {self.lookback}")


@dataclass(frozen=True)
class FeatureInputs:
    """What ``build_features`` may look at.

    ``entities``: the rows to build for, with the key, ``predicted_at`` and whatever was known
    before. ``history``: earlier and current entities with their label and ``known_at``.
    ``sources``: the other validated tables. ``times``: for each table, the column that says
    when its rows became known (absent for tables that always were).
    """

    entities: pl.DataFrame
    history: pl.DataFrame
    sources: Mapping[str, pl.DataFrame] = field(default_factory=dict)
    times: Mapping[str, str] = field(default_factory=dict)

    def known_by(self, moment: datetime) -> FeatureInputs:
        """The same inputs as they were at ``moment``: everything learned later is gone.

        Entities predicted later are gone too. A schedule may be known beforehand, but whoever
        aggregates over entities would take in what those rows carry: so none is left to look at.
        """
        import polars as pl

        sources = {
            name: table.filter(pl.col(self.times[name]) <= moment) if name in self.times else table
            for name, table in self.sources.items()
        }
        entities = self.entities.filter(pl.col(PREDICTED_AT) <= moment)
        history = self.history.filter(pl.col(KNOWN_AT) <= moment)
        return FeatureInputs(entities, history, sources, self.times)


def build_entity_rows(
    build_entities: Callable[[pl.DataFrame], pl.DataFrame],
    validated: pl.DataFrame,
    policy: EntityPolicy,
) -> pl.DataFrame:
    """The entities of a validated table, built from what was known before the outcome."""
    import polars as pl

    entities = build_entities(validated.select(policy.known))
    _require("build_entities", entities, [policy.key, policy.time], policy.key, validated.height)
    return entities.with_columns(
        (pl.col(policy.time) - timedelta(minutes=policy.lead)).alias(PREDICTED_AT)
    )


def build_label_rows(
    build_labels: Callable[[pl.DataFrame], pl.DataFrame],
    validated: pl.DataFrame,
    entities: pl.DataFrame,
    policy: EntityPolicy,
    label: str,
) -> pl.DataFrame:
    """Entities with their label (null where there is none) and the moment it became known."""
    import polars as pl

    labels = build_labels(validated)
    _require("build_labels", labels, [policy.key, label, KNOWN_AT], policy.key, validated.height)
    _require_keys("build_labels", labels, entities[policy.key])
    unplaced = labels.filter(pl.col(label).is_not_null() & pl.col(KNOWN_AT).is_null()).height
    if unplaced:
        raise FeatureError(
            f"build_labels: {unplaced} labelled row(s) have no '{KNOWN_AT}'; "
            "say when each label became known"
        )
    return entities.join(
        labels.select(policy.key, label, KNOWN_AT), on=policy.key, how="left", maintain_order="left"
    )


def build_feature_rows(
    build_features: Callable[[FeatureInputs], pl.DataFrame],
    inputs: FeatureInputs,
    features: Sequence[Feature],
    policy: EntityPolicy,
) -> pl.DataFrame:
    """One row per entity: key, time, and exactly the declared features, in order."""
    built = build_features(inputs)
    names = [feature.name for feature in features]
    _require("build_features", built, [policy.key, *names], policy.key, inputs.entities.height)
    _require_keys("build_features", built, inputs.entities[policy.key])
    moments = inputs.entities.select(policy.key, policy.time, PREDICTED_AT)
    typed = cast_features(built, features).with_columns(built[policy.key])
    return moments.join(typed, on=policy.key, how="left", maintain_order="left")


def find_leaks(
    build_features: Callable[[FeatureInputs], pl.DataFrame],
    inputs: FeatureInputs,
    built: pl.DataFrame,
    features: Sequence[Feature],
    policy: EntityPolicy,
    cut: datetime,
) -> dict[str, int]:
    """For each feature, how many rows predicted by ``cut`` change when the future is taken away.

    Empty when the features know only the past. Rows predicted later belong to the future (see
    ``FeatureInputs.known_by``); rows are compared by key.
    """
    past = build_feature_rows(build_features, inputs.known_by(cut), features, policy)
    return count_changes(built, past, features, policy)


def count_changes(
    built: pl.DataFrame, again: pl.DataFrame, features: Sequence[Feature], policy: EntityPolicy
) -> dict[str, int]:
    """For each feature that differs, in how many of the rows of ``again`` it does, by key."""
    before = again.select(policy.key).join(built, on=policy.key, how="left", maintain_order="left")
    changes = {
        feature.name: int(before[feature.name].ne_missing(again[feature.name]).sum())
        for feature in features
    }
    return {name: count for name, count in changes.items() if count}


def judge_lookback(changes: Mapping[str, int], lookback: int) -> Verdict:
    """Whether one more partition of history leaves the features as they are."""
    name = "lookback_is_long_enough"
    if changes:
        said = ", ".join(f"{feature} in {count} rows" for feature, count in changes.items())
        reason = f"with {lookback + 1} partitions of history instead of {lookback}: {said} change"
        return Verdict(name, "failed", f"{reason}; raise entities.lookback", dict(changes))
    return Verdict(name, "passed", f"more history than {lookback} partitions changes nothing")


def judge_leaks(leaks: Mapping[str, int], cut: datetime, rows: int) -> Verdict:
    """Whether features predicted by ``cut`` stay the same once the future is taken away."""
    name = "features_know_only_the_past"
    if leaks:
        said = ", ".join(f"{feature} in {count} rows" for feature, count in leaks.items())
        return Verdict(
            name,
            "failed",
            f"without what came after {cut:%Y-%m-%d %H:%M} UTC, these change: {said}",
            {"leaks": dict(leaks)},
        )
    return Verdict(
        name,
        "passed",
        f"{rows} rows predicted by {cut:%Y-%m-%d %H:%M} UTC are the same without what came after",
        {"rows": rows},
    )


def _require(
    function: str, frame: pl.DataFrame, columns: Sequence[str], key: str, rows: int
) -> None:
    missing = [name for name in columns if name not in frame.columns]
    if missing:
        raise FeatureError(
            f"{function}: must return the column(s) {', '.join(missing)}; "
            f"it returned {', '.join(frame.columns)}"
        )
    if frame.height != rows or frame[key].n_unique() != rows:
        raise FeatureError(
            f"{function}: must return one row per '{key}': {rows} expected, "
            f"{frame.height} came with {frame[key].n_unique()} different keys"
        )


def _require_keys(function: str, frame: pl.DataFrame, expected: pl.Series) -> None:
    """As many keys as entities (see ``_require``), and none that is no entity's: the same keys."""
    came = frame[expected.name]
    if came.dtype != expected.dtype:
        raise FeatureError(
            f"{function}: key '{expected.name}' must be {expected.dtype} as in the entities, "
            f"it came as {came.dtype}"
        )
    strange = came.filter(~came.is_in(expected.implode(), nulls_equal=True))
    if strange.len():
        raise FeatureError(
            f"{function}: must return the keys of the entities, {strange.len()} key(s) are not: "
            f"{', '.join(repr(key) for key in strange.head(5))}"
        )
