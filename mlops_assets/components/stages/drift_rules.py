"""The rules of drift in words, for the people who get its alarms."""

from __future__ import annotations

from mlops_assets.lifecycle.drift.policy import DriftPolicy
from mlops_assets.lifecycle.drift.report import ColumnDrift, DriftReport
from mlops_assets.lifecycle.drift.tails import NEARLY_ALL
from mlops_assets.lifecycle.retraining.policy import RetrainingPolicy


def say_rules(policy: DriftPolicy, retraining: RetrainingPolicy) -> tuple[str, ...]:
    """When something is flagged, when a window drifts, and what follows from that."""
    ignored = f", without {', '.join(policy.ignore)}" if policy.ignore else ""
    rate = f"{policy.false_discovery_rate:g}"
    return (
        "whole days, dealt out at random between reference and window "
        f"{policy.permutations:,} times or more, say how often chance does as much; over all tests "
        f"of the window together chance may flag a share of {rate} (Benjamini-Hochberg)",
        "shape: flagged when the gap between reference and window is at least "
        f"{policy.minimum_effect:g} (0 to 1), and its adjusted p-value at most {rate}",
        "missing: flagged when missing values are more, by at least "
        f"{policy.missing:.1%} of the rows, than in the worst stretch of the reference as long as "
        f"the window, and the adjusted p-value is at most {rate}",
        "unseen: flagged when levels that the reference never has make up at least "
        f"{policy.unseen:.1%} of the rows more than new ones do in any stretch of it as long, or a "
        "number it never has recurs in as many rows on several days, and the adjusted p-value is "
        f"at most {rate}",
        f"range: flagged when at least {policy.tail:.1%} of the rows, on several days, lie outside "
        "the reference's range by more than three times its width; or, with an adjusted p-value of "
        f"at most {rate}, as many more than in the worst stretch of the reference as long as the "
        f"window lie outside the middle {NEARLY_ALL:.0%} of all rows by more than its width",
        "an alarm is any flag; the reference no longer holds when the features whose shape is "
        f"flagged weigh {policy.drift_share:.0%} or more by importance{ignored}; values are not "
        "intact when anything is missing, unseen or out of range",
        f"compared are the {policy.reference} partitions before the training date; less than "
        f"{policy.minimum_rows} rows or {policy.minimum_days} days on a side is inconclusive, "
        "and so are too few days to flag one column among all",
        f"a retraining is asked for when {retraining.violated} of the last {retraining.windows} "
        f"windows drifted; a data bug never asks (retraining is "
        f"{retraining.mode.replace('_', ' ')})",
        "these rules decide; what Evidently's page calls drift comes from other tests",
    )


def say_alarm(report: DriftReport) -> str:
    """Whether anything was flagged, and what of which columns."""
    flagged = [column for column in report.columns if column.flagged]
    if not flagged and report.verdict.outcome == "inconclusive":
        return f"cannot tell: {report.verdict.reason}"
    if not flagged:
        return f"no: none of {len(report.columns)} columns is flagged"
    named = "; ".join(f"{column.column} ({say_flags(column)})" for column in flagged[:10])
    more = f" and {len(flagged) - 10} more" if len(flagged) > 10 else ""
    return f"yes: {len(flagged)} of {len(report.columns)} columns flagged: {named}{more}"


def say_flags(column: ColumnDrift) -> str:
    """What was flagged of a column, in a word each; empty when nothing was."""
    shape = ["shape"] if column.drifted else []
    return ", ".join([*shape, *(finding.aspect for finding in column.findings)])
