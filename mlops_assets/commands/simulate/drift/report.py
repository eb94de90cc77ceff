"""What was simulated about drift, as tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mlops_assets.commands.simulate.rates import tell_rate, tell_yearly

Measured = Mapping[str, Any]
_NAME, _CELL = "{:<38}", "{:>26}"
_DRAWN = {"days": "real days", "weeks": "whole weeks of a season"}


def tell(measured: Measured) -> str:
    """Three tables: no drift, one column shifted, trained again for nothing."""
    return "\n\n".join(
        (
            _tell_same(measured["same"]),
            _tell_shifted(measured["shifted"]),
            _tell_years(measured["retrains"]),
        )
    )


def _tell_same(measured: Sequence[Measured]) -> str:
    lines = _head("no drift: anything flagged", measured)
    for draw, features in _in_order((each["draw"], each["features"]) for each in measured):
        rates = {
            each["detector"]: each["flagged"]
            for each in measured
            if (each["draw"], each["features"]) == (draw, features)
        }
        aim = "   aim: at most 5 %" if draw == "days" else ""
        lines.append(_line(f"{_DRAWN[draw]}, {features} features", rates, measured) + aim)
    return "\n".join([*lines, _say_windows(measured)])


def _tell_shifted(measured: Sequence[Measured]) -> str:
    lines = _head("one of 17 columns shifted: it is flagged", measured)
    for shift in _in_order(each["shift"] for each in measured):
        own = [each for each in measured if each["shift"] == shift]
        rates = {each["detector"]: each["found"] for each in own}
        aim = own[0]["aim"]
        said = f"   aim: at least {aim:.0%}" if aim else ""
        lines.append(_line(shift, rates, measured) + said)
    return "\n".join([*lines, _say_windows(measured)])


def _tell_years(measured: Sequence[Measured]) -> str:
    lines = [_NAME.format("no drift: trained again, per year") + _CELL.format("ours")]
    for each in measured:
        said = _NAME.format(each["regime"]) + _CELL.format(tell_yearly(each["per_year"]))
        stated = each["budget"] is not None
        lines.append(said + (f"   budget in defs.yaml: {each['budget']:g}" if stated else ""))
    years = measured[0]["years"]
    return "\n".join([*lines, f"of {years} years; all rates with 95 % intervals"])


def _head(title: str, measured: Sequence[Measured]) -> list[str]:
    names = _in_order(each["detector"] for each in measured)
    return [_NAME.format(title) + "".join(map(_CELL.format, names))]


def _line(name: str, rates: Measured, measured: Sequence[Measured]) -> str:
    names = _in_order(each["detector"] for each in measured)
    return _NAME.format(name) + "".join(_CELL.format(tell_rate(rates.get(n))) for n in names)


def _say_windows(measured: Sequence[Measured]) -> str:
    """How many windows each detector saw, in a row; they differ as some are slow."""
    seen: dict[str, list[int]] = {}
    for each in measured:
        seen.setdefault(each["detector"], []).append(each["windows"])
    return "windows: " + "; ".join(
        f"{name} {' or '.join(map(str, _in_order(counts)))}" for name, counts in seen.items()
    )


def _in_order(values: Any) -> list[Any]:
    """Each once, as first met."""
    return list(dict.fromkeys(values))
