"""E-processes: evidence that may be looked at as often as one likes.

Each is a mixture of products of factors whose expectation is at most 1 while the null hypothesis
holds, whatever came before. So (Ville) it ever reaches 1/alpha with probability at most alpha.
Everything is a natural logarithm, and takes single rollouts and arrays of them alike: counts have
their windows on the last axis, scores their units; the axes before it are rollouts.

Sources: Ville (1939); Robbins (1970) for mixtures; Waudby-Smith and Ramdas (2024), "Estimating
means of bounded random variables by betting"; Ramdas et al. (2023), "Game-theoretic statistics".
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Numbers = npt.NDArray[np.float64]

_RATIOS = (
    (1.25, 1.0),
    (1.5, 2.0),
    (2.0, 4.0),
    (2.7, 4.0),
    (4.0, 3.0),
    (8.0, 2.0),
    (30.0, 1.0),
    (1e3, 1.0),
)
"""How many times more events the canary may have, and what each is given of the mixture."""

_BETS = (
    (0.005, 1.0),
    (0.01, 1.0),
    (0.02, 1.0),
    (0.04, 1.0),
    (0.08, 1.0),
    (0.15, 2.0),
    (0.25, 2.0),
    (0.4, 2.0),
    (0.6, 2.0),
    (0.8, 2.0),
    (0.999, 7.0),
)
"""Shares of the largest bet that cannot ruin, and what each is given of the mixture.

