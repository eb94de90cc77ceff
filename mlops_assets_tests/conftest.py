"""What holds for every test."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import hypothesis
import pytest

hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")  # a busy machine is no counterexample

SLOWEST_FIRST = ("e2e", "loop", "faults", "commands", "adapters")
"""Folders in the order in which they are begun; all others follow as they come."""


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes longest: of two processes neither is left with it alone at the end."""
    items.sort(key=lambda item: _rank(item.path.relative_to(Path(__file__).parent).parts))


def _rank(parts: Sequence[str]) -> int:
    order = SLOWEST_FIRST
    return order.index(parts[0]) if parts[0] in order else len(order)
