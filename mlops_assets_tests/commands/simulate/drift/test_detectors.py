"""Each detector says what its authors say."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from scipy import stats

from mlops_assets.commands.simulate.drift.detectors import (
    EvidentlyPreset,
    Ours,
    PlainTests,
    is_dataset_drift,
)
from mlops_assets.commands.simulate.drift.trials import (
    CHECKS,
    HALF,
    Found,
    judge_same,
    judge_shifted,
)
from mlops_assets.commands.simulate.drift.windows import Drawn, draw_window
from mlops_assets.lifecycle.drift.policy import DriftPolicy
from mlops_assets.lifecycle.training import Feature

SMALL = (
    Feature("distance", "numeric"),
    Feature("origin", "categorical"),
    Feature("temp", "numeric"),
)


@pytest.fixture(scope="module")
def drawn(real) -> Drawn:
    return draw_window(real, np.random.default_rng(2))


@pytest.fixture(scope="module")
def farther(drawn) -> Drawn:
    return drawn.changed(drawn.current.with_columns(pl.col("distance") * 1.5))


@pytest.mark.parametrize(
    "detector", [Ours(), PlainTests(), EvidentlyPreset()], ids=lambda d: d.name
)
def test_a_column_that_is_half_as_much_again_is_named_by_all(detector, drawn, farther):
    assert "distance" in detector.flag(farther, SMALL)
    assert not {"distance", "origin"} & detector.flag(drawn, SMALL)


def test_plain_tests_take_a_warm_week_for_drift_and_ours_does_not(real):
    windows = [draw_window(real, np.random.default_rng(seed)) for seed in range(8)]
    weather = [Feature("temp", "numeric")]
    assert sum(bool(PlainTests().flag(window, weather)) for window in windows) >= 7
    assert sum(bool(Ours().flag(window, weather)) for window in windows) <= 2


def test_plain_tests_are_those_of_scipy_with_benjamini_and_hochberg(farther):
    before, now = farther.reference, farther.current
    p_numbers = [stats.ks_2samp(before[n], now[n]).pvalue for n in ("distance", "temp")]
    levels = sorted(set(before["origin"]))
    table = [[int((side["origin"] == level).sum()) for level in levels] for side in (before, now)]
    p_values = [p_numbers[0], stats.chi2_contingency(table).pvalue, p_numbers[1]]
    order = np.argsort(p_values)
    passing = [rank for rank, i in enumerate(order, 1) if p_values[i] <= 0.05 * rank / 3]
    expected = {SMALL[i].name for i in order[: max(passing, default=0)]}
    assert PlainTests().flag(farther, SMALL) == expected


@pytest.mark.parametrize("kind", ["numeric", "categorical"])
def test_plain_tests_say_nothing_of_a_column_without_values(drawn, kind):
    name = {"numeric": "distance", "categorical": "origin"}[kind]
    empty = drawn.changed(
        drawn.current.with_columns(pl.lit(None, drawn.current[name].dtype).alias(name))
    )
    assert PlainTests().flag(empty, [Feature(name, kind)]) == frozenset()


def test_a_column_means_the_same_to_evidently_whichever_others_it_is_asked_with(farther):
    preset = EvidentlyPreset()
    alone = {feature.name for feature in SMALL if preset.flag(farther, [feature])}
    assert alone == preset.flag(farther, SMALL)


def test_half_of_the_columns_are_a_dataset_drift():
    names = [Feature(name, "numeric") for name in "abcd"]
    assert is_dataset_drift(frozenset("ab"), names)
    assert not is_dataset_drift(frozenset("ax"), names)


def test_a_window_that_was_not_compared_is_no_window_without_drift(drawn):
    with pytest.raises(ValueError, match="nothing was compared"):
        Ours(DriftPolicy(minimum_rows=10**6)).flag(drawn, SMALL)


def test_a_window_without_drift_is_judged_by_each_detector_as_often_as_features_go(real):
    flags = judge_same(real, "days", (1, 2), evidently=True)
    assert list(flags) == ["ours", CHECKS, "KS/chi2 + BH", "Evidently's preset", HALF]
    assert all(flags["ours"][count] for count in flags["ours"] if flags[CHECKS][count])
    assert {tuple(counts) for counts in flags.values()} == {(10,)}  # it has 12 features, not 17
    fast = judge_same(real, "weeks", (1, 2), evidently=False)
    assert list(fast) == ["ours", CHECKS, "KS/chi2 + BH"]


def test_a_shift_is_tried_on_each_of_its_columns_in_turn(real):
    found = [judge_shifted(real, "x 1.5", n, (5, n), evidently=n == 0) for n in range(5)]
    assert {each.column for each in found} == {"distance", "seats", "fare", "minutes", "age"}
    assert set(found[0].found) == {"ours", "KS/chi2 + BH", "Evidently's preset"}
    assert set(found[1].found) == set(found[1].anything) == {"ours", "KS/chi2 + BH"}
    assert all(each.found["ours"] and each.anything["ours"] for each in found)


def test_the_same_seed_finds_the_same(real):
    once, again = (judge_shifted(real, "1 % poisoned", 3, (9,), evidently=False) for _ in range(2))
    assert isinstance(once, Found)
    assert once == again
