"""A few months of Seattle's weather through the real graph, by three policies."""

from __future__ import annotations

import pytest
from sklearn.metrics import brier_score_loss

from mlops_assets.adapters.journal import read_champion
from mlops_assets.commands.replay_year.place import open_location, stop_server
from mlops_assets.commands.replay_year.policies import apply_policy
from mlops_assets.commands.replay_year.stream import Stream
from mlops_assets.commands.replay_year.weeks import Course
from mlops_assets.commands.replay_year.yardstick import measure_weekly
from mlops_assets_tests.commands.replay_year.conftest import MONTHS
from mlops_assets_tests.long_form import takes_minutes

pytestmark = takes_minutes


def live(place, model, policy):
    """The course of a policy, and the resources it left."""
    chosen = apply_policy(model, policy)
    state = place.begin(policy)
    location, resources, clock = open_location(chosen, state)
    try:
        weeks = list(Stream(location, resources, clock).run(MONTHS))
    finally:
        stop_server(state)
    return Course(policy, weeks), resources


@pytest.fixture(scope="module")
def never(prepared, rain):
    return live(prepared, rain, "never")


@pytest.fixture(scope="module")
def monthly(prepared, rain):
    return live(prepared, rain, "monthly")


@pytest.fixture(scope="module")
def weekly(prepared, rain):
    return measure_weekly(rain, MONTHS, prepared.base, every=1)


def test_never_answers_every_row_with_its_first_version_and_trains_no_more(never):
    course, resources = never
    assert [week.champion for week in course.weeks] == ["v1"] * len(MONTHS)
    assert [week.rows for week in course.weeks] == [31, 28, 31, 30]
    assert course.fits == 0
    assert sum(week.failed_requests for week in course.weeks) == 0
    assert len(resources["ledger"].history("version", "seattle_rain")) == 1


def test_the_realised_score_is_that_of_the_answers_and_their_labels(never, rain):
    course, resources = never
    tables = resources["tables"]
    answers = tables.read(rain.table("predictions"), [MONTHS[1]])
    labels = tables.read(rain.table("labels"), [MONTHS[1]])
    both = answers.join(labels, left_on="entity", right_on="day")
    expected = brier_score_loss(both["rain"].cast(int), both["probability"])
    assert course.weeks[1].brier == pytest.approx(expected)
    assert course.weeks[1].late_rate == pytest.approx(both["rain"].cast(int).mean())


def test_what_is_recorded_carries_the_simulated_time(never):
    _, resources = never
    ledger = resources["ledger"]
    for month in MONTHS:
        (*_, row) = ledger.history("performance", "seattle_rain", month)
        assert row.at.strftime("%Y-%m") > month[:7]
        assert row.at.year == 2015
    assert read_champion(ledger, "seattle_rain").train_as_of == MONTHS[0]


def test_in_the_first_week_yardstick_and_policy_have_the_same_model(never, weekly):
    first, same = never[0].weeks[0], weekly.weeks[0]
    assert {day: total for day, (total, _) in first.days.items()} == pytest.approx(
        {day: total for day, (total, _) in same.days.items()}
    )
    later = zip(never[0].weeks, weekly.weeks, strict=True)
    assert all(one.days.keys() == other.days.keys() for one, other in later)


def test_the_yardstick_fits_each_week_but_the_first(weekly):
    assert [week.asked for week in weekly.weeks] == [None, *MONTHS[1:]]


def test_monthly_trains_after_its_fourth_partition_as_of_the_next(monthly):
    course, _ = monthly
    assert [week.asked for week in course.weeks] == [None, None, None, "2015-05-01"]


def test_labels_have_come_by_the_time_a_month_is_monitored(never):
    _, resources = never
    row = resources["ledger"].latest("performance", "seattle_rain", MONTHS[0])
    assert row.body["v1"]["labelled"] == 31
