"""Shares and counts of what was simulated, with how far off they may be."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

Rate = Mapping[str, float]
"""``rate``, and the ends ``low`` and ``high`` of its 95 % interval."""


def measure_rate(happened: npt.ArrayLike) -> dict[str, float]:
    """A share and its exact binomial 95 % interval (Clopper and Pearson, 1934)."""
    from scipy.stats import beta

    k, n = int(np.sum(happened)), int(np.size(happened))
    low = float(beta.ppf(0.025, k, n - k + 1)) if k else 0.0
    high = float(beta.ppf(0.975, k + 1, n - k)) if k < n else 1.0
    return {"rate": k / n, "low": low, "high": high}


def measure_yearly(counts: npt.ArrayLike) -> dict[str, float]:
    """Events per year, one count for each of as many years, and the exact 95 % interval if they
    are Poisson (Garwood, 1936)."""
    from scipy.stats import chi2

    k, years = int(np.sum(counts)), int(np.size(counts))
    low = float(chi2.ppf(0.025, 2 * k) / 2) if k else 0.0
    high = float(chi2.ppf(0.975, 2 * k + 2) / 2)
    return {"rate": k / years, "low": low / years, "high": high / years}


def tell_rate(rate: Rate | None) -> str:
    """In percent, nothing for None."""
    if rate is None:
        return ""
    return f"{rate['rate']:.2%} ({rate['low']:.2%}-{rate['high']:.2%})"


def tell_yearly(rate: Rate) -> str:
    """Events per year with their interval."""
    return f"{rate['rate']:.2f} ({rate['low']:.2f}-{rate['high']:.2f})"
