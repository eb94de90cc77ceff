"""Lines of a prediction log, as the model server writes them."""

from __future__ import annotations

from datetime import UTC, datetime

TEN = datetime(2013, 6, 1, 10, tzinfo=UTC)


def line(at=TEN, **changes):
    """An answer of the primary outside of a rollout."""
    fields = {
        "request_id": "r",
        "model": "delays",
        "version": "v1",
        "digest": "d",
        "arm": "primary",
        "routed": True,
        "status": "ok",
        "reason": None,
        "received_at": at.isoformat(timespec="microseconds"),
        "milliseconds": 1.5,
        "entity": ["f1"],
        "time": ["2013-06-01T08:00:00.000000+00:00"],
        "features": {"distance": [500.0], "carrier": ["UA"]},
        "probability": [0.25],
        "unit": "f1",
        "canary": None,
        "weight": 0,
    }
    return {**fields, **changes}


def error(at=TEN, **changes):
    """An attempt that failed."""
    return line(at, status="error", reason="ValueError: no", probability=None, **changes)


def beside(unit, at=TEN, **changes):
    """What the primary answered beside the canary v2 at 10 %."""
    return line(at, **{"unit": unit, "canary": "v2", "weight": 10, **changes})


def canary(unit, at=TEN, **changes):
    """What the canary v2 answered at 10 %."""
    return beside(unit, at, **{"version": "v2", "arm": "canary", **changes})


def failing(made):
    """The same attempt, not answered."""
    return {**made, "status": "error", "reason": "ValueError: no", "probability": None}


def old(made):
    """The same line as servers wrote it before there were units."""
    return {k: v for k, v in made.items() if k not in ("unit", "canary", "weight")}
