"""What holds for every test."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import hypothesis
import pytest

# A busy machine is no counterexample. People's runs draw new examples each time and find what
# nobody thought of; CI draws the same ones, so that a change is judged by what it changed, half as
# many where a test does not say how many.
hypothesis.settings.register_profile("exploring", deadline=None)
hypothesis.settings.register_profile("repeatable", deadline=None, derandomize=True, max_examples=50)
hypothesis.settings.load_profile("exploring")

SLOWEST_FIRST = ("e2e", "loop", "faults", "commands", "adapters")
"""Folders in the order in which they are begun; all others follow as they come."""


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes longest: of two processes neither is left with it alone at the end."""
    items.sort(key=lambda item: _rank(item.path.relative_to(Path(__file__).parent).parts))


def _rank(parts: Sequence[str]) -> int:
    order = SLOWEST_FIRST
    return order.index(parts[0]) if parts[0] in order else len(order)
