"""The picture of a backtest: PNG that shows what it was given."""

from __future__ import annotations

import io
from dataclasses import replace

import matplotlib.image
import numpy as np
import pytest

from mlops_assets.adapters import backtest_plots
from mlops_assets.adapters.backtest_plots import draw_backtest
from mlops_assets.lifecycle.backtest import replay

BLUE, RED, GREY = "3355aa", "c0392b", "9aa3ad"
WEEKS = [f"2013-{month:02d}-{day:02d}" for month in (3, 4, 5) for day in (1, 8, 15, 22)]


def done(weeks=WEEKS, replaced_at=6):
    """A frozen model that gets worse, one a week that does not, and one more on drift."""
    first, later = weeks[0], weeks[min(replaced_at, len(weeks) - 1)]
    plans = {
        "frozen": dict.fromkeys(weeks, first),
        "scheduled": {week: week for week in weeks},
        "drift_triggered": {week: first if week < later else later for week in weeks},
    }

    def measure(as_of, week):
        age = weeks.index(week) - weeks.index(as_of)
        return {"auc": 0.75 - 0.01 * age, "brier": 0.15 + 0.005 * age}

    return {strategy: replay(strategy, plan, measure) for strategy, plan in plans.items()}


def image(png):
    return (matplotlib.image.imread(io.BytesIO(png))[..., :3] * 255).round()


def pixels(png, colour):
    """How many pixels have about this colour: a thin line is mixed with what is below it."""
    wanted = [int(colour[at : at + 2], 16) for at in (0, 2, 4)]
    return int(np.all(abs(image(png) - wanted) < 30, axis=-1).sum())


def drawn(monkeypatch, replayed, metric):
    """The axes of a picture, looked at before they become pixels."""
    kept = []

    def keep(figure):
        kept.append(figure.axes[0])
        return b""

    monkeypatch.setattr(backtest_plots, "to_png", keep)
    draw_backtest(replayed, metric)
    return kept[0]


@pytest.mark.parametrize("metric", ["auc", "brier"])
def test_a_picture_is_a_whole_png_with_a_colour_for_each_strategy(metric):
    png = draw_backtest(done(), metric)
    height, width = image(png).shape[:2]
    assert 300 <= width <= 1200
    assert 100 <= height <= 1200
    assert all(pixels(png, colour) for colour in (BLUE, RED, GREY))


def test_the_same_backtest_gives_the_same_bytes():
    assert draw_backtest(done(), "auc") == draw_backtest(done(), "auc")


@pytest.mark.parametrize("metric", ["auc", "brier"])
def test_each_line_holds_the_metric_of_its_strategy_in_each_partition(monkeypatch, metric):
    replayed = done()
    lines = drawn(monkeypatch, replayed, metric).get_lines()
    assert len(lines) == len(replayed)
    for line, replay_ in zip(lines, replayed.values(), strict=True):
        expected = [found[metric] for found in replay_.metrics.values()]
        assert list(line.get_ydata()) == expected
        assert list(line.get_xdata()) == list(replay_.metrics)


def test_the_legend_names_strategies_their_models_and_means(monkeypatch):
    legend = drawn(monkeypatch, done(), "auc").get_legend()
    said = [text.get_text() for text in legend.get_texts()]
    assert said[0] == "frozen, 1 models, mean 0.695"
    assert said[1] == "scheduled, 12 models, mean 0.750"
    assert said[2].startswith("drift triggered, 2 models, mean 0.7")


@pytest.mark.parametrize("replaced_at", [1, 6, 11])
def test_a_dotted_line_marks_where_drift_asked_for_another_model(monkeypatch, replaced_at):
    axes = drawn(monkeypatch, done(replaced_at=replaced_at), "auc")
    (marks,) = axes.collections
    assert len(marks.get_segments()) == 1
    assert marks.get_segments()[0][0][0] == replaced_at


def test_given_drift_that_never_asked_then_nothing_is_marked(monkeypatch):
    replayed = done()
    frozen = replace(replayed["frozen"], strategy="drift_triggered")
    axes = drawn(monkeypatch, {**replayed, "drift_triggered": frozen}, "auc")
    assert [len(marks.get_segments()) for marks in axes.collections] == [0]


def test_given_many_partitions_then_only_some_are_named_below(monkeypatch):
    weeks = [f"2013-W{week:02d}" for week in range(50)]
    axes = drawn(monkeypatch, done(weeks), "auc")
    assert len(axes.get_xticks()) == 10


def test_given_two_partitions_then_the_picture_is_still_whole():
    assert pixels(draw_backtest(done(WEEKS[:2], replaced_at=1), "auc"), RED)


def test_given_a_partition_that_could_not_be_measured_then_it_is_left_out(monkeypatch):
    """One class only: there is no AUC, and no gap that would look like a fall."""
    replayed = done()
    lame = {
        strategy: replace(
            of, metrics={week: found for week, found in of.metrics.items() if week != WEEKS[3]}
        )
        for strategy, of in replayed.items()
    }
    (first, *_) = drawn(monkeypatch, lame, "auc").get_lines()
    assert len(first.get_xdata()) == len(WEEKS) - 1