Small ones are for small differences of noisy scores, the largest for rare failures.
"""

_TANGENTS = (0.03, 0.2, 0.5, 0.8, 0.97)
"""Shares of high answers at which tolerated odds are turned into a bet, equally likely."""


def log_ratio_evidence(
    canary: npt.ArrayLike, baseline: npt.ArrayLike, shares: npt.ArrayLike, at_most: float = 1.0
) -> Numbers:
    """Against "events are at most ``at_most`` times as frequent in the canary as beside it".

    ``canary`` and ``baseline``: units with their first event, per window; ``shares``: of the units
    that fell to the canary then, 0 to 1. Given an event, it was the canary's with probability
    p(r) = w r / (w r + 1 - w) when it has r times as many. Units fall by a number of their own
    that does not depend on what happens to them, so under equality the arms of their first events
    are independent over all windows, whatever the base rate does. The mixture is over one r
    for the whole rollout; factors are p(r) / p(at_most) and (1 - p(r)) / (1 - p(at_most)), which
    in p are monotone, so the expectation is at most 1 for every smaller ratio too.
    """
    import numpy as np

    share = np.asarray(shares, dtype=float)
    told = (share > 0) & (share < 1)  # where all units fall the same way, arms tell nothing
    events = np.where(told, np.asarray(canary, dtype=float), 0.0)
    all_events = events + np.where(told, np.asarray(baseline, dtype=float), 0.0)
    factor, prior = _columns(_RATIOS)
    odds = share[..., None] * at_most / (share[..., None] * at_most + 1 - share[..., None])
    spread = np.log1p(odds * (factor - 1))
    gained = events.sum(axis=-1)[..., None] * np.log(factor)
    return _log_mixture(gained - np.einsum("...j,...jr->...r", all_events, spread), prior)


def log_margin_evidence(
    canary: npt.ArrayLike,
    baseline: npt.ArrayLike,
    units: npt.ArrayLike,
    shares: npt.ArrayLike,
    margin: float,
) -> Numbers:
    """Against "the canary fails at least ``margin`` more of its units than the baseline".

    ``canary`` and ``baseline``: failed units per window, ``units``: all of both arms. A unit's
    score Z is 1/w when it failed in the canary, -1/(1-w) when beside it, else 0: on average the
    difference of the failure rates. The factors 1 + bet (margin - Z) have an expectation of at
    most 1 when that is ``margin`` or more, and depend on the counts alone.
    """
    import numpy as np

    share = np.asarray(shares, dtype=float)[..., None]
    told = (share > 0) & (share < 1)
    share = np.where(told, share, 0.5)
    bad, good = (np.where(told, np.asarray(n, float)[..., None], 0.0) for n in (canary, baseline))
    rest = np.where(told, np.asarray(units, float)[..., None], 0.0) - bad - good
    bets, prior = _columns(_BETS)
    stake = bets * share / (1 - share * margin)
    logs = (
        bad * np.log1p(-bets)
        + good * np.log1p(stake * (margin + 1 / (1 - share)))
        + rest * np.log1p(stake * margin)
    )
    return _log_mixture(logs.sum(axis=-2), prior)


def log_odds_evidence(
    canary: tuple[npt.ArrayLike, npt.ArrayLike],
    baseline: tuple[npt.ArrayLike, npt.ArrayLike],
    shares: npt.ArrayLike,
    at_most: float,
) -> Numbers:
    """Against "the odds of a high answer are at most ``at_most`` times the baseline's".

    ``canary`` and ``baseline``: units with a high and with a low answer, per window; ``shares``
    one per window. With odds m times as high, a baseline's share of p gives the canary
    g(p) = m p / (1 + (m - 1) p). That is concave, so it lies below its tangent at any q, and
    A (H - g(q)) / w - (1 - A) g'(q) (H - q) / (1 - w), for an answer H of 0 or 1, has no positive
    mean under the hypothesis whatever p is, and whether or not it moves. Bets on it are mixed.
    """
    import numpy as np

    bets, prior = _columns(_BETS)
    share = np.asarray(shares, dtype=float)[:, None, None]
    told = ((share > 0) & (share < 1))[:, 0, 0]
    share = np.where((share > 0) & (share < 1), share, 0.5)
    tangent = np.array(_TANGENTS)[:, None]
    slope = at_most / (1 + (at_most - 1) * tangent) ** 2
    level = at_most * tangent / (1 + (at_most - 1) * tangent)
    other = slope / (1 - share)
    stake = bets / np.maximum(level / share, other * (1 - tangent))
    gains = ((1 - level) / share, -level / share), (-other * (1 - tangent), other * tangent)
    logs = sum(
        np.einsum("...j,jqb->...qb", np.where(told, counted, 0.0), np.log1p(stake * gain))
        for counts, of in zip((canary, baseline), gains, strict=True)
        for counted, gain in zip(counts, of, strict=True)
    )
    mixed = np.tile(prior, len(_TANGENTS))
    return _log_mixture(np.reshape(logs, (*np.shape(logs)[:-2], mixed.size)), mixed)


def log_limit_evidence(events: npt.ArrayLike, trials: npt.ArrayLike, limit: float) -> Numbers:
    """Against "the mean is at most ``limit``" (0 to 1); ``trials`` values that sum to ``events``.

    Likelihoods of larger means over that of ``limit``, mixed. Exact for values 0 and 1; for
    shares between them the mean of each factor is still at most 1 (it is convex in the value).
    """
    import numpy as np

    bets, prior = _columns(_BETS)
    n = np.asarray(trials, dtype=float)[..., None]
    k = np.asarray(events, dtype=float)[..., None]
    logs = k * np.log1p(bets * (1 / limit - 1)) + (n - k) * np.log1p(-bets)
    return _log_mixture(logs, prior)


def log_betting_evidence(
    gains: npt.ArrayLike, losses: npt.ArrayLike, *, every: int | None = None
) -> Numbers:
    """Against "no gain has a positive expectation, given those before it".

    ``gains`` in order of arrival; ``losses``: for each the most it can cost (above 0), known
    before it. The stake is a fixed share of what cannot ruin, mixed over shares. With ``every``
    the evidence after each so many gains instead of after the last.
    """
    import numpy as np

    bets, prior = _columns(_BETS)
    relative = np.asarray(gains, dtype=float) / np.asarray(losses, dtype=float)
    steps = (np.log1p(bet * relative) for bet in bets)
    if every is None:
        return _log_mixture(np.stack([step.sum(axis=-1) for step in steps], axis=-1), prior)
    looks = [step.cumsum(axis=-1)[..., every - 1 :: every] for step in steps]
    return _log_mixture(np.stack(looks, axis=-1), prior)


def log_mean(*logs: npt.ArrayLike) -> Numbers:
    """The mean of several e-processes against the same hypothesis, which is one again."""
    import numpy as np

    return _log_mixture(np.stack([np.asarray(log, float) for log in logs], -1), np.ones(len(logs)))


def log10(log: npt.ArrayLike) -> float:
    """For people and plots."""
    return round(float(log) / math.log(10), 4)  # type: ignore[arg-type]


def _columns(mixture: tuple[tuple[float, float], ...]) -> tuple[Numbers, Numbers]:
    import numpy as np

    values, prior = np.array(mixture).T
    return values, prior


def _log_mixture(logs: Numbers, prior: Numbers) -> Numbers:
    import numpy as np

    highest = logs.max(axis=-1, keepdims=True)
    with np.errstate(divide="ignore"):
        summed = np.log(np.exp(logs - highest) @ (prior / prior.sum()))
    return np.asarray(highest[..., 0] + summed)
