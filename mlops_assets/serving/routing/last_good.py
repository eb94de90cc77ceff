"""What the ledger says about routing, and the last good answer to that on disk."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from mlops_assets.lifecycle.rollout.state import CutOff, Routing, Target
from mlops_assets.serving.routing.routes import describe_routing, restore_routing
from mlops_assets.serving.state_files import write_atomically

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class LedgerReading:
    """The routings at one position of the ledger, and the digests in them that may serve.

    ``previous`` is, by model, the champion before the present one, kept warm to go back to.
    ``overrides`` says of digests whose verdict did not pass who let them out, and why;
    ``cut_offs``, by model, what some endpoint stopped asking.
    """

    position: int
    routings: Mapping[str, Routing] = field(default_factory=dict)
    passed: frozenset[str] = frozenset()
    previous: Mapping[str, Target] = field(default_factory=dict)
    overrides: Mapping[str, str] = field(default_factory=dict)
    cut_offs: Mapping[str, CutOff] = field(default_factory=dict)


def read_last_good(file: Path) -> LedgerReading:
    """What ``write_last_good`` wrote, empty when the file is missing or damaged."""
    try:
        plain = msgspec.json.decode(file.read_bytes(), type=dict[str, Any])
        routings = {model: restore_routing(body) for model, body in plain["models"].items()}
        digests = frozenset(t.digest for routing in routings.values() for t in routing.targets)
        return LedgerReading(plain["position"], routings, digests)
    except FileNotFoundError:
        return LedgerReading(0)
    except (
        OSError,
        msgspec.MsgspecError,
        KeyError,
        TypeError,
        AttributeError,
    ) as error:
        logger.warning("routing: %s is not used, it cannot be read: %r", file, error)
        return LedgerReading(0)


def write_last_good(file: Path, good: LedgerReading) -> None:
    """Keep what answers now for a start at which the ledger cannot be read."""
    models = {model: describe_routing(routing) for model, routing in good.routings.items()}
    write_atomically(file, {"position": good.position, "models": models})
