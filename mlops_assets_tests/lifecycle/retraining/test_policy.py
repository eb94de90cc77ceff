"""A policy that cannot be kept is refused when it is made, naming what is wrong."""

from __future__ import annotations

import pytest

from mlops_assets.lifecycle.retraining.policy import (
    PerformanceTrigger,
    RetrainingBudget,
    RetrainingPolicy,
    Triggers,
)


@pytest.mark.parametrize(("windows", "violated"), [(3, 0), (3, 4), (1, 2)])
def test_more_violated_windows_than_windows_or_none_are_refused(windows, violated):
    with pytest.raises(ValueError, match=f"between 1 and windows, got {violated} of {windows}"):
        RetrainingPolicy(windows=windows, violated=violated)


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (lambda: RetrainingPolicy(cooldown=-1), "cooldown must not be negative, got -1"),
        (lambda: RetrainingPolicy(evaluate_after=0), "evaluate_after must be at least 1, got 0"),
        (lambda: RetrainingBudget(retrainings=0), "retrainings must be at least 1, got 0"),
        (lambda: RetrainingBudget(partitions=0), "partitions must be at least 1, got 0"),
        (lambda: RetrainingBudget(false_per_year=0), "false_per_year must be above 0, got 0"),
        (lambda: RetrainingBudget(false_per_year=float("nan")), "false_per_year must be above 0"),
        (lambda: Triggers(every=0), "every must be at least 1, got 0"),
        (lambda: Triggers(new_rows=-5), "new_rows must be at least 1, got -5"),
        (lambda: PerformanceTrigger(worse_by=0), "worse_by must be above 0, got 0"),
        (lambda: PerformanceTrigger(worse_by=float("nan")), "worse_by must be above 0, got nan"),
        (lambda: PerformanceTrigger(minimum_labelled=0), "minimum_labelled must be at least 1"),
        (
            lambda: PerformanceTrigger("brrier"),
            "metric 'brrier' is not measured, allowed are auc, brier, log_loss, "
            "calibration_error; did you mean 'brier'",
        ),
    ],
)
def test_impossible_values_are_refused(made, said):
    with pytest.raises(ValueError, match=said):
        made()


def test_by_default_nothing_is_retrained_and_drift_alone_would_ask():
    policy = RetrainingPolicy()
    assert policy.mode == "disabled"
    assert policy.triggers == Triggers(drift=True, performance=None, every=None, new_rows=None)
