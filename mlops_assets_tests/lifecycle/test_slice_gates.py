"""Slices: which are judged, which of them are surely bad, and how seldom chance is blamed."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import t as student

from mlops_assets.lifecycle.gate_policies import SliceGate
from mlops_assets.lifecycle.metrics import METRICS, measure_metrics
from mlops_assets.lifecycle.resampling import Interval, compare_models
from mlops_assets.lifecycle.slice_gates import ComparedRows, correct_for_many, judge_slices

ORDER = {"failed": 0, "inconclusive": 1, "passed": 2}


def logistic(logit: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-logit))


def simulate(seed: int, *, days: int = 14, per_day: int = 200, noise: float = 0.35) -> ComparedRows:
    """Two models that are equally good but for ``noise``; both err by the day as well."""
    random = np.random.default_rng(seed)
    day = np.repeat(np.arange(days), per_day)
    logit = random.normal(size=len(day)) - 1.0 + random.normal(size=days)[day] * 0.5

    def model(noise: float) -> np.ndarray:
        own = random.normal(size=len(day)) * noise + random.normal(size=days)[day] * 0.15
        return logistic(logit + own)

    truth = (random.random(len(day)) < logistic(logit)).astype(int)
    return ComparedRows(truth, model(noise), model(0.35), day)


def spoil(rows: ComparedRows, where: np.ndarray) -> ComparedRows:
    """The challenger says the opposite there."""
    probability = np.where(where, 1 - rows.probability, rows.probability)
    return ComparedRows(rows.truth, probability, rows.champion, rows.days)


def carriers(rows: ComparedRows, **counts: int) -> dict[str, np.ndarray]:
    """Rows dealt to carriers in turn; what is left over is one large carrier."""
    values = np.full(len(rows.truth), "rest", dtype=object)
    at = 0
    order = np.random.default_rng(0).permutation(len(rows.truth))
    for name, count in counts.items():
        values[order[at : at + count]] = name
        at += count
    return {"carrier": values}


@pytest.fixture
def rows() -> ComparedRows:
    return simulate(1)


@pytest.mark.parametrize("metric", METRICS)
def test_one_bad_slice_among_good_ones_fails_and_is_the_one_named(rows, metric):
    slices = carriers(rows, AA=400, UA=400)
    bad = spoil(rows, slices["carrier"] == "UA")
    verdict = judge_slices(bad, slices, SliceGate(metric), seed=1)
    assert (verdict.name, verdict.outcome) == ("no_slice_is_worse", "failed")
    assert verdict.reason.startswith(
        "1 of 3 slices surely beyond what is allowed; carrier=UA, 400 "
    )
    assert "carrier=AA" not in verdict.reason
    assert "at most 0.05 worse is allowed" in verdict.reason
    assert verdict.evidence["findings"][0]["slice"] == "carrier=UA"


def test_given_no_bad_slice_then_it_passes_and_names_the_worst_with_numbers(rows):
    verdict = judge_slices(rows, carriers(rows, AA=400, UA=400), SliceGate(), seed=1)
    assert verdict.passed
    assert verdict.reason.startswith("0 of 3 slices surely beyond what is allowed; worst: carrier=")
    assert [len(verdict.evidence["findings"]), verdict.evidence["unjudged"]] == [3, 0]
    json.dumps(verdict.evidence, allow_nan=False)


@pytest.mark.parametrize(("count", "outcome"), [(299, "passed"), (300, "failed")])
def test_a_slice_is_judged_from_the_fewest_rows_on_and_counted_below(rows, count, outcome):
    slices = carriers(rows, UA=count)
    verdict = judge_slices(spoil(rows, slices["carrier"] == "UA"), slices, SliceGate(), seed=1)
    assert verdict.outcome == outcome
    assert verdict.evidence["unjudged"] == (1 if outcome == "passed" else 0)
    assert ("1 too small to judge" in verdict.reason) == (outcome == "passed")


@pytest.mark.parametrize(("days", "outcome"), [(5, "passed"), (6, "failed")])
def test_a_slice_of_a_handful_of_days_is_not_judged(rows, days, outcome):
    slices = {"season": np.where(rows.days < days, "new", "old")}
    verdict = judge_slices(spoil(rows, rows.days < days), slices, SliceGate(), seed=1)
    assert verdict.outcome == outcome


def test_a_slice_of_one_class_is_not_judged(rows):
    slices = {"label": np.where(rows.truth == 1, "late", "on time")}
    verdict = judge_slices(rows, slices, SliceGate(), seed=1)
    assert verdict.outcome == "inconclusive"
    assert verdict.evidence == {"judged": 0, "unjudged": 2}


@pytest.mark.parametrize("slices", [{}, {"id": np.arange(2800)}])
def test_given_no_slice_that_can_be_judged_then_it_is_inconclusive(rows, slices):
    verdict = judge_slices(rows, slices, SliceGate(), seed=1)
    assert verdict.outcome == "inconclusive"
    assert "none can be judged" in verdict.reason


def test_rows_without_a_value_are_a_slice_of_their_own(rows):
    values = carriers(rows, UA=400)["carrier"]
    values[values == "UA"] = None
    verdict = judge_slices(spoil(rows, values == None), {"engine": values}, SliceGate(), seed=1)  # noqa: E711
    assert verdict.outcome == "failed"
    assert "engine=missing, 400 rows" in verdict.reason


# --- the limit -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("metric", "near", "far", "said"),
    [("brier", 0.25, 0.15, "at most 0.15 is asked"), ("auc", 0.6, 0.9, "at least 0.9 is asked")],
)
def test_without_a_champion_the_limit_holds_for_every_slice(rows, metric, near, far, said):
    alone = ComparedRows(rows.truth, rows.probability, None, rows.days)
    slices = carriers(rows, UA=600)
    assert judge_slices(alone, slices, SliceGate(metric, limit=near), seed=1).passed
    verdict = judge_slices(alone, slices, SliceGate(metric, limit=far), seed=1)
    assert verdict.outcome == "failed"
    assert said in verdict.reason
    assert {finding["against"] for finding in verdict.evidence["findings"]} == {"limit"}


def test_a_slice_only_slightly_beyond_the_limit_is_not_surely_beyond(rows):
    slices = carriers(rows, UA=300)
    inside = slices["carrier"] == "UA"
    value = measure_metrics(rows.truth[inside], rows.probability[inside])["brier"]
    verdict = judge_slices(rows, slices, SliceGate(limit=value - 1e-4), seed=1)
    assert verdict.passed


def test_with_both_a_champion_and_a_limit_each_slice_is_held_to_both(rows):
    verdict = judge_slices(rows, carriers(rows, UA=600), SliceGate(limit=0.3), seed=1)
    found = [(finding["slice"], finding["against"]) for finding in verdict.evidence["findings"]]
    assert sorted(found) == [
        (f"carrier={name}", against) for name in ("UA", "rest") for against in ("champion", "limit")
    ]


# --- how sure ------------------------------------------------------------------------------------


@settings(max_examples=30)
@given(
    seed=st.integers(0, 20),
    noise=st.sampled_from([0.35, 1.5, 4.0]),
    margins=st.tuples(st.floats(0, 0.2), st.floats(0, 0.2)),
)
def test_a_wider_margin_never_judges_worse(seed, noise, margins):
    made = simulate(seed, per_day=60, noise=noise)
    slices = carriers(made, UA=400)
    outcomes = [
        ORDER[judge_slices(made, slices, SliceGate(margin=margin), seed=1).outcome]
        for margin in sorted(margins)
    ]
    assert outcomes == sorted(outcomes)


def test_a_slice_fails_from_where_its_low_end_lies_above_the_margin(rows):
    slices = carriers(rows, UA=400)
    bad = spoil(rows, slices["carrier"] == "UA")
    low = judge_slices(bad, slices, SliceGate(), seed=1).evidence["findings"][0]["low"]
    assert judge_slices(bad, slices, SliceGate(margin=low), seed=1).passed
    assert judge_slices(bad, slices, SliceGate(margin=low - 1e-9), seed=1).outcome == "failed"


def test_predictions_that_are_no_number_never_pass(rows):
    broken = ComparedRows(rows.truth, rows.probability * math.nan, rows.champion, rows.days)
    assert not judge_slices(broken, carriers(rows, UA=400), SliceGate(), seed=1).passed


@given(
    below=st.floats(0, 1),
    above=st.floats(0, 1),
    days=st.integers(2, 60),
    comparisons=st.integers(1, 100),
    confidence=st.floats(0.5, 0.99),
)
def test_an_interval_for_many_is_that_of_students_t_at_the_level_of_bonferroni(
    below, above, days, comparisons, confidence
):
    one = Interval(0.3, 0.3 - below, 0.3 + above, days)
    many = correct_for_many(one, confidence, comparisons)
    tail = (1 - confidence) / 2
    wider = student.isf(tail / comparisons, days - 1) / student.isf(tail, days - 1)
    assert many.value - many.low == pytest.approx(below * wider, rel=1e-6, abs=1e-9)
    assert many.high - many.value == pytest.approx(above * wider, rel=1e-6, abs=1e-9)
    assert (many.value, many.days) == (one.value, one.days)
    assert wider >= 1 - 1e-12


def test_an_interval_without_ends_stays_so():
    assert correct_for_many(Interval(0.1, -math.inf, math.inf, 1), 0.95, 9).low == -math.inf
    assert correct_for_many(Interval(0.1, -math.inf, math.inf, 9), 0.95, 9).high == math.inf


def test_chance_is_seldom_blamed_on_one_of_many_equally_good_slices():
    """20 slices on 14 days, 40 worlds, no margin: 5 % two-sided, so 2.5 % of worlds may fail.

    Without the correction most worlds blame some slice, so the test can tell.
    """
    gate = SliceGate(margin=0.0, minimum_rows=100)
    blamed = uncorrected = 0
    for world in range(40):
        made = simulate(world, per_day=20 * 20)
        values = np.tile(np.arange(20), len(made.truth) // 20)
        blamed += judge_slices(made, {"slice": values}, gate, seed=world).outcome == "failed"
        uncorrected += any(
            compare_models(
                part.truth, part.probability, part.champion, part.days, "brier", seed=world
            ).low
            > 0
            for part in (made.within(values == value) for value in range(20))
        )
    assert blamed <= 5
    assert uncorrected >= 10


def test_a_slice_that_is_worse_by_far_is_blamed_in_nearly_every_world():
    found = 0
    for world in range(20):
        made = simulate(world, per_day=100)
        slices = carriers(made, UA=300)
        bad = spoil(made, slices["carrier"] == "UA")
        found += judge_slices(bad, slices, SliceGate(), seed=world).outcome == "failed"
    assert found >= 19
