"""Copies beside answers: held against a plain loop over the log."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_assets.lifecycle.rollout.labelled import build_outcomes, join_labels
from mlops_assets.lifecycle.rollout.shadow_report import compare_shadow, pair_answers

AT = datetime(2013, 6, 1, tzinfo=UTC)
SCHEMA: dict[str, Any] = {
    "request_id": pl.String,
    "row": pl.Int64,
    "version": pl.String,
    "arm": pl.String,
    "routed": pl.Boolean,
    "unit": pl.String,
    "canary": pl.String,
    "weight": pl.Int64,
    "received_at": pl.Datetime("us", "UTC"),
    "entity": pl.String,
    "probability": pl.Float64,
}


def line(
    request: int,
    probability: float | None,
    *,
    arm: str | None = "primary",
    version: str = "v1",
    unit: str | None = None,
    row: int = 0,
    routed: bool = True,
    weight: int = 0,
    entity: str | None = None,
) -> dict[str, Any]:
    unit = unit or f"unit {request}"
    return {
        "request_id": f"request {request}",
        "row": row,
        "version": version,
        "arm": arm,
        "routed": routed,
        "unit": unit,
        "canary": "v2",
        "weight": weight,
        "received_at": AT + timedelta(seconds=request),
        "entity": entity or unit,
        "probability": probability,
    }


def copy(request: int, probability: float | None, **kept: Any) -> dict[str, Any]:
    return line(request, probability, arm="shadow", version="v2", routed=False, **kept)


def table(*lines: dict[str, Any]) -> pl.DataFrame:
    return pl.DataFrame(list(lines), schema=SCHEMA)


def compare(*lines: dict[str, Any], threshold: float = 0.5, slices: Any = ()) -> Any:
    pairs = pair_answers(table(*lines))
    parts = {"part": np.array(slices, dtype=object)} if len(slices) else {}
    return compare_shadow(pairs, threshold, parts)


def labels(known: dict[str, float | None], days: int = 0) -> pl.DataFrame:
    rows = [
        {"entity": name, "label": label, "known_at": AT + timedelta(days=days)}
        for name, label in known.items()
    ]
    kinds = {"entity": pl.String, "label": pl.Float64, "known_at": pl.Datetime("us", "UTC")}
    return pl.DataFrame(rows, schema=kinds)


def test_each_side_of_the_threshold_is_counted():
    seen = compare(
        *(line(n, p) for n, p in enumerate((0.2, 0.4, 0.6, 0.8))),
        *(copy(n, p) for n, p in enumerate((0.1, 0.5, 0.4, 0.9))),
    )
    assert (seen.units, seen.failed, seen.agreement) == (4, 0, 0.5)
    assert seen.shift == pytest.approx(-0.025)
    assert seen.slices[0] == {
        "slice": "all",
        "value": "",
        "rows": 4,
        "agreement": 0.5,
        "shift": pytest.approx(-0.025),
        "raised": 1,
        "lowered": 1,
    }
    assert seen.differences is None


def test_a_copy_that_failed_counts_and_one_that_was_dropped_does_not():
    seen = compare(line(1, 0.2), copy(1, 0.2), line(2, 0.2), copy(2, None), line(3, 0.2))
    assert (seen.units, seen.failed, seen.agreement) == (2, 1, 1.0)


def test_requests_of_callers_that_send_one_id_for_all_are_told_apart():
    lines = [line(n, p) for n, p in enumerate((0.2, 0.4, 0.6))]
    copies = [copy(n, p) for n, p in enumerate((0.2, None, 0.4))]
    seen = compare(*({**each, "request_id": "1"} for each in (*lines, *copies)))
    assert (seen.units, seen.failed, seen.agreement) == (3, 1, 0.5)


def test_a_request_that_nobody_answered_makes_no_pair():
    assert compare(line(1, None), copy(1, 0.2)).units == 0


@pytest.mark.parametrize("other", [{"arm": None, "routed": False}, {"routed": False}])
def test_only_what_the_routing_gave_is_compared(other):
    assert compare(line(1, 0.2, **other), copy(1, 0.2)).units == 0


def test_a_unit_that_asks_often_is_one_pair():
    lines = [each for n in range(9) for each in (line(n, 0.2, unit="a"), copy(n, 0.9, unit="a"))]
    assert compare(*lines).units == 1


def test_all_rows_of_a_units_first_request_count():
    asked = [line(1, 0.2, row=n) for n in range(4)]
    seen = compare(*asked, *(copy(1, 0.2 + 0.2 * n, row=n) for n in range(4)))
    assert (seen.units, seen.agreement) == (1, 0.5)


def test_slices_are_measured_apart():
    seen = compare(
        *(line(n, 0.2) for n in range(3)),
        *(copy(n, p) for n, p in enumerate((0.2, 0.9, 0.9))),
        slices=["a", "a", "b"],
    )
    _, a, b = seen.slices
    assert (a["value"], a["rows"], a["agreement"], a["raised"]) == ("a", 2, 0.5, 1)
    assert (b["value"], b["rows"], b["agreement"], b["raised"]) == ("b", 1, 0.0, 1)


def test_nothing_seen_is_no_disagreement():
    seen = compare()
    assert (seen.units, seen.failed, seen.agreement, seen.shift) == (0, 0, 1.0, 0.0)


def test_labels_give_the_difference_of_the_losses_in_the_order_they_became_known():
    lines = [line(n, 0.5) for n in range(3)] + [copy(n, p) for n, p in enumerate((0.0, 1.0, 0.5))]
    early = labels({"unit 1": 1.0})
    late = labels({"unit 0": 1.0, "unit 2": None}, days=1)
    pairs = join_labels(pair_answers(table(*lines)), pl.concat([late, early]))
    seen = compare_shadow(pairs, 0.5, {})
    assert seen.differences.tolist() == [0.0 - 0.25, 1.0 - 0.25]
    assert seen.units == 3


ANSWERS = st.lists(
    st.tuples(
        st.sampled_from("abcdef"),  # unit
        st.integers(0, 10),  # tenths of the answer's probability
        st.one_of(st.none(), st.integers(-1, 10)),  # of the copy: none, failed, tenths
    ),
    max_size=30,
)


@given(ANSWERS, st.integers(1, 9))
def test_a_comparison_is_what_a_plain_loop_finds(asked, tenths):
    lines, first = [], {}
    for number, (unit, answer, copied) in enumerate(asked):
        lines.append(line(number, answer / 10, unit=unit))
        if copied is not None:
            given_back = None if copied < 0 else copied / 10
            lines.append(copy(number, given_back, unit=unit))
            first.setdefault(unit, (answer / 10, given_back))
    seen = compare(*lines, threshold=tenths / 10)
    both = [(a, c) for a, c in first.values() if c is not None]
    same = sum((a >= tenths / 10) == (c >= tenths / 10) for a, c in both)
    assert (seen.units, seen.failed) == (len(first), len(first) - len(both))
    assert seen.agreement == (pytest.approx(same / len(both)) if both else 1.0)
    moved = [c - a for a, c in both]
    assert seen.shift == pytest.approx(sum(moved) / len(moved) if moved else 0.0)


class TestOutcomes:
    def outcomes(self, lines, known):
        return build_outcomes(join_labels(table(*lines), known))

    def test_the_first_answer_of_each_unit_is_scored(self):
        lines = [
            line(1, 0.2, unit="a", weight=10),
            line(2, 0.8, unit="b", weight=10, arm="canary", version="v2"),
            line(3, 0.9, unit="a", weight=50, entity="a again"),
        ]
        seen = self.outcomes(lines, labels({"a": 1.0, "b": 1.0, "a again": 0.0}))
        assert seen.loss.tolist() == pytest.approx([0.64, 0.04])
        assert seen.canary.tolist() == [False, True]
        assert seen.share.tolist() == [0.1, 0.1]

    def test_a_unit_whose_first_answer_has_no_label_yet_waits_for_it(self):
        lines = [line(1, 0.2, unit="a", weight=10, entity="x"), line(2, 0.2, unit="a", weight=10)]
        assert self.outcomes(lines, labels({"a": 1.0})).loss.size == 0

    @pytest.mark.parametrize(
        "other",
        [{"weight": 0}, {"routed": False}, {"arm": None, "routed": False}],
        ids=["shadow phase", "stepped in", "named"],
    )
    def test_what_was_not_assigned_does_not_count(self, other):
        asked = {"weight": 10, **other}
        assert self.outcomes([line(1, 0.2, **asked)], labels({"unit 1": 1.0})).loss.size == 0

    def test_a_request_that_failed_has_no_outcome(self):
        assert self.outcomes([line(1, None, weight=10)], labels({"unit 1": 1.0})).loss.size == 0

    @given(st.permutations(range(6)), st.integers(0, 6))
    def test_what_is_known_later_never_comes_before_what_was_known(self, order, known):
        """At any look the losses are the beginning of those at every later one."""
        lines = [line(n, n / 10, weight=50) for n in range(6)]
        days = {unit: day for day, unit in enumerate(order)}

        def look(day: int) -> list[float]:
            told = [labels({f"unit {u}": 0.0}, days=d + 1) for u, d in days.items() if d < day]
            return self.outcomes(lines, pl.concat([labels({}), *told])).loss.tolist()

        assert look(known) == look(6)[:known]
