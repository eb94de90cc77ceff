"""What all pictures share: figures of their own, bars with their intervals, the same bytes."""

from __future__ import annotations

import io

import matplotlib.image
import numpy as np

from mlops_assets.adapters.matplotlib_canvas import BLUE, GREY, RED, draw_bars, new_figure, to_png


def columns_with(png, colour):
    """The columns of pixels in which exactly this colour occurs."""
    image = (matplotlib.image.imread(io.BytesIO(png))[..., :3] * 255).round()
    wanted = [int(colour[at : at + 2], 16) for at in (1, 3, 5)]
    return np.flatnonzero(np.all(image == wanted, axis=-1).any(axis=0))


def test_bars_are_as_long_as_their_values_in_their_colours():
    png = draw_bars(["a", "b", "c"], [4.0, 2.0, 1.0], [BLUE, RED, GREY], "label", "title")
    long, middle, short = (np.ptp(columns_with(png, colour)) for colour in (BLUE, RED, GREY))
    assert long / middle > 1.9
    assert middle / short > 1.9


def test_an_interval_is_drawn_for_the_bars_that_have_one():
    values, colours = [1.0, 1.0], [BLUE, BLUE]
    bare = draw_bars(["a", "b"], values, colours, "label", "title")
    none = draw_bars(["a", "b"], values, colours, "label", "title", ends=[None, None])
    first = draw_bars(["a", "b"], values, colours, "label", "title", ends=[(0.5, 1.0), None])
    second = draw_bars(["a", "b"], values, colours, "label", "title", ends=[None, (0.5, 1.0)])
    assert none == bare
    assert len({bare, first, second}) == 3


def test_figures_share_nothing():
    (one, axes), (two, others) = new_figure(3, 2), new_figure(3, 2)
    axes.plot([0, 1], [0, 1])
    assert one is not two
    assert not others.lines
    assert to_png(two) == to_png(new_figure(3, 2)[0]) != to_png(one)
