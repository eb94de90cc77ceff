"""Whether a retraining helped: shown beyond the noise of days, or undecided."""

from __future__ import annotations

import numpy as np
import pytest

from mlops_assets.lifecycle.errors import TrainingError
from mlops_assets.lifecycle.resampling import compare_models
from mlops_assets.lifecycle.retraining.outcome import Replacement, judge_outcome

REPLACED = Replacement("2013-05-27", "drift", "v1", "v2")
WEEKS = ("2013-05-27", "2013-06-03")


def rows(days: int = 14, a_day: int = 60, seed: int = 7):
    """Truth with its own probability, and the day of each row."""
    random = np.random.default_rng(seed)
    chance = random.uniform(0.05, 0.95, days * a_day)
    truth = (random.random(days * a_day) < chance).astype(int)
    return truth, chance, np.repeat(np.arange(days), a_day)


def judge(truth, before, after, days):
    return judge_outcome(REPLACED, WEEKS, "labels", truth, before, after, days, seed=7)


def test_a_model_that_knows_more_helped_and_one_that_knows_less_hurt():
    truth, chance, days = rows()
    guess = np.full_like(chance, truth.mean())
    helped, hurt = judge(truth, guess, chance, days), judge(truth, chance, guess, days)
    assert (helped.outcome, hurt.outcome) == ("helped", "hurt")
    assert helped.difference["high"] < 0 < hurt.difference["low"]


def test_two_equal_models_leave_it_undecided():
    truth, chance, days = rows()
    noise = np.random.default_rng(1).normal(0, 0.01, len(chance))
    found = judge(truth, chance, np.clip(chance + noise, 0, 1), days)
    assert found.outcome == "undecided"


def test_below_two_days_nothing_is_shown_however_large_the_difference():
    truth, chance, days = rows(days=1)
    found = judge(truth, 1 - chance, chance, days)
    assert found.outcome == "undecided"
    assert (found.difference["low"], found.difference["high"]) == (None, None)


def test_given_fewer_days_than_can_tell_then_the_reason_says_what_to_raise():
    truth, chance, days = rows(days=5)
    found = judge(truth, 1 - chance, chance, days)
    assert found.outcome == "undecided"
    assert found.reason.endswith("below 6 days it may be luck, raise retraining.evaluate_after")
    truth, chance, days = rows(days=6)
    assert judge(truth, 1 - chance, chance, days).outcome == "helped"


def test_the_numbers_are_those_of_the_rows_and_of_resampled_days():
    truth, chance, days = rows()
    before = np.clip(chance + 0.1, 0, 1)
    found = judge(truth, before, chance, days)
    assert found.brier["before"] == pytest.approx(np.mean((truth - before) ** 2))
    assert found.brier["after"] == pytest.approx(np.mean((truth - chance) ** 2))
    assert found.difference == compare_models(truth, chance, before, days, "brier", seed=7).plain
    assert found.difference["value"] == pytest.approx(found.brier["after"] - found.brier["before"])


def test_it_says_which_versions_which_weeks_and_how_many_rows():
    truth, chance, days = rows()
    found = judge(truth, chance, chance, days)
    assert (found.before, found.after, found.as_of, found.trigger) == (
        "v1",
        "v2",
        "2013-05-27",
        "drift",
    )
    assert (found.partitions, found.rows, found.labels) == (WEEKS, 840, "labels")
    assert "on the same 840 rows of 2 partition(s): +0.0000" in found.reason


def test_rows_of_one_class_are_refused():
    truth, chance, days = rows()
    with pytest.raises(TrainingError):
        judge(np.zeros_like(truth), chance, chance, days)
