"""Splits: what is fitted on was known before what is tested on was asked."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlops_assets.lifecycle.errors import TrainingError
from mlops_assets.lifecycle.point_in_time import KNOWN_AT, PREDICTED_AT
from mlops_assets.lifecycle.splits import (
    SplitPolicy,
    TrainingSet,
    judge_split,
    plan_training_set,
    split_rows,
)

MOMENT = pl.Datetime("us", "UTC")
BEGIN = datetime(2013, 1, 7, tzinfo=UTC)
POLICIES = st.builds(
    lambda test, validation, minimum, more: SplitPolicy(
        test, validation, minimum, None if more is None else minimum + more
    ),
    st.integers(1, 3),
    st.integers(1, 3),
    st.integers(1, 4),
    st.none() | st.integers(0, 3),
)


def plan(calendar, as_of: str, policy: SplitPolicy = SplitPolicy(), **named) -> TrainingSet:  # noqa: B008
    stated = {"rows": "all", "versions": {"features": 1}, "fingerprint": "f", **named}
    return plan_training_set(calendar, as_of, policy, **stated)


# --- planning -----------------------------------------------------------------------------------


@settings(deadline=None, max_examples=50)
@given(policy=POLICIES, index=st.integers(0, 25))
def test_a_plan_takes_the_partitions_just_before_in_time_order_or_says_it_cannot(
    weekly, policy, index
):
    as_of = weekly.keys[index]
    if index < policy.minimum_fit + policy.validation + policy.test:
        with pytest.raises(TrainingError, match=f"{as_of} has {index} partition.s. before it"):
            plan(weekly, as_of, policy)
        return
    made = plan(weekly, as_of, policy)
    assert made.partitions == weekly.keys[index - len(made.partitions) : index]
    assert (len(made.test), len(made.validation)) == (policy.test, policy.validation)
    assert len(made.fit) >= policy.minimum_fit
    rest = index - policy.test - policy.validation
    assert len(made.fit) == min(rest, policy.maximum_fit or rest)


def test_too_few_partitions_are_refused_with_the_numbers_and_what_to_do(weekly):
    with pytest.raises(TrainingError) as refused:
        plan(weekly, "2013-02-04", SplitPolicy(test=2, validation=1, minimum_fit=4))
    assert str(refused.value) == (
        "training set: 2013-02-04 has 4 partition(s) before it, 7 are needed (4 to fit, "
        "1 to validate, 2 to test); train as of a later partition"
    )


def test_the_limits_are_where_validation_testing_and_the_as_of_partition_begin(weekly):
    made = plan(weekly, "2013-03-04", SplitPolicy(test=2, validation=1, minimum_fit=4))
    assert made.validation == ("2013-02-11",)
    assert made.validation_from == "2013-02-11T00:00:00+00:00"
    assert made.fit_until == "2013-02-18T00:00:00+00:00"
    assert made.test_until == "2013-03-04T00:00:00+00:00"


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


@settings(deadline=None, max_examples=50)
@given(rows=ROWS, policy=POLICIES, cases=st.sampled_from(["all", "complete_cases"]))
def test_each_part_holds_exactly_the_rows_its_rule_names(weekly, rows, policy, cases):
    made = plan(weekly, AS_OF, policy, rows=cases)
    split = split_rows(made, *tables(rows), "id", "late")
    fit, tuning, validation, test = [], [], [], []
    limits = made.validation_from, made.fit_until, made.test_until
    validation_from, fit_until, test_until = map(datetime.fromisoformat, limits)
    for number, (hour, delay, late, value) in enumerate(rows):
        predicted = BEGIN + timedelta(hours=hour)
        known = predicted + timedelta(hours=delay)
        if late is None or (cases == "complete_cases" and value is None):
            continue
        if known <= fit_until and predicted < fit_until:
            fit.append(f"r{number}")
            if known <= validation_from and predicted < validation_from:
                tuning.append(f"r{number}")
            if predicted >= validation_from:
                validation.append(f"r{number}")
        if predicted >= fit_until and known <= test_until:
            test.append(f"r{number}")
    parts = (split.fit, split.tuning, split.validation, split.test)
    assert [part["id"].to_list() for part in parts] == [fit, tuning, validation, test]


@settings(deadline=None, max_examples=50)
@given(rows=ROWS, policy=POLICIES)
def test_every_label_fitted_on_was_known_before_every_row_tested_on_was_predicted(
    weekly, rows, policy
):
    split = split_rows(plan(weekly, AS_OF, policy), *tables(rows), "id", "late")
    for earlier, later in ((split.fit, split.test), (split.tuning, split.validation)):
        for known in earlier[KNOWN_AT]:
            assert all(known <= predicted for predicted in later[PREDICTED_AT])
    assert not set(split.fit["id"]) & set(split.test["id"])
    assert not set(split.tuning["id"]) & set(split.validation["id"])
    assert set(split.tuning["id"]) | set(split.validation["id"]) <= set(split.fit["id"])


@settings(deadline=None, max_examples=40)
@given(rows=ROWS, later=ROWS)
def test_what_becomes_known_after_the_training_date_changes_nothing(weekly, rows, later):
    made = plan(weekly, AS_OF)
    after = [(hour + 10 * 7 * 24, *rest) for hour, *rest in later]
    with_future = split_rows(made, *tables([*rows, *after]), "id", "late")
    without = split_rows(made, *tables(rows), "id", "late")
    for part in ("fit", "tuning", "validation", "test"):
        assert getattr(with_future, part).equals(getattr(without, part))


@settings(deadline=None, max_examples=40)
@given(rows=ROWS)
def test_a_split_is_judged_ordered_unless_a_part_is_empty(weekly, rows):
    split = split_rows(plan(weekly, AS_OF), *tables(rows), "id", "late")
    empty = [
        part for part in ("fit", "tuning", "validation", "test") if getattr(split, part).is_empty()
    ]
    verdict = judge_split(split)
    assert verdict.name == "split_is_time_ordered"
    assert verdict.outcome == ("failed" if empty else "passed")
    assert verdict.evidence["fit"] == split.fit.height
    if empty:
        assert verdict.reason == f"no rows to use for {', '.join(empty)}"


@pytest.mark.parametrize(
    ("hour", "delay", "parts"),
    [
        (0, 1, {"fit", "tuning"}),
        (7 * 168 - 2, 1, {"fit", "tuning"}),
        (7 * 168 - 2, 2, {"fit", "tuning"}),  # known just as validation begins
        (7 * 168 - 2, 3, {"fit"}),  # known too late for tuning
        (7 * 168, 1, {"fit", "validation"}),
        (8 * 168 - 2, 1, {"fit", "validation"}),
        (8 * 168 - 2, 2, {"fit", "validation"}),  # known just as testing begins
        (8 * 168 - 2, 3, set()),  # known too late to fit on
        (8 * 168, 0, {"test"}),  # predicted and known at once as testing begins: tested only
        (8 * 168, 1, {"test"}),
        (10 * 168 - 2, 1, {"test"}),
        (10 * 168 - 2, 2, {"test"}),  # known just as of the training date
        (10 * 168 - 2, 3, set()),  # not known yet
        (10 * 168, 1, set()),
    ],
)
def test_at_the_limits_a_row_belongs_to_the_part_that_could_know_it(weekly, hour, delay, parts):
    split = split_rows(plan(weekly, AS_OF), *tables([(hour, delay, True, 0.5)]), "id", "late")
    names = ("fit", "tuning", "validation", "test")
    assert {name for name in names if getattr(split, name).height} == parts


def test_a_split_that_is_not_ordered_fails_with_both_moments(weekly):
    rows = [(week * 168 + 1, 3, True, 0.5) for week in range(10)]
    good = split_rows(plan(weekly, AS_OF), *tables(rows), "id", "late")
    assert judge_split(good).passed
    mixed = dataclasses.replace(good, fit=pl.concat([good.fit, good.test]))
    verdict = judge_split(mixed)
    assert verdict.outcome == "failed"
    assert "was known 2013-03-11 04:00" in verdict.reason
    assert "was predicted 2013-03-04 01:00 UTC" in verdict.reason
