"""Feature values by key, small enough to look up while a request waits.

A feature of a group depends on a few columns of the entity, and on the moment, alone. Its values
come from the model's own ``build_features``: for each combination of those columns the last entity
that had it is moved to the moment, and built from what was known then. ``find_differences`` holds
looked up values against those of other entities, and so finds a feature that depends on more.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from mlops_assets.lifecycle.errors import FeatureError
from mlops_assets.lifecycle.features import EntityPolicy, FeatureInputs, build_feature_rows
from mlops_assets.lifecycle.point_in_time import PREDICTED_AT
from mlops_assets.lifecycle.training import Feature
from mlops_assets.lifecycle.verdicts import Verdict

if TYPE_CHECKING:
    import polars as pl

Key = tuple[str | float | None, ...]
Value = str | float | None

EXACT = 2**53
"""From here on whole numbers share their float with others, and are no keys."""

EXAMPLES = 3
"""How many rows a verdict shows for each feature that differs."""


@dataclass(frozen=True)
class FeatureGroup:
    """Features that depend on the columns ``by`` of the entity, and on the moment, alone."""

    by: tuple[str, ...]
    features: tuple[str, ...]


@dataclass(frozen=True)
class OnlineGroup:
    """Features that depend on a few columns of the entity, and on the moment, alone.

    ``by``: those columns, none for features that are the same for everybody. ``rows``: the
    values of ``features`` for each combination of the columns' values that was seen.
    """

    by: tuple[str, ...]
    features: tuple[str, ...]
    rows: Mapping[Key, tuple[Value, ...]]


@dataclass(frozen=True)
class OnlineTable:
    """What the features of a model were at one moment (``as_of``, ISO 8601 in UTC).

    ``code``: the digest of the model.py that computed them.
    """

    model: str
    as_of: str
    code: str
    groups: tuple[OnlineGroup, ...]


@dataclass(frozen=True)
class FeatureRecipe:
    """How a model's features are made. Days are those of ``timezone``."""

    build_features: Callable[[FeatureInputs], pl.DataFrame]
    features: tuple[Feature, ...]
    policy: EntityPolicy
    timezone: str = "UTC"

    def build(self, inputs: FeatureInputs, entities: pl.DataFrame, at: datetime) -> pl.DataFrame:
        """The features of ``entities`` as if predicted ``at`` a moment, from what was known then.

        One row per entity, in order.
        """
        known = inputs.known_by(at)
        moved = retime(entities, self.policy, at, self.timezone)
        then = FeatureInputs(moved, known.history, known.sources, known.times)
        return build_feature_rows(self.build_features, then, self.features, self.policy)


@dataclass(frozen=True)
class Difference:
    """A feature whose looked up value is not that of the entity itself.

    ``rows``: in how many of the entities compared; ``examples``: some of them, in words.
    """

    feature: str
    by: tuple[str, ...]
    rows: int
    examples: tuple[str, ...]


def retime(
    entities: pl.DataFrame, policy: EntityPolicy, at: datetime, timezone: str
) -> pl.DataFrame:
    """The same entities, predicted ``at`` a moment (aware of its zone).

    What else they say of time goes along: other moments by as much, dates by as many days as the
    local date of the entity's time.
    """
    import polars as pl
    from polars import selectors as cs

    time = pl.col(policy.time)
    then = pl.lit(at + timedelta(minutes=policy.lead)).cast(entities.schema[policy.time])
    days = _local_date(then, timezone) - _local_date(time, timezone)
    moments = cs.datetime() - cs.by_name(policy.time, PREDICTED_AT)
    return entities.with_columns(
        then.alias(policy.time),
        pl.lit(at).cast(entities.schema[PREDICTED_AT]).alias(PREDICTED_AT),
        moments + (then - time),
        cs.date() + days,
    )


def build_groups(
    recipe: FeatureRecipe, inputs: FeatureInputs, groups: Sequence[FeatureGroup], at: datetime
) -> tuple[OnlineGroup, ...]:
    """The values of each group at a moment, for every key seen by then in ``inputs.entities``.

    Raises ``FeatureError`` for columns that ``build_entities`` did not make or that are no keys,
    and when no entity was predicted by the moment.
    """
    seen = find_seen(recipe, inputs, at)
    _require_keys(seen, groups)
    last = [_last_of_each(seen, group.by) for group in groups]
    rows = sorted({row for some in last for row in some})
    chosen = seen[rows]
    built = recipe.build(inputs, chosen, at)
    place = {row: index for index, row in enumerate(rows)}
    made = []
    for group, some in zip(groups, last, strict=True):
        index = [place[row] for row in some]
        keys = read_keys(chosen[index], group.by)
        values = read_values(built[index], group.features)
        made.append(OnlineGroup(group.by, group.features, dict(zip(keys, values, strict=True))))
    return tuple(made)


