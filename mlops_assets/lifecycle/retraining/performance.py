"""Whether a version's answers were as good as its test promised."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from mlops_assets.lifecycle.metrics import HIGHER_IS_BETTER
from mlops_assets.lifecycle.retraining.policy import PerformanceTrigger
from mlops_assets.lifecycle.verdicts import Verdict

if TYPE_CHECKING:
    from mlops_assets.lifecycle.performance import PerformanceReport

AS_GOOD = "answers_are_as_good_as_the_test"


def judge_performance(
    report: PerformanceReport | None,
    tested: Mapping[str, float],
    trigger: PerformanceTrigger,
) -> Verdict:
    """A partition's labelled answers beside the metrics of the version's own test.

    Failed when the metric is worse by more than the share ``worse_by`` of the tested value;
    inconclusive with too few labelled rows, without a test to compare with, or for the AUC of rows
    of one class.
    """
    labelled = report.labelled if report else 0
    metric = trigger.metric
    found, expected = (report.metrics if report else {}).get(metric), tested.get(metric)
    if labelled < trigger.minimum_labelled:
        said = f"{labelled} labelled rows, {trigger.minimum_labelled} are needed"
        return Verdict(AS_GOOD, "inconclusive", said, {"labelled": labelled})
    if found is None or expected is None:
        where = "these rows" if found is None else "its own test"
        said = f"{metric} was not measured on {where}"
        return Verdict(AS_GOOD, "inconclusive", said, {"labelled": labelled})
    higher = metric in HIGHER_IS_BETTER
    margin = trigger.worse_by * abs(expected)
    bound = expected - margin if higher else expected + margin
    worse = found < bound if higher else found > bound
    said = (
        f"{metric} {found:.4f} on {labelled:,} labelled rows, {expected:.4f} in its test "
        f"({'at least' if higher else 'at most'} {bound:.4f} is as good)"
    )
    evidence = {"labelled": labelled, "found": found, "tested": expected, "bound": bound}
    return Verdict(AS_GOOD, "failed" if worse else "passed", said, evidence)
