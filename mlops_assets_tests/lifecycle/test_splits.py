"""Splits: what is fitted on was known before what is tested on was asked."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlops_assets.lifecycle.errors import TrainingError
from mlops_assets.lifecycle.point_in_time import KNOWN_AT, PREDICTED_AT
from mlops_assets.lifecycle.splits import (
    Fold,
    Split,
    SplitPolicy,
    TrainingSet,
    judge_split,
    plan_training_set,
    split_rows,
)

MOMENT = pl.Datetime("us", "UTC")
BEGIN = datetime(2013, 1, 7, tzinfo=UTC)
POLICIES = st.builds(
    lambda test, calibration, validation, minimum, more: SplitPolicy(
        test, calibration, validation, minimum, None if more is None else minimum + more
    ),
    st.integers(1, 3),
    st.integers(0, 2),
    st.integers(1, 3),
    st.integers(1, 2),
    st.none() | st.integers(0, 3),
)


def plan(calendar, as_of: str, policy: SplitPolicy = SplitPolicy(), **named) -> TrainingSet:  # noqa: B008
    stated = {"rows": "all", "versions": {"features": 1}, "fingerprint": "f", **named}
    return plan_training_set(calendar, as_of, policy, **stated)


def parts_of(split: Split) -> dict[str, pl.DataFrame]:
    """Every table of a split by its name."""
    folds = {
        f"{what} {number}": getattr(fold, what)
        for number, fold in enumerate(split.folds, start=1)
        for what in ("fit", "score")
    }
    return {"fit": split.fit, **folds, "calibration": split.calibration, "test": split.test}


def steps_of(split: Split) -> list[tuple[pl.DataFrame, pl.DataFrame]]:
    """Rows that are learned from, and rows that what was learned is used on later."""
    folds = [(fold.fit, fold.score) for fold in split.folds]
    after = [(split.fit, split.calibration), (split.fit, split.test)]
    return [*folds, *after, (split.calibration, split.test)]


# --- planning -----------------------------------------------------------------------------------


@settings(max_examples=50)
@given(policy=POLICIES, index=st.integers(0, 25))
def test_a_plan_takes_the_partitions_just_before_in_time_order_or_says_it_cannot(
    weekly, policy, index
):
    as_of = weekly.keys[index]
    assert policy.needed == (
        policy.minimum_fit + policy.validation + policy.calibration + policy.test
    )
    if index < policy.needed:
        with pytest.raises(TrainingError, match=f"{as_of} has {index} partition.s. before it"):
            plan(weekly, as_of, policy)
        return
    made = plan(weekly, as_of, policy)
    assert made.partitions == weekly.keys[index - len(made.partitions) : index]
    kept = (len(made.validation), len(made.calibration), len(made.test))
    assert kept == (policy.validation, policy.calibration, policy.test)
    assert len(made.fit) >= policy.minimum_fit
    rest = index - sum(kept)
    assert len(made.fit) == min(rest, policy.maximum_fit or rest)


def test_too_few_partitions_are_refused_with_the_numbers_and_what_to_do(weekly):
    with pytest.raises(TrainingError) as refused:
        plan(weekly, "2013-02-04", SplitPolicy(test=2, validation=1, minimum_fit=4))
    assert str(refused.value) == (
        "training set: 2013-02-04 has 4 partition(s) before it, 7 are needed (4 to fit, "
        "1 to validate, 2 to test); train as of a later partition"
    )


def test_given_calibration_then_what_it_needs_is_named_too(weekly):
    with pytest.raises(TrainingError, match=r"1 to validate, 3 to calibrate, 2 to test\)"):
        plan(weekly, "2013-02-04", SplitPolicy(calibration=3))


def test_the_limits_are_where_validation_testing_and_the_as_of_partition_begin(weekly):
    made = plan(weekly, "2013-03-11", SplitPolicy(test=2, calibration=1, validation=2))
    assert made.fit == ("2013-01-07", "2013-01-14", "2013-01-21", "2013-01-28")
    assert made.validation == ("2013-02-04", "2013-02-11")
    assert made.fold_from == ("2013-02-04T00:00:00+00:00", "2013-02-11T00:00:00+00:00")
    assert made.fit_until == "2013-02-18T00:00:00+00:00"
    assert made.calibration == ("2013-02-18",)
    assert made.calibrate_until == "2013-02-25T00:00:00+00:00"
    assert made.test_until == "2013-03-11T00:00:00+00:00"


def test_given_no_calibration_then_fitting_ends_where_testing_begins(weekly):
    made = plan(weekly, "2013-03-11")
    assert made.calibration == ()
    assert made.fit_until == made.calibrate_until == "2013-02-25T00:00:00+00:00"


def test_one_may_train_as_of_the_end_of_the_calendar(weekly):
    assert plan(weekly, weekly.end.isoformat()).test[-1] == weekly.keys[-1]


def test_the_digest_names_the_data_not_the_versions_of_the_tables_it_lies_in(weekly):
    made = plan(weekly, "2013-04-01")
    assert plan(weekly, "2013-04-01", versions={"features": 9, "labels": 3}).digest == made.digest


@pytest.mark.parametrize(
    "change",
    [
        {"fingerprint": "g"},
        {"rows": "complete_cases"},
        {"as_of": "2013-04-08"},
        {"policy": SplitPolicy(test=3)},
        {"policy": SplitPolicy(validation=2)},
        {"policy": SplitPolicy(calibration=1)},
        {"policy": SplitPolicy(maximum_fit=5)},
    ],
    ids=str,
)
def test_other_data_has_another_digest(weekly, change):
    assert plan(weekly, **{"as_of": "2013-04-01", **change}).digest != (
        plan(weekly, "2013-04-01").digest
    )


def test_a_training_set_read_back_from_plain_values_has_the_same_digest(weekly):
    made = plan(weekly, "2013-04-01")
    plain = {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in dataclasses.asdict(made).items()
    }
    assert TrainingSet(**plain).digest == made.digest


@pytest.mark.parametrize("name", ["test", "validation", "minimum_fit"])
def test_no_part_may_be_empty_by_policy(name):
    with pytest.raises(ValueError, match=f"{name} must be at least 1, got 0"):
        SplitPolicy(**{name: 0})


def test_calibration_may_be_empty_but_not_negative():
    assert SplitPolicy(calibration=0).calibration == 0
    with pytest.raises(ValueError, match="calibration must not be negative, got -1"):
        SplitPolicy(calibration=-1)


def test_a_maximum_below_the_minimum_is_refused():
    with pytest.raises(ValueError, match="maximum_fit must not be below minimum_fit, got 3 and 4"):
        SplitPolicy(minimum_fit=4, maximum_fit=3)
    assert SplitPolicy(minimum_fit=4, maximum_fit=4).maximum_fit == 4


# --- splitting ----------------------------------------------------------------------------------

ROWS = st.lists(
    st.tuples(
        # hours after the beginning at which it was predicted, and until its label was known
        st.builds(lambda week, hour: 168 * week + hour, st.integers(0, 11), st.integers(0, 167)),
        st.sampled_from([1, 24, 168, 360]) | st.integers(1, 360),
        st.sampled_from([True, False, None]),
        st.none() | st.floats(-1, 1),
    ),
    max_size=40,
)


def tables(rows) -> tuple[pl.DataFrame, pl.DataFrame]:
    made = pl.DataFrame(
        [
            (
                f"r{number}",
                BEGIN + timedelta(hours=hour),
                BEGIN + timedelta(hours=hour + delay) if late is not None else None,
                late,
                value,
            )
            for number, (hour, delay, late, value) in enumerate(rows)
        ],
        schema={
            "id": pl.String,
            PREDICTED_AT: MOMENT,
            KNOWN_AT: MOMENT,
            "late": pl.Boolean,
            "x": pl.Float64,
        },
        orient="row",
    )
    return made.select("id", PREDICTED_AT, "x"), made.select("id", KNOWN_AT, "late").reverse()


AS_OF = "2013-03-18"  # ten weeks in; rows go on for two more


@settings(max_examples=50)
@given(rows=ROWS, policy=POLICIES, cases=st.sampled_from(["all", "complete_cases"]))
def test_each_part_holds_exactly_the_rows_its_rule_names(weekly, rows, policy, cases):
    made = plan(weekly, AS_OF, policy, rows=cases)
    split = split_rows(made, *tables(rows), "id", "late")
    ends = {
        name: datetime.fromisoformat(getattr(made, f"{name}_until"))
        for name in ("fit", "calibrate", "test")
    }
    begins = [datetime.fromisoformat(moment) for moment in made.fold_from]
    expected: dict[str, list[str]] = {name: [] for name in parts_of(split)}
    for number, (hour, delay, late, value) in enumerate(rows):
        predicted = BEGIN + timedelta(hours=hour)
        known = predicted + timedelta(hours=delay)
        if late is None or (cases == "complete_cases" and value is None):
            continue
        spans = {
            "fit": (BEGIN, ends["fit"]),
            "calibration": (ends["fit"], ends["calibrate"]),
            "test": (ends["calibrate"], ends["test"]),
        }
        for fold, begin in enumerate(begins, start=1):
            spans[f"fit {fold}"] = (BEGIN, begin)
            spans[f"score {fold}"] = (begin, [*begins, ends["fit"]][fold])
        for name, (first, end) in spans.items():
            if first <= predicted < end and known <= end:
                expected[name].append(f"r{number}")
    assert {name: part["id"].to_list() for name, part in parts_of(split).items()} == expected


@settings(max_examples=50)
@given(rows=ROWS, policy=POLICIES)
def test_every_label_fitted_on_was_known_before_every_row_tested_on_was_predicted(
    weekly, rows, policy
):
    split = split_rows(plan(weekly, AS_OF, policy), *tables(rows), "id", "late")
    for earlier, later in steps_of(split):
        for known in earlier[KNOWN_AT]:
            assert all(known <= predicted for predicted in later[PREDICTED_AT])
        assert not set(earlier["id"]) & set(later["id"])


@settings(max_examples=50)
@given(rows=ROWS, policy=POLICIES)
def test_the_folds_walk_forward_through_the_rows_that_are_fitted_on(weekly, rows, policy):
    made = plan(weekly, AS_OF, policy)
    split = split_rows(made, *tables(rows), "id", "late")
    assert len(split.folds) == policy.validation
    scored = [key for fold in split.folds for key in fold.score["id"]]
    assert len(scored) == len(set(scored))
    assert set(scored) <= set(split.fit["id"])
    for before, after in pairwise(split.folds):
        assert set(before.fit["id"]) | set(before.score["id"]) <= set(after.fit["id"])
    for fold, week in zip(split.folds, made.validation, strict=True):
        begin, finish = weekly.begin(week), weekly.finish(week)
        assert all(begin <= predicted < finish for predicted in fold.score[PREDICTED_AT])


@settings(max_examples=40)
@given(rows=ROWS, later=ROWS)
def test_what_becomes_known_after_the_training_date_changes_nothing(weekly, rows, later):
    made = plan(weekly, AS_OF)
    after = [(hour + 10 * 7 * 24, *rest) for hour, *rest in later]
    with_future = split_rows(made, *tables([*rows, *after]), "id", "late")
    without = split_rows(made, *tables(rows), "id", "late")
    for name, part in parts_of(without).items():
        assert parts_of(with_future)[name].equals(part)


@settings(max_examples=50)
@given(rows=ROWS, policy=POLICIES)
def test_a_split_is_judged_ordered_unless_a_part_is_empty(weekly, rows, policy):
    split = split_rows(plan(weekly, AS_OF, policy), *tables(rows), "id", "late")
    used = {
        "fit": split.fit,
        "before_folds": split.folds[0].fit,
        **{f"fold_{n}": fold.score for n, fold in enumerate(split.folds, start=1)},
        **({"calibration": split.calibration} if policy.calibration else {}),
        "test": split.test,
    }
    empty = [name for name, part in used.items() if part.is_empty()]
    verdict = judge_split(split, calibrated=bool(policy.calibration))
    assert verdict.name == "split_is_time_ordered"
    assert verdict.outcome == ("failed" if empty else "passed")
    counts = {name: part.height for name, part in used.items()}
    assert verdict.evidence == {"calibration": 0, **counts}
    if empty:
        assert verdict.reason == f"no rows to use for {', '.join(empty)}"


LIMITS = SplitPolicy(test=2, calibration=1, validation=2)  # folds from weeks 5 and 6, as of 10
FIRST, SECOND = {"fit", "fit 1", "fit 2"}, {"fit", "score 1", "fit 2"}


@pytest.mark.parametrize(
    ("hour", "delay", "parts"),
    [
        (0, 1, FIRST),
        (5 * 168 - 2, 2, FIRST),  # known just as validation begins
        (5 * 168 - 2, 3, {"fit", "fit 2"}),  # known too late for the first fold
        (5 * 168, 1, SECOND),
        (6 * 168 - 2, 2, SECOND),  # known just as the second fold begins
        (6 * 168 - 2, 3, {"fit"}),  # known too late for a fold to judge it, not to fit on
        (6 * 168, 1, {"fit", "score 2"}),
        (7 * 168 - 2, 2, {"fit", "score 2"}),  # known just as calibration begins
        (7 * 168 - 2, 3, set()),  # known too late to fit on
        (7 * 168, 0, {"calibration"}),  # predicted and known at once: not fitted on
        (8 * 168 - 2, 2, {"calibration"}),  # known just as testing begins
        (8 * 168 - 2, 3, set()),  # known too late to calibrate on
        (8 * 168, 0, {"test"}),  # predicted and known at once as testing begins: tested only
        (10 * 168 - 2, 2, {"test"}),  # known just as of the training date
        (10 * 168 - 2, 3, set()),  # not known yet
        (10 * 168, 1, set()),
    ],
)
def test_at_the_limits_a_row_belongs_to_the_part_that_could_know_it(weekly, hour, delay, parts):
    made = plan(weekly, AS_OF, LIMITS)
    split = split_rows(made, *tables([(hour, delay, True, 0.5)]), "id", "late")
    assert {name for name, part in parts_of(split).items() if part.height} == parts


def test_a_split_that_is_not_ordered_fails_with_both_moments(weekly):
    rows = [(week * 168 + 1, 3, True, 0.5) for week in range(10)]
    good = split_rows(plan(weekly, AS_OF, LIMITS), *tables(rows), "id", "late")
    assert judge_split(good, calibrated=True).passed
    mixed = dataclasses.replace(good, fit=pl.concat([good.fit, good.test]))
    verdict = judge_split(mixed, calibrated=True)
    assert verdict.outcome == "failed"
    assert "was known 2013-03-11 04:00" in verdict.reason
    assert "was predicted 2013-03-04 01:00 UTC" in verdict.reason


@pytest.mark.parametrize("part", ["the first fold", "the last fold", "calibration"])
def test_given_any_step_sees_the_future_then_the_split_fails(weekly, part):
    rows = [(week * 168 + 1, 3, True, 0.5) for week in range(10)]
    good = split_rows(plan(weekly, AS_OF, LIMITS), *tables(rows), "id", "late")
    if part == "calibration":
        late = pl.concat([good.calibration, good.test])
        leaky = dataclasses.replace(good, calibration=late)
    else:
        folds = list(good.folds)
        at = 0 if part == "the first fold" else -1
        folds[at] = Fold(pl.concat([folds[at].fit, folds[at].score]), folds[at].score)
        leaky = dataclasses.replace(good, folds=tuple(folds))
    assert judge_split(leaky, calibrated=True).outcome == "failed"


def test_given_rows_of_the_validation_only_then_the_split_fails_and_says_so(weekly):
    rows = [(week * 168 + 1, 3, True, 0.5) for week in range(5, 10)]
    split = split_rows(plan(weekly, AS_OF, LIMITS), *tables(rows), "id", "late")
    assert judge_split(split, calibrated=True).reason == "no rows to use for before_folds"