def find_differences(
    recipe: FeatureRecipe,
    inputs: FeatureInputs,
    groups: Sequence[OnlineGroup],
    at: datetime,
    sample: pl.DataFrame,
) -> list[Difference]:
    """Where looking up gives another value than building the features of ``sample`` itself.

    ``sample``: entities seen by the moment; they are moved to it. Values are compared bit by bit.
    """
    built = recipe.build(inputs, sample, at)
    names = sample[recipe.policy.key].to_list()
    found = []
    for group in groups:
        keys = read_keys(sample, group.by)
        absent = (None,) * len(group.features)
        looked_up = [group.rows.get(key, absent) for key in keys]
        offline = read_values(built, group.features)
        for index, feature in enumerate(group.features):
            wrong = [
                f"{name}: {online[index]!r} looked up, {own[index]!r} built"
                for name, online, own in zip(names, looked_up, offline, strict=True)
                if online[index] != own[index]
            ]
            if wrong:
                shown = tuple(wrong[:EXAMPLES])
                found.append(Difference(feature, group.by, len(wrong), shown))
    return found


def judge_online(differences: Sequence[Difference], rows: int) -> Verdict:
    """Whether what is looked up for ``rows`` entities is what would be built for them."""
    name = "online_equals_offline"
    if not rows:
        return Verdict(name, "inconclusive", "no entity was there to compare with")
    if differences:
        said = "; ".join(
            f"{found.feature} by {_say(found.by)} in {found.rows} ({', '.join(found.examples)})"
            for found in differences
        )
        return Verdict(
            name,
            "failed",
            f"of {rows} entities these differ: {said}; a feature that differs depends on more "
            "than its columns, name those in `by` too or leave it to the caller",
            {"differences": {found.feature: found.rows for found in differences}, "rows": rows},
        )
    reason = f"{rows} entities looked up are as built for them"
    return Verdict(name, "passed", reason, {"rows": rows})


def measure_coverage(
    seen: pl.DataFrame, groups: Sequence[FeatureGroup], since: datetime
) -> tuple[float | None, ...]:
    """For each group the share of entities predicted from ``since`` on whose key was seen before.

    That is how many a table of that moment would have answered; None where there are none.
    """
    import polars as pl

    before = seen.filter(pl.col(PREDICTED_AT) < since)
    after = seen.filter(pl.col(PREDICTED_AT) >= since)
    shares: list[float | None] = []
    for group in groups:
        known = set(read_keys(before, group.by))
        keys = read_keys(after, group.by)
        shares.append(sum(key in known for key in keys) / len(keys) if keys else None)
    return tuple(shares)


def find_seen(recipe: FeatureRecipe, inputs: FeatureInputs, at: datetime) -> pl.DataFrame:
    """The entities predicted by a moment, oldest first. Raises ``FeatureError`` without any."""
    import polars as pl

    seen = inputs.entities.filter(pl.col(PREDICTED_AT) <= at)
    if seen.is_empty():
        raise FeatureError(
            f"online features: no entity was predicted by {at:%Y-%m-%d %H:%M} UTC; "
            "ingest what came before, or ask for a later moment"
        )
    return seen.sort(PREDICTED_AT, recipe.policy.key)


def read_keys(frame: pl.DataFrame, by: Sequence[str]) -> list[Key]:
    """The values of the columns ``by``, row by row: text, floats for every number, or None.

    Raises ``FeatureError`` for a column that holds neither text nor numbers a float can tell apart.
    """
    if not by:
        return [()] * frame.height
    return frame.select(_key_column(frame[name]) for name in by).rows()


def read_values(frame: pl.DataFrame, features: Sequence[str]) -> list[tuple[Value, ...]]:
    """The features row by row; what is missing is None, whichever way it is missing."""
    from polars import selectors as cs

    return frame.select(features).with_columns(cs.float().fill_nan(None)).rows()


def _key_column(column: pl.Series) -> pl.Series:
    import polars as pl

    if column.dtype in (pl.String, pl.Categorical, pl.Enum):
        return column.cast(pl.String)
    if column.dtype == pl.Boolean or column.dtype.is_float():
        return column.cast(pl.Float64).fill_nan(None)
    if not column.dtype.is_integer():
        raise FeatureError(
            f"online features: column '{column.name}' is {column.dtype}, a key is text or a "
            "number; make it one in build_entities"
        )
    numbers = column.cast(pl.Float64)
    if (numbers.abs() >= EXACT).any():
        raise FeatureError(
            f"online features: column '{column.name}' holds whole numbers from 2^53 on, which "
            "callers cannot send exactly; make it text in build_entities"
        )
    return numbers


def _require_keys(entities: pl.DataFrame, groups: Sequence[FeatureGroup]) -> None:
    for name in dict.fromkeys(name for group in groups for name in group.by):
        if name not in entities.columns:
            raise FeatureError(
                f"online features: build_entities made no column '{name}' to look up by; "
                f"it made {', '.join(entities.columns)}"
            )


def _last_of_each(seen: pl.DataFrame, by: Sequence[str]) -> list[int]:
    """The row in which each combination was seen last."""
    if not by:
        return [seen.height - 1]
    rows = seen.select(by).with_row_index("__row")
    last = rows.unique(subset=list(by), keep="last", maintain_order=True)
    return last["__row"].to_list()


def _local_date(moment: pl.Expr, timezone: str) -> pl.Expr:
    return moment.dt.convert_time_zone(timezone).dt.date()


def _say(by: Sequence[str]) -> str:
    return ", ".join(by) or "nothing"
